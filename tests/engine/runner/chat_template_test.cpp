// Published chat templates against what Python's jinja2 makes of them, and templates that mean harm.
#include "engine/runner/chat_template.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "engine/error.hpp"
#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;

const std::atomic<bool> kNever{false};

std::string rendered(const std::string& source, const std::vector<ChatMessage>& messages,
                     const ChatTokens& tokens = {"<s>", "</s>"}) {
    std::string text;
    for (const ChatPiece& piece : render_chat(source, messages, tokens, kNever)) {
        text += piece.text;
    }
    return text;
}

std::string error_of(const std::string& source, const std::vector<ChatMessage>& messages = {{"user", "hi"}}) {
    try {
        return "no error, but " + rendered(source, messages);
    } catch (const Error& error) {
        return error.what();
    }
}

/// Where common/jinja is known to differ from jinja2.
struct Difference {
    const char *file, *why;
};
constexpr Difference kDifferences[] = {
    {"fireworks-ai-llama-3-firefunction-v2.jinja",
     "it asks for `functions` and `datetime`, which nobody passes: jinja2 stops at a filter of something undefined, "
     "common/jinja takes it for empty"},
};

TEST(ChatTemplates, AreRenderedAsJinja2DoesIt) {
    const Json golden = Json::parse(moescope::test::read_text(std::filesystem::path(moescope::test::test_data()) /
                                                              "oracle/data/chat_templates.json"));
    ASSERT_EQ(golden["date"], kTemplateDate);
    std::set<std::string> seen;
    int compared = 0, refused = 0;
    for (const auto& entry : std::filesystem::directory_iterator(MOESCOPE_TEMPLATES)) {
        const std::string name = entry.path().filename();
        seen.insert(name);
        ASSERT_TRUE(golden["templates"].contains(name)) << name << " is new: run tests/oracle/templates/make_golden.py";
        const std::string source = moescope::test::read_text(entry.path());
        for (const auto& [conversation, messages] : golden["conversations"].items()) {
            SCOPED_TRACE(name + " " + conversation);
            std::vector<ChatMessage> said;
            for (const Json& message : messages) {
                said.push_back({message["role"], message["content"]});
            }
            const Json& want = golden["templates"][name][conversation];
            if (name == kDifferences[0].file) {
                EXPECT_TRUE(want.contains("fails"));
                EXPECT_NE(rendered(source, said).find("Who "), std::string::npos);
                continue;
            }
            if (want.is_string()) {
                std::string text;
                for (const ChatPiece& piece : render_chat(source, said, {golden["begin"], golden["end"]}, kNever)) {
                    text += piece.text;
                    const bool typed = std::any_of(said.begin(), said.end(), [&](const ChatMessage& message) {
                        return message.content.find(piece.text) != std::string::npos;
                    });
                    EXPECT_TRUE(piece.own || typed) << "\"" << piece.text << "\" is the template's own";
                }
                EXPECT_EQ(text, want.get<std::string>());
                ++compared;
                continue;
            }
            const std::string error = error_of(source, said);
            EXPECT_NE(error.find(want.contains("refused") ? want["refused"].get<std::string>() : "line "),
                      std::string::npos)
                << error;
            EXPECT_EQ(error.find('\n'), std::string::npos);
            ++refused;
        }
    }
    EXPECT_EQ(seen.size(), golden["templates"].size()) << "some of them are gone";
    EXPECT_GE(compared, 190);
    EXPECT_GE(refused, 10);
}

TEST(ChatTemplates, SayWhoseWordsAPieceIs) {
    const auto pieces =
        render_chat("{{ '<' + messages[0].content | trim | upper + '>' }}", {{"user", " hi "}}, {}, kNever);
    ASSERT_EQ(pieces.size(), 3u);
    EXPECT_EQ(pieces[0].text, "<");
    EXPECT_TRUE(pieces[0].own);
    EXPECT_EQ(pieces[1].text, "HI");
    EXPECT_FALSE(pieces[1].own);
    EXPECT_TRUE(pieces[2].own);
    const auto named = render_chat("{{ bos_token ~ messages[0].role }}{{ messages[0].content | length }}",
                                   {{"user", "four"}}, {"<s>", "</s>"}, kNever);
    ASSERT_EQ(named.size(), 2u);
    EXPECT_EQ(named[0].text, "<s>user");
    EXPECT_TRUE(named[0].own);
    EXPECT_EQ(named[1].text, "4") << "the words as they are, without anything between them";
}

TEST(ChatTemplates, ContentInPartsWhereATemplateWantsIt) {
    const std::string source =
        "{% for m in messages %}{% for part in m.content %}{% if part.type == 'text' %}[{{ part.text }}]{% endif %}"
        "{% endfor %}{% endfor %}";
    EXPECT_EQ(rendered(source, {{"user", "hi"}}), "[hi]");
}

