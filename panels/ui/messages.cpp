#include "panels/ui/messages.hpp"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace moescope::ui {
namespace {

constexpr int kDeepest = 5;                     ///< sentences within sentences
constexpr std::size_t kMostSeen = 4096;         ///< remembered translations; then the memory starts anew
constexpr std::size_t kLongestSentence = 4096;  ///< longer texts are output, not sentences
constexpr int kMostGlue = 64;                   ///< places tried for a split into two sentences

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

std::size_t letters(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), is_letter));
}

/// Texts around {}, and the numbers in the braces where `numbers` is given; a brace that is text is doubled. Throws
/// when a brace does not close or holds anything but digits.
std::vector<std::string> split(std::string_view text, std::vector<std::size_t>* numbers) {
    std::vector<std::string> parts(1);
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool doubled = text.substr(i, 2) == "{{" || text.substr(i, 2) == "}}";
        if (doubled || text[i] != '{') {
            parts.back() += text[i];
            i += doubled ? 1 : 0;
            continue;
        }
        const std::size_t close = text.find('}', i);
        const std::string_view inside = close == std::string_view::npos ? "?" : text.substr(i + 1, close - i - 1);
        const bool digits = inside.size() <= 2 &&
                            std::all_of(inside.begin(), inside.end(), [](char c) { return c >= '0' && c <= '9'; });
        if (!digits || inside.empty() != (numbers == nullptr))
            throw std::runtime_error(numbers == nullptr ? "has a brace that is not {}" : "has a brace that is not {0}");
        if (numbers != nullptr)
            numbers->push_back(static_cast<std::size_t>(std::stoul(std::string(inside))));
        parts.emplace_back();
        i = close;
    }
    return parts;
}

/// Calls `take` with every run of letters in `text` that cannot go on outside of it; `open_left` and `open_right` say
/// that something unknown stands there.
template <class Take>
void each_word(std::string_view text, bool open_left, bool open_right, Take take) {
    for (std::size_t i = 0; i < text.size();) {
        if (!is_letter(text[i])) {
            ++i;
            continue;
        }
        std::size_t end = i;
        while (end < text.size() && is_letter(text[end]))
            ++end;
        if ((i > 0 || !open_left) && (end < text.size() || !open_right))
            take(std::string(text.substr(i, end - i)));
        i = end;
    }
}

/// The values between `literals`, each as short as possible; nothing when the sentence does not fit. With values that
/// may be anything, the first place of a literal is as good as any later one.
std::optional<std::vector<std::string_view>> match(const std::vector<std::string>& literals,
                                                   std::string_view sentence) {
    const std::string& first = literals.front();
    const std::string& last = literals.back();
    if (literals.size() == 1)
        return sentence == first ? std::optional(std::vector<std::string_view>()) : std::nullopt;
    if (sentence.size() < first.size() + last.size() || !sentence.starts_with(first) || !sentence.ends_with(last))
        return std::nullopt;
    std::vector<std::string_view> values;
    std::size_t at = first.size();
    const std::size_t end = sentence.size() - last.size();
    for (std::size_t i = 1; i + 1 < literals.size(); ++i) {
        const std::size_t found = sentence.substr(0, end).find(literals[i], at);
        if (found == std::string_view::npos)
            return std::nullopt;
        values.push_back(sentence.substr(at, found - at));
        at = found + literals[i].size();
    }
    values.push_back(sentence.substr(at, end - at));
    return values;
}

}  // namespace

Messages::Messages(const std::vector<std::pair<std::string, std::string>>& entries) {
    for (const auto& [english, translation] : entries) {
        try {
            Pattern pattern = pattern_of(english, translation);
            (letters(english) == 0 ? glue_ : patterns_).push_back(std::move(pattern));
        } catch (const std::runtime_error& error) {
            throw std::runtime_error("the message \"" + english + "\" " + error.what());
        }
    }
    const auto more_specific = [](const Pattern& a, const Pattern& b) {
        return a.weight != b.weight ? a.weight > b.weight : a.literals.size() > b.literals.size();
    };
    std::stable_sort(patterns_.begin(), patterns_.end(), more_specific);
    std::stable_sort(glue_.begin(), glue_.end(), more_specific);
    index();
}

Messages::Pattern Messages::pattern_of(const std::string& english, const std::string& translation) {
    Pattern pattern;
    pattern.literals = split(english, nullptr);
    pattern.parts = split(translation, &pattern.order);
    for (const std::size_t value : pattern.order)
        if (value + 1 >= pattern.literals.size())
            throw std::runtime_error("has a translation that names a value which the English text does not have");
    if (letters(english) == 0 && pattern.literals.size() != 3)
        throw std::runtime_error("must have words, or exactly two values");
    if (english.ends_with(' ')) {  // goes on before something else
        pattern.order.push_back(pattern.literals.size() - 1);
        pattern.literals.emplace_back();
        pattern.parts.emplace_back();
    }
    if (english.starts_with(' ') || english.starts_with(';')) {  // goes on after some other sentence
        pattern.literals.insert(pattern.literals.begin(), std::string());
        for (std::size_t& value : pattern.order)
            ++value;
        pattern.order.insert(pattern.order.begin(), 0);
        pattern.parts.insert(pattern.parts.begin(), std::string());
    }
    for (const std::string& literal : pattern.literals)
        pattern.weight += literal.size();
    return pattern;
}

