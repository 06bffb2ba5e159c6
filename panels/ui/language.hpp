// Texts of the user interface. Every visible text is a key in the files of assets/languages/{en,zh}/.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/messages.hpp"

namespace moescope::ui {

/// A JSON object of flat keys ("training.start": "Start"). Owned by the app, read by panels on the GUI thread.
class Language {
 public:
    /// `folder` holds one JSON file per part of the window (assets/languages/en/app.json, ...); all are merged. A key
    /// that stands in two files is an error. messages.json is no such part: it is the catalogue behind
    /// message(), with the names of settings (base::Messages::of_language). Throws std::runtime_error naming the file.
    static Language load(const std::filesystem::path& folder, std::string code);

    const std::string& code() const { return code_; }  ///< "en" or "zh"
    /// The text of a key; the key itself in angle quotes when it is missing, so that a test and a person see it. The
    /// pointer stays valid until the language changes.
    const char* operator()(std::string_view key) const;
    /// Text with {name} placeholders replaced.
    std::string format(std::string_view key,
                       std::initializer_list<std::pair<std::string_view, std::string>> values) const;
    /// A sentence of the node or the client in this language, where messages.json of the folder knows it; in English,
    /// or as it came, where not.
    std::string message(const base::Sentence& sentence) const;
    bool has(std::string_view key) const;
    /// A name that came from elsewhere: the text of the key `prefix` + `name`, or `name` itself where there is none.
    std::string named(std::string_view prefix, const std::string& name) const;
    /// "Translated###key": the ImGui label whose id stays the same in every language. Pointer valid until the next
    /// language change.
    const char* label(std::string_view key) const;
    /// An integer, grouped ("2,000"); a real number with at most `digits` significant digits.
    std::string number(std::uint64_t value) const;
    std::string number(double value, int digits = 4) const;
    const std::unordered_map<std::string, std::string>& texts() const { return texts_; }

 private:
    std::string code_;
    std::unordered_map<std::string, std::string> texts_;
    base::Messages messages_;
    mutable std::unordered_map<std::string, std::string> labels_, missing_;
};

}  // namespace moescope::ui
