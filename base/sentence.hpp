// A sentence for a person, kept as data: the English pattern it was written with and the values in it. Whoever shows it
// in another language looks the pattern up, as gettext does (see base/messages.hpp); whoever does not takes english().
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <fmt/core.h>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace moescope::base {

/// Either a pattern with {} for each value ("run {} is still going on"; braces that are text are doubled), or verbatim:
/// a text that came from elsewhere (another library, a file name, an old journal) and is shown as it came. A value is a
/// sentence too, mostly a verbatim one. Empty when made by default. Values may be copied and moved between threads.
class Sentence {
 public:
    Sentence() = default;
    /// `pattern` has one {} for each of `arguments`. For patterns that are written in the sources see say().
    Sentence(std::string pattern, std::vector<Sentence> arguments);
    static Sentence verbatim(std::string text);

    bool is_verbatim() const { return verbatim_; }
    bool empty() const { return text_.empty(); }
    const std::string& id() const { return text_; }  ///< the pattern; the text itself when verbatim
    const std::vector<Sentence>& arguments() const { return arguments_; }
    std::string english() const;
    bool operator==(const Sentence& other) const = default;

 private:
    std::string text_;
    std::vector<Sentence> arguments_;
    bool verbatim_ = true;
};

/// In English.
std::ostream& operator<<(std::ostream& out, const Sentence& sentence);

/// The texts around the values of a pattern: one more than it has places. Doubled braces are single in them.
std::vector<std::string> pattern_parts(std::string_view pattern);

/// A word or a sentence without values that is chosen at run time: `marked("learning rate")` in a table, where the test
/// of the catalogue finds it, and a Sentence where it is used.
struct Marked {
    const char* id = "";
    operator Sentence() const { return *id == '\0' ? Sentence() : Sentence(std::string(id), {}); }
};
constexpr Marked marked(const char* id) {
    return {id};
}

/// What an exception says; verbatim when it is not one of ours.
Sentence sentence_of(const std::exception& error);
/// "No space left on device": the system's own words, which the catalogue knows. A negative number counts as positive.
Sentence system_sentence(int error_number);
Sentence system_sentence(const std::error_code& error);

namespace sentence_detail {

/// What a value of a sentence is formatted as.
template <class T>
struct Shown {
    using type = T;
};
template <class T>
requires std::derived_from<T, std::exception> || std::same_as<T, std::error_code> || std::same_as<T, Marked>
struct Shown<T> {
    using type = Sentence;
};
template <>
struct Shown<std::filesystem::path> {
    using type = std::string;
};
template <class T>
using shown_t = typename Shown<std::remove_cvref_t<T>>::type;

/// Number of values in a pattern, or -1 when it has a brace that stands alone, a numbered place or a width that is a
/// value itself: a pattern keeps the order of its values, so that {} alone is their place.
constexpr int places(std::string_view pattern) {
    int count = 0;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] != '{' && pattern[i] != '}') {
            continue;
        }
        if (i + 1 < pattern.size() && pattern[i + 1] == pattern[i]) {
            ++i;
            continue;
        }
        const std::size_t close = pattern.find('}', i);
        if (pattern[i] == '}' || close == std::string_view::npos || (pattern[i + 1] != '}' && pattern[i + 1] != ':') ||
            pattern.substr(i + 1, close - i - 1).find('{') != std::string_view::npos) {
            return -1;
        }
        ++count;
        i = close;
    }
    return count;
}

/// A pattern that was checked against the types of its values when it was compiled.
template <class... T>
struct Pattern {
    template <class Text>
    requires std::convertible_to<const Text&, std::string_view>
    consteval Pattern(const Text& pattern) : checked(pattern) {
        if (places(std::string_view(pattern)) != static_cast<int>(sizeof...(T))) {
            throw "the pattern of a sentence must have one plain place for each value";
        }
    }
    fmt::format_string<T...> checked;
};

Sentence captured(fmt::string_view pattern, std::vector<Sentence> arguments);
/// The place `index` of `pattern` ("{:.1f}") filled with the only one of `arguments`.
Sentence filled_place(fmt::string_view pattern, std::size_t index, fmt::format_args arguments);

template <class T>
Sentence capture(fmt::string_view pattern, std::size_t index, const T& value) {
    if constexpr (std::same_as<T, Sentence>) {
        return value;
    } else if constexpr (std::derived_from<T, std::exception>) {
        return sentence_of(value);
    } else if constexpr (std::same_as<T, std::error_code>) {
        return system_sentence(value);
    } else if constexpr (std::same_as<T, Marked>) {
        return Sentence(value);
    } else if constexpr (std::same_as<T, std::filesystem::path>) {
        return Sentence::verbatim(value.string());
    } else {
        return filled_place(pattern, index, fmt::make_format_args(value));
    }
}

}  // namespace sentence_detail

/// `say("run {} has no checkpoint at step {}", run, step)`: pattern and values are checked at compile time as by
/// fmt::format, numbers are formatted by the specification of their place, which the id does not keep. Values that are
/// a Sentence, an exception, an error_code or a Marked stay data; a path is written without quotes.
template <class... T>
Sentence say(sentence_detail::Pattern<sentence_detail::shown_t<T>...> pattern, const T&... values) {
    const fmt::string_view text = pattern.checked;
    std::vector<Sentence> arguments;
    arguments.reserve(sizeof...(T));
    (arguments.push_back(sentence_detail::capture(text, arguments.size(), values)), ...);
    return sentence_detail::captured(text, std::move(arguments));
}

/// {"id": pattern, "arguments": [text or such an object, ...]}, a text when verbatim. What is nested deeper than
/// kSentenceDepth becomes a text, so that a record stays within the depth that its reader allows.
nlohmann::json sentence_to_json(const Sentence& sentence);
/// The reverse, for data from outside: verbatim `otherwise` when it is no such value, too long or too deep, or when the
/// number of arguments is not that of the places.
Sentence sentence_from_json(const nlohmann::json& value, const std::string& otherwise);
inline constexpr int kSentenceDepth = 5;
inline constexpr std::size_t kSentenceArguments = 32;
inline constexpr std::size_t kSentenceBytes = 4096;  ///< of an id

/// Writes the English text under `key` and, when it has an id, the data under key + "_id": the one way in which a
/// sentence goes into records, answers and states.
void put_sentence(nlohmann::json& object, const std::string& key, const Sentence& sentence);
/// What put_sentence wrote; verbatim when there is only the text, empty when there is neither.
Sentence sentence_in(const nlohmann::json& object, const std::string& key);

}  // namespace moescope::base

template <>
struct fmt::formatter<moescope::base::Sentence> : fmt::formatter<fmt::string_view> {
    template <class Context>
    auto format(const moescope::base::Sentence& sentence, Context& context) const {
        return fmt::formatter<fmt::string_view>::format(sentence.english(), context);
    }
};
