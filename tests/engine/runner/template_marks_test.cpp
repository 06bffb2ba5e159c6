// Random templates against a small evaluator that knows who wrote each byte, and random control tokens.
#include <cctype>
#include <gtest/gtest.h>
#include <random>

#include "engine/runner/chat_prompt.hpp"
#include "engine/runner/chat_template.hpp"

namespace moescope::engine {
namespace {

const std::atomic<bool> kNever{false};

/// An expression, and what it gives: bytes, and for each whether the template wrote it.
struct Told {
    std::string source, bytes, own;
    bool exact = true;  ///< false: something in it may lose marks of the template
};

constexpr char kMine = '\1', kYours = '\0';

std::string quoted(const std::string& text) {
    std::string out = "'";
    for (const char c : text) {
        out += c == '\n' ? std::string("\\n") : std::string(1, c);
    }
    return out + "'";
}

void add(Told& to, const Told& from) {
    to.bytes += from.bytes;
    to.own += from.own;
    to.exact = to.exact && from.exact;
}
Told part(const Told& of, std::size_t begin, std::size_t count = std::string::npos) {
    return {"", of.bytes.substr(begin, count), of.own.substr(begin, count), of.exact};
}

class Author {
 public:
    Author(unsigned seed, std::string words) : random_(seed), words_(std::move(words)) {}

    Told expression(int depth) {
        switch (depth == 0 ? below(2) : below(14)) {
            case 0:
                return literal(below(5));
            case 1:
                return {"m.content", words_, std::string(words_.size(), kYours)};
            case 2: {
                Told left = expression(depth - 1);
                const Told right = expression(depth - 1);
                left.source = "(" + left.source + (below(2) == 0 ? " ~ " : " + ") + right.source + ")";
                add(left, right);
                return left;
            }
            case 3:
                return joined(depth);
            case 4:
                return replaced(depth);
            case 5:
                return piece(depth);
            case 6: {
                const Told text = expression(depth - 1);
                const std::size_t begin = below(3), end = begin + below(6);
                Told out = begin < text.bytes.size() ? part(text, begin, end - begin) : Told{"", "", "", text.exact};
                out.source = "(" + text.source + ")[" + std::to_string(begin) + ":" + std::to_string(end) + "]";
                return out;
            }
            case 7:
                return changed(depth, below(2) == 0 ? "upper" : "lower");
            case 8:
                return changed(depth, below(2) == 0 ? "capitalize" : "title");
            case 9: {
                Told text = expression(depth - 1);
                const std::size_t first = text.bytes.find_first_not_of(" \n");
                const std::size_t last = text.bytes.find_last_not_of(" \n");
                Told out =
                    first == std::string::npos ? Told{"", "", "", text.exact} : part(text, first, last + 1 - first);
                out.source = "(" + text.source + " | trim)";
                return out;
            }
            case 10: {
                Told out = literal(below(3));
                const Told text = expression(depth - 1), end = literal(below(3));
                out.source = "(" + quoted(out.bytes + "{}" + end.bytes) + ".format(" + text.source + "))";
                add(out, text);
                add(out, end);
                return out;
            }
            case 11:
                return indented(depth);
            case 12: {
                Told text = expression(depth - 1);
                text.source = "(" + text.source + " ~ 'z')[0]";
                text.bytes = (text.bytes + "z").substr(0, 1);
                text.own = std::string(1, text.own.empty() ? kMine : text.own[0]);
                text.exact = false;
                return text;
            }
            default: {
                Told text = expression(depth - 1);
                text.source = "(" + text.source + " | string | safe)";
                return text;
            }
        }
    }

    std::string random_text(std::size_t length) {
        std::string text;
        for (std::size_t i = 0; i < length; ++i) {
            text += kAlphabet[below(kAlphabet.size())];
        }
        return text;
    }
    std::size_t below(std::size_t limit) { return random_() % limit; }

 private:
    static constexpr std::string_view kAlphabet = "abA<>| \n";

    Told literal(std::size_t length) {
        const std::string text = random_text(length);
        return {quoted(text), text, std::string(text.size(), kMine)};
    }

    Told joined(int depth) {
        Told out;
        const Told between = expression(depth - 1);
        const std::size_t count = 1 + below(3);
        for (std::size_t i = 0; i < count; ++i) {
            const Told item = expression(depth - 1);
            out.source += (i == 0 ? "([" : ", ") + item.source;
            if (i > 0) {
                add(out, between);
            }
            add(out, item);
        }
        out.source += "] | join(" + between.source + "))";
        out.exact = out.exact && between.exact;
        return out;
    }

    Told replaced(int depth) {
        const Told text = expression(depth - 1), what = literal(1 + below(2)), with = expression(depth - 1);
        Told out{"(" + text.source + " | replace(" + what.source + ", " + with.source + "))", "", "",
                 text.exact && with.exact};
        std::size_t begin = 0;
        for (std::size_t at = 0; (at = text.bytes.find(what.bytes, begin)) != std::string::npos;) {
            add(out, part(text, begin, at - begin));
            add(out, with);
            begin = at + what.bytes.size();
        }
        add(out, part(text, begin));
        return out;
    }

