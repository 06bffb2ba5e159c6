#include "base/sentence.hpp"

#include <fmt/format.h>
#include <new>
#include <nlohmann/json.hpp>
#include <ostream>
#include <stdexcept>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"

namespace moescope::base {
namespace {

/// Calls `text` with each character that is text and `place` with each place, braces included.
template <class Text, class Place>
void walk(std::string_view pattern, Text text, Place place) {
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const bool brace = pattern[i] == '{' || pattern[i] == '}';
        const bool doubled = brace && i + 1 < pattern.size() && pattern[i + 1] == pattern[i];
        const std::size_t close = pattern[i] == '{' && !doubled ? pattern.find('}', i) : std::string_view::npos;
        if (close != std::string_view::npos) {
            place(pattern.substr(i, close - i + 1));
            i = close;
        } else {
            text(pattern[i]);
            i += doubled ? 1 : 0;
        }
    }
}

nlohmann::json to_json(const Sentence& sentence, int depth) {
    if (sentence.is_verbatim() || depth > kSentenceDepth) {
        return sentence.english();
    }
    nlohmann::json arguments = nlohmann::json::array();
    for (const Sentence& argument : sentence.arguments()) {
        arguments.push_back(to_json(argument, depth + 1));
    }
    return {{"id", sentence.id()}, {"arguments", std::move(arguments)}};
}

bool from_json(const nlohmann::json& value, int depth, Sentence& into) {
    if (value.is_string() && depth > 1) {
        into = Sentence::verbatim(value.get<std::string>());
        return true;
    }
    const nlohmann::json& id = member(value, "id");
    const nlohmann::json& given = member(value, "arguments");
    if (depth > kSentenceDepth || !id.is_string() || id.get_ref<const std::string&>().size() > kSentenceBytes ||
        !given.is_array() || given.size() > kSentenceArguments) {
        return false;
    }
    const auto& pattern = id.get_ref<const std::string&>();
    if (sentence_detail::places(pattern) != static_cast<int>(given.size())) {
        return false;
    }
    std::vector<Sentence> arguments(given.size());
    for (std::size_t i = 0; i < given.size(); ++i) {
        if (!from_json(given[i], depth + 1, arguments[i])) {
            return false;
        }
    }
    into = Sentence(pattern, std::move(arguments));
    return true;
}

}  // namespace

Sentence::Sentence(std::string pattern, std::vector<Sentence> arguments)
    : text_(std::move(pattern)), arguments_(std::move(arguments)), verbatim_(false) {}

Sentence Sentence::verbatim(std::string text) {
    Sentence sentence;
    sentence.text_ = std::move(text);
    return sentence;
}

std::string Sentence::english() const {
    if (verbatim_) {
        return text_;
    }
    std::string out;
    std::size_t next = 0;
    walk(
        text_, [&](char c) { out += c; },
        [&](std::string_view) {
            if (next < arguments_.size()) {
                out += arguments_[next++].english();
            }
        });
    return out;
}

std::ostream& operator<<(std::ostream& out, const Sentence& sentence) {
    return out << sentence.english();
}

std::vector<std::string> pattern_parts(std::string_view pattern) {
    std::vector<std::string> parts(1);
    walk(
        pattern, [&](char c) { parts.back() += c; }, [&](std::string_view) { parts.emplace_back(); });
    return parts;
}

Sentence sentence_of(const std::exception& error) {
    if (const auto* ours = dynamic_cast<const Error*>(&error)) {
        return ours->sentence();
    }
    if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
        return say("there is not enough memory for this");
    }
    if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&error)) {
        return file->path1().empty() ? system_sentence(file->code()) : say("{}: {}", file->path1(), file->code());
    }
    if (const auto* system = dynamic_cast<const std::system_error*>(&error)) {
        return system_sentence(system->code());
    }
    std::string_view words = error.what();
    if (dynamic_cast<const nlohmann::json::exception*>(&error) != nullptr) {
        const std::size_t number = words.find("] ");  // "[json.exception.type_error.302] "
        words.remove_prefix(number == std::string_view::npos ? 0 : number + 2);
        return say("a value is not of the kind that belongs there: {}", words);
    }
    if (dynamic_cast<const std::logic_error*>(&error) != nullptr) {
        return say("a check inside the program failed: {}", words);
    }
    return Sentence::verbatim(std::string(words));
}

Sentence fit_to_show(const Sentence& sentence) {
    if (sentence.is_verbatim()) {
        return Sentence::verbatim(one_line(sentence.id()));
    }
    std::vector<Sentence> arguments;
    for (const Sentence& argument : sentence.arguments()) {
        arguments.push_back(argument.is_verbatim() ? Sentence::verbatim(one_line(argument.id(), kValueBytes))
                                                   : fit_to_show(argument));
    }
    return {sentence.id(), std::move(arguments)};
}

Sentence system_sentence(int error_number) {
    return system_sentence(std::error_code(error_number < 0 ? -error_number : error_number, std::generic_category()));
}

Sentence system_sentence(const std::error_code& error) {
    const std::string text = error.message();
    return text.find_first_of("{}") == std::string::npos ? Sentence(text, {}) : Sentence::verbatim(text);
}

namespace sentence_detail {

Sentence captured(fmt::string_view pattern, std::vector<Sentence> arguments) {
    std::string id;
    id.reserve(pattern.size());
    walk(
        std::string_view(pattern.data(), pattern.size()), [&](char c) { id.append(c == '{' || c == '}' ? 2 : 1, c); },
        [&](std::string_view) { id += "{}"; });
    return {std::move(id), std::move(arguments)};
}

Sentence filled_place(fmt::string_view pattern, std::size_t index, fmt::format_args arguments) {
    std::string_view wanted;
    std::size_t at = 0;
    walk(
        std::string_view(pattern.data(), pattern.size()), [](char) {},
        [&](std::string_view place) {
            if (at++ == index) {
                wanted = place;
            }
        });
    return Sentence::verbatim(fmt::vformat(fmt::string_view(wanted.data(), wanted.size()), arguments));
}

}  // namespace sentence_detail

nlohmann::json sentence_to_json(const Sentence& sentence) {
    return to_json(sentence, 1);
}

Sentence sentence_from_json(const nlohmann::json& value, const std::string& otherwise) {
    Sentence sentence;
    return from_json(value, 1, sentence) ? sentence : Sentence::verbatim(otherwise);
}

void put_sentence(nlohmann::json& object, const std::string& key, const Sentence& given) {
    const Sentence sentence = fit_to_show(given);
    object[key] = sentence.english();
    if (sentence.is_verbatim()) {
        object.erase(key + "_id");
    } else {
        object[key + "_id"] = sentence_to_json(sentence);
    }
}

Sentence sentence_in(const nlohmann::json& object, const std::string& key) {
    return fit_to_show(sentence_from_json(member(object, (key + "_id").c_str()), text_of(object, key.c_str())));
}

}  // namespace moescope::base