void Messages::index() {
    const auto words_of = [](const Pattern& pattern, auto take) {
        for (std::size_t i = 0; i < pattern.literals.size(); ++i)
            each_word(pattern.literals[i], i > 0, i + 1 < pattern.literals.size(), take);
    };
    std::unordered_map<std::string, std::size_t> uses;
    for (const Pattern& pattern : patterns_)
        words_of(pattern, [&](std::string word) { ++uses[std::move(word)]; });
    for (std::uint32_t i = 0; i < patterns_.size(); ++i) {
        std::string rarest;  // the fewer patterns under a word, the fewer are tried
        words_of(patterns_[i], [&](std::string word) {
            if (rarest.empty() || uses[word] < uses[rarest])
                rarest = std::move(word);
        });
        (rarest.empty() ? without_word_ : by_word_[rarest]).push_back(i);
    }
}

Messages Messages::load(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in)
        throw std::runtime_error("cannot read the message file " + file.string());
    const nlohmann::json json = nlohmann::json::parse(in, nullptr, false);
    if (!json.is_object())
        throw std::runtime_error("the message file " + file.string() + " is not a JSON object of texts");
    std::vector<std::pair<std::string, std::string>> entries;
    for (const auto& [english, translation] : json.items()) {
        if (!translation.is_string())
            throw std::runtime_error("the message file " + file.string() + ": the value of \"" + english +
                                     "\" is not a text");
        entries.emplace_back(english, translation.get<std::string>());
    }
    return Messages(entries);
}

std::string Messages::translate(std::string_view sentence) const {
    if (patterns_.empty() || sentence.empty() || sentence.size() > kLongestSentence)
        return std::string(sentence);
    std::string key(sentence);
    if (const auto found = seen_.find(key); found != seen_.end())
        return found->second;
    if (seen_.size() >= kMostSeen)
        seen_.clear();
    std::string result = known(sentence, 0).value_or(key);
    return seen_.emplace(std::move(key), std::move(result)).first->second;
}

std::optional<std::string> Messages::known(std::string_view sentence, int depth) const {
    if (depth > kDeepest || letters(sentence.substr(0, 200)) < 2)
        return std::nullopt;
    auto result = by_pattern(sentence, depth);
    return result ? result : by_glue(sentence, depth);
}

std::optional<std::string> Messages::by_pattern(std::string_view sentence, int depth) const {
    std::vector<std::uint32_t> candidates = without_word_;
    each_word(sentence, false, false, [&](const std::string& word) {
        if (const auto found = by_word_.find(word); found != by_word_.end())
            candidates.insert(candidates.end(), found->second.begin(), found->second.end());
    });
    std::sort(candidates.begin(), candidates.end());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    for (const std::uint32_t i : candidates)
        if (const auto values = match(patterns_[i].literals, sentence))
            return filled(patterns_[i], *values, depth);
    return std::nullopt;
}

/// "PATH: sentence", "PATH sentence" and "sentence: detail": every place where the glue stands is tried, and one side
/// must be known; the left one only before a colon, as words after a sentence belong to it.
std::optional<std::string> Messages::by_glue(std::string_view sentence, int depth) const {
    for (const Pattern& glue : glue_) {
        const std::string& between = glue.literals[1];
        if (!sentence.starts_with(glue.literals[0]) || !sentence.ends_with(glue.literals[2]) || between.empty())
            continue;
        const std::size_t end = sentence.size() - glue.literals[2].size();
        std::size_t at = sentence.find(between, glue.literals[0].size());
        for (int tries = 0; tries < kMostGlue && at != std::string_view::npos && at + between.size() < end;
             ++tries, at = sentence.find(between, at + 1)) {
            const std::string_view left = sentence.substr(glue.literals[0].size(), at - glue.literals[0].size()),
                                   right = sentence.substr(at + between.size(), end - at - between.size());
            if (!left.empty() && (by_pattern(right, depth + 1) || (between[0] == ':' && by_pattern(left, depth + 1))))
                return filled(glue, {left, right}, depth);
        }
    }
    return std::nullopt;
}

std::string Messages::filled(const Pattern& pattern, const Values& values, int depth) const {
    std::string out = pattern.parts.front();
    for (std::size_t i = 0; i < pattern.order.size(); ++i) {
        const std::string_view value = values[pattern.order[i]];
        out += known(value, depth + 1).value_or(std::string(value)) + pattern.parts[i + 1];
    }
    return out;
}

}  // namespace moescope::ui