    Told piece(int depth) {
        const Told text = expression(depth - 1), at = literal(1);
        const bool first = below(2) == 0;
        const std::size_t place = first ? text.bytes.find(at.bytes) : text.bytes.rfind(at.bytes);
        Told out = place == std::string::npos ? text : first ? part(text, 0, place) : part(text, place + 1);
        out.source = "((" + text.source + ")." + (below(2) == 0 ? "split(" : "rsplit(") + at.source + ") | " +
                     (first ? "first" : "last") + ")";
        return out;
    }

    Told changed(int depth, const std::string& how) {
        Told text = expression(depth - 1);
        bool word_begins = true;
        for (std::size_t i = 0; i < text.bytes.size(); ++i) {
            const auto c = static_cast<unsigned char>(text.bytes[i]);
            const bool up = how == "upper" || (how == "capitalize" && i == 0) || (how == "title" && word_begins);
            text.bytes[i] = static_cast<char>(up ? std::toupper(c) : std::tolower(c));
            word_begins = std::isspace(c) != 0;
        }
        text.source = "(" + text.source + " | " + how + ")";
        return text;
    }

    Told indented(int depth) {
        const Told text = expression(depth - 1), before = expression(depth - 1);
        Told out{"(" + text.source + " | indent(" + before.source + ", true))", "", "", text.exact && before.exact};
        if (text.bytes.find('\n') != std::string::npos) {  // what lines do is not repeated here
            return text;
        }
        if (!text.bytes.empty()) {
            add(out, before);
            add(out, text);
        }
        return out;
    }

    std::mt19937 random_;
    std::string words_;
};

TEST(TemplateMarks, OnlyWhatTheTemplateWroteIsItsOwn) {
    int exact = 0;
    for (unsigned seed = 1; seed <= 400; ++seed) {
        Author author(seed, "");
        const std::string words = author.random_text(1 + author.below(8));
        Told told = Author(seed, words).expression(3);
        SCOPED_TRACE(told.source + " with " + words);
        add(told, {"", words, std::string(words.size(), kYours)});
        const auto pieces = render_chat("{% set m = messages[0] %}{{ " + told.source + " }}{{ m.content }}",
                                        {{"user", words}}, {}, kNever);
        std::string bytes, own;
        for (const ChatPiece& one : pieces) {
            bytes += one.text;
            own.append(one.text.size(), one.own ? kMine : kYours);
        }
        ASSERT_EQ(bytes, told.bytes);
        for (std::size_t i = 0; i < own.size(); ++i) {
            ASSERT_FALSE(own[i] == kMine && told.own[i] == kYours) << "byte " << i << " was typed by a person";
        }
        if (told.exact) {
            ASSERT_EQ(own, told.own) << "the template's own is known";
            ++exact;
        }
        SpecialTexts special;
        std::vector<std::string> control;
        for (int i = 0; i < 6; ++i) {
            control.push_back(author.random_text(1 + author.below(4)));
            special.add(control.back(), SpecialTexts::Kind::control);
        }
        std::size_t begin = 0;
        for (const PromptPart& one : safe_parts(pieces, special)) {
            for (const auto& place : one.plain ? std::vector<SpecialTexts::Place>() : special.places(one.text)) {
                const std::string who = told.own.substr(begin + place.begin, place.end - place.begin);
                ASSERT_EQ(who.find(kYours), std::string::npos)
                    << "the control token " << one.text.substr(place.begin, place.end - place.begin) << " was forged";
            }
            begin += one.text.size();
            for (const auto& place : special.places(bytes)) {
                ASSERT_FALSE(place.begin < begin && begin < place.end &&
                             own.substr(place.begin, place.end - place.begin).find(kYours) == std::string::npos)
                    << "the template's own token is cut at " << begin;
            }
        }
        ASSERT_EQ(begin, bytes.size());
    }
    EXPECT_GT(exact, 200);
}

/// Ways to make a text out of something else than a text: nothing of it is the template's own.
TEST(TemplateMarks, WhatLosesItsMarksCountsAsWords) {
    for (const char* source :
         {"{{ m.content | tojson }}", "{{ [m.content] | string }}", "{{ '' ~ [m.content] }}",
          "{{ {'k': m.content} | string }}", "{{ {m.content: 1} | tojson }}",
          "{% for k in {m.content: 1} %}{{ k }}{% endfor %}", "{{ m.content | int }}", "{{ m.content[0] }}",
          "{{ strftime_now(m.content) }}", "{{ m.content * 2 }}", "{% set x %}{{ m.content }}{% endset %}{{ x }}",
          "{{ m.content | indent(m.content) }}", "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(m.content) }}"}) {
        SCOPED_TRACE(source);
        const auto pieces = render_chat(std::string("{% set m = messages[0] %}") + source + "{{ m.content }}",
                                        {{"user", "5a"}}, {}, kNever);
        ASSERT_EQ(pieces.size(), 1u);
        EXPECT_FALSE(pieces[0].own);
        EXPECT_NE(pieces[0].text.find('5'), std::string::npos);
    }
}

}  // namespace
}  // namespace moescope::engine