TEST(ChatTemplates, TellWhatTheyDoNotTake) {
    const std::vector<ChatMessage> with_system = {{"system", "Be brief."}, {"user", "hi"}};
    const std::string refuses =
        "{% if messages[0].role == 'system' %}{{ raise_exception('No system,\nplease') }}"
        "{% endif %}{{ messages[0].content }}";
    EXPECT_EQ(rendered(refuses, {{"user", "hi"}}), "hi");
    EXPECT_EQ(error_of(refuses, with_system),
              "the chat template of this model refuses the conversation: No system, please; leave the system text out, "
              "or send plain text (--no-chat, or \"chat template\" switched off in the window)");
    EXPECT_EQ(error_of("{{ messages[-1].content }}", with_system),
              "the chat template of this model has no place for a system text; leave the system text out");
    EXPECT_NE(error_of("nothing of yours").find("it leaves the prompt out"), std::string::npos);
    EXPECT_NE(error_of("{{ raise_exception('never') }}").find("refuses the conversation: never; send plain text"),
              std::string::npos);
}

TEST(ChatTemplates, WhatTheLibrarySaysOfItselfIsNotShown) {
    EXPECT_NE(error_of("{{ 99999999999999999999 }}").find("the number 99999999999999999999 in it is too large"),
              std::string::npos);
    EXPECT_NE(error_of(std::string("{{ messages[0].content }}a\0b", 28)).find("it has a zero byte, at byte 26"),
              std::string::npos);
    for (const char* source :
         {"{{ 99999999999999999999 }}",
          "{{ 1"
          "e999999 }}",
          "{{ "
          "9.9"
          "9999999999999999999999999 }}{{ messages[0].x.y.z }}",
          "{{ messages[0].content | replace('a') }}", "{{ messages[0].content.startswith(1) }}",
          "{{ messages[0].content[99999999999999999999:] }}", "{{ messages | join }}", "{{ range('a') }}",
          "{{ messages[0].content | indent(-99) }}{{ messages[0].content | replace(1, 2) }}"}) {
        const std::string error = error_of(source);
        for (const char* raw : {"stoll", "stoi", "stod", "basic_string", "std::", "N5jinja", "_M_", "shared_ptr"}) {
            EXPECT_EQ(error.find(raw), std::string::npos) << error;
        }
    }
}

TEST(ChatTemplates, BrokenOnesAreNamedWithTheirLine) {
    for (const char* source :
         {"{% for m in messages %}{{ m.content }}", "{{ messages[0].content | no_such_filter }}", "{% nonsense %}",
          "{{ messages[0].content", "{{ ((((", "{{ 'a' + 1 * }}", "{% if %}{% endif %}", "{# never ends",
          "{{ messages[0]['content'] is no_such_test }}", "\\", "{{ '\\"}) {
        const std::string error = error_of(source);
        EXPECT_NE(error.find("the chat template of this model cannot be used: "), std::string::npos) << error;
        EXPECT_NE(error.find("--no-chat"), std::string::npos) << error;
        EXPECT_EQ(error.find('\n'), std::string::npos) << error;
        EXPECT_LT(error.size(), 600u) << error;
    }
    EXPECT_NE(error_of("{{ messages[0].content }}\n\n{{ messages | no_such_filter }}").find("line 3"),
              std::string::npos);
}

/// Each must come back as one sentence, soon, and leave this process as it was.
TEST(ChatTemplates, HostileOnesComeToAnEnd) {
    const std::vector<std::string> hostile = {
        "{% for i in range(1000000000000) %}{{ i }}{% endfor %}",
        "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor "
        "%}",
        "{{ 'x' * 1000000000000 }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ " + std::string(2'000'000, '(') + "1" + std::string(2'000'000, ')') + " }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% "
        "endfor %}",
        "{{ messages[0].content }}{{ 'abcdefghijklmnopqrstuvwxyz' * 200000 }}",
    };
    for (const std::string& source : hostile) {
        SCOPED_TRACE(source.substr(0, 80));
        const auto start = std::chrono::steady_clock::now();
        const std::string error = error_of(source);
        EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
        // Which limit is met first depends on the machine.
        EXPECT_THAT(error,
                    testing::ContainsRegex("^the chat template of this model cannot be used: it (is not done after "
                                           "5 seconds|takes more than 512 MB of memory|writes more than 256 KB|"
                                           "goes too deep.*); send plain text"));
    }
    EXPECT_EQ(rendered("{{ messages[0].content }}", {{"user", "still here"}}), "still here");
}

TEST(ChatTemplates, CancelEndsARenderingAtOnce) {
    std::atomic<bool> cancel{false};
    std::chrono::steady_clock::time_point raised;
    std::thread canceller([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        raised = std::chrono::steady_clock::now();
        cancel = true;
    });
    EXPECT_THROW(
        render_chat("{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}"
                    "{% endfor %}{% endfor %}",
                    {{"user", "hi"}}, {}, cancel),
        Error);
    canceller.join();
    EXPECT_LT(std::chrono::steady_clock::now() - raised, std::chrono::milliseconds(900));
}

}  // namespace
}  // namespace moescope::engine
