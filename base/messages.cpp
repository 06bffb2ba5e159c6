#include "base/messages.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/input_file.hpp"
#include "base/settings.hpp"

namespace moescope::base {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{4} << 20;  // of a catalogue

/// The number in the place "{12}" that begins at `open`, and where it ends; false when there is none.
bool number_at(std::string_view text, std::size_t open, std::size_t& close, std::size_t& number) {
    close = text.find('}', open);
    if (close == std::string_view::npos || close == open + 1 || close - open > 3) {
        return false;
    }
    const std::string digits(text.substr(open + 1, close - open - 1));
    if (!std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) {
        return false;
    }
    number = std::stoul(digits);
    return true;
}

constexpr std::string_view kSettingName = "runs.field.";

/// A JSON object of texts; none where there is no such file.
std::vector<std::pair<std::string, std::string>> texts_in(const std::filesystem::path& file) {
    std::error_code error;
    if (!std::filesystem::exists(file, error)) {
        return {};
    }
    const nlohmann::json json = read_json_file(file, kMostBytes);
    if (!json.is_object()) {
        throw Error(say("the message file {} is not a JSON object of texts", file));
    }
    std::vector<std::pair<std::string, std::string>> texts;
    for (const auto& [key, text] : json.items()) {
        if (!text.is_string()) {
            throw Error(say("the message file {}: the value of \"{}\" is not a text", file, key));
        }
        texts.emplace_back(key, text.get<std::string>());
    }
    return texts;
}

}  // namespace

Messages::Messages(const std::vector<std::pair<std::string, std::string>>& entries) {
    for (const auto& [english, text] : entries) {
        const int places = sentence_detail::places(english);
        if (places < 0) {
            throw Error(say("the message \"{}\" has a brace that is not {{}}", english));
        }
        Translation translation;
        translation.parts.resize(1);
        for (std::size_t i = 0; i < text.size(); ++i) {
            const bool brace = text[i] == '{' || text[i] == '}';
            if (!brace || (i + 1 < text.size() && text[i + 1] == text[i])) {
                translation.parts.back() += text[i];
                i += brace ? 1 : 0;
                continue;
            }
            std::size_t close = 0, value = 0;
            if (text[i] == '}' || !number_at(text, i, close, value)) {
                throw Error(say("the translation of the message \"{}\" has a brace that is not {{0}}", english));
            }
            if (value >= static_cast<std::size_t>(places)) {
                throw Error(say("the translation of the message \"{}\" names the value {}, which it does not have",
                                english, value));
            }
            translation.values.push_back(value);
            translation.parts.emplace_back();
            i = close;
        }
        translations_.emplace(english, std::move(translation));
    }
}

Messages Messages::of_language(const std::filesystem::path& folder) {
    std::vector<std::pair<std::string, std::string>> entries = texts_in(folder / "messages.json");
    for (const auto& [key, text] : texts_in(folder / "texts.json")) {
        if (key.starts_with(kSettingName) && key.find('.', kSettingName.size()) == std::string::npos) {
            const std::string setting = key.substr(kSettingName.size());
            entries.emplace_back(setting_name(setting).id(), text);
            for (const char* section : {"model", "train"}) {
                entries.emplace_back(setting_path(section, setting).id(), text);
            }
        }
    }
    return Messages(entries);
}

std::string Messages::translate(const Sentence& sentence) const {
    if (sentence.is_verbatim() || translations_.empty()) {
        return sentence.english();
    }
    const auto found = translations_.find(sentence.id());
    const bool known = found != translations_.end();
    const std::vector<std::string> english = known ? std::vector<std::string>() : pattern_parts(sentence.id());
    const std::vector<std::string>& parts = known ? found->second.parts : english;
    std::string out = parts.front();
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        const std::size_t value = known ? found->second.values[i] : i;
        if (value < sentence.arguments().size()) {
            out += translate(sentence.arguments()[value]);
        }
        out += parts[i + 1];
    }
    return out;
}

}  // namespace moescope::base
