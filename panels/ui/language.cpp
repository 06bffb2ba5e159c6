#include "panels/ui/language.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/input_file.hpp"
#include "nodes/history/checkpoint_name.hpp"

namespace moescope::ui {
namespace {

/// Adds one file's texts; every value must be a string and every key new.
void merge_file(const std::filesystem::path& file, std::unordered_map<std::string, std::string>& texts) {
    constexpr std::uint64_t kMostBytes = std::uint64_t{4} << 20;
    const nlohmann::json json = base::read_json_file(file, kMostBytes);
    if (!json.is_object()) {
        throw std::runtime_error("the language file " + file.string() + " is not a JSON object of texts");
    }
    for (const auto& [key, value] : json.items()) {
        if (!value.is_string()) {
            throw std::runtime_error("the language file " + file.string() + ": the value of \"" + key +
                                     "\" is not a text");
        }
        if (!texts.emplace(key, value.get<std::string>()).second) {
            throw std::runtime_error("the language file " + file.string() + ": the key \"" + key +
                                     "\" stands in two files");
        }
    }
}

/// Puts a comma between groups of three digits of the leading integer part: in both languages what a reader expects.
std::string grouped(std::string digits) {
    const std::size_t start = !digits.empty() && digits[0] == '-' ? 1 : 0;
    std::size_t end = digits.find_first_not_of("0123456789", start);
    if (end == std::string::npos) {
        end = digits.size();
    }
    if (end - start < 4) {
        return digits;
    }
    for (std::size_t i = end; i > start + 3;) {
        i -= 3;
        digits.insert(i, ",");
    }
    return digits;
}

}  // namespace

Language Language::load(const std::filesystem::path& folder, std::string code) {
    Language language;
    language.code_ = std::move(code);
    std::error_code error;
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        if (entry.path().extension() == ".json") {
            files.push_back(entry.path());
        }
    }
    if (files.empty()) {
        throw std::runtime_error("no language files in " + folder.string() + "; build again or reinstall");
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) {
        if (file.filename() != "messages.json") {
            merge_file(file, language.texts_);
        }
    }
    language.messages_ = base::Messages::of_language(folder);
    return language;
}

const char* Language::operator()(std::string_view key) const {
    std::string name(key);
    const auto found = texts_.find(name);
    if (found != texts_.end()) {
        return found->second.c_str();
    }
    auto [entry, added] = missing_.try_emplace(std::move(name));
    if (added) {
        entry->second = "\u2039" + entry->first + "\u203a";
    }
    return entry->second.c_str();
}

bool Language::has(std::string_view key) const {
    return texts_.count(std::string(key)) != 0;
}

std::string Language::named(std::string_view prefix, const std::string& name) const {
    const auto found = texts_.find(std::string(prefix) + name);
    return found == texts_.end() ? name : found->second;
}

std::string Language::format(std::string_view key,
                             std::initializer_list<std::pair<std::string_view, std::string>> values) const {
    const std::string_view pattern = (*this)(key);
    std::string result;
    for (std::size_t i = 0; i < pattern.size();) {
        const std::size_t close = pattern[i] == '{' ? pattern.find('}', i) : std::string_view::npos;
        if (close == std::string_view::npos) {
            result += pattern[i++];
            continue;
        }
        const std::string_view name = pattern.substr(i + 1, close - i - 1);
        const auto value = std::find_if(values.begin(), values.end(), [&](const auto& v) { return v.first == name; });
        if (value == values.end()) {
            result += pattern.substr(i, close - i + 1);
        } else {
            result += value->second;
        }
        i = close + 1;
    }
    return result;
}

const char* Language::label(std::string_view key) const {
    auto [entry, added] = labels_.try_emplace(std::string(key));
    if (added) {
        entry->second = std::string((*this)(key)) + "###" + std::string(key);
    }
    return entry->second.c_str();
}

std::string Language::number(std::uint64_t value) const {
    return grouped(std::to_string(value));
}

std::string Language::number(double value, int digits) const {
    if (std::isnan(value)) {
        return "\u2013";
    }
    if (std::isinf(value)) {
        return value > 0 ? "\u221e" : "-\u221e";
    }
    digits = std::clamp(digits, 1, 17);
    const double size = std::fabs(value);
    char buffer[64];
    // From 10^digits on every whole digit is shown: rounding 12,345 to 12,350 would surprise more than a fifth digit
    // does.
    if (size >= std::pow(10.0, digits) && size < 1e15) {
        std::snprintf(buffer, sizeof buffer, "%.0f", value);
    } else {
        std::snprintf(buffer, sizeof buffer, "%.*g", digits, value);
    }
    return grouped(buffer);
}

std::string Language::message(const base::Sentence& sentence) const {
    return messages_.translate(history::with_model_sentences(sentence));
}

}  // namespace moescope::ui
