// The catalogue of one language, in the manner of gettext: the English pattern of a sentence -> its translation.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::base {

/// Translations name the values {0}, {1}, ... and may use them in another order. Never changes once it is made, so any
/// thread may read it. An empty one translates nothing: English needs none.
class Messages {
 public:
    Messages() = default;
    /// `entries`: pattern -> translation. Throws Error naming the pattern whose places do not fit.
    explicit Messages(const std::vector<std::pair<std::string, std::string>>& entries);
    /// Of a folder of assets/languages/: messages.json, a JSON object of patterns and translations (English needs
    /// none), and the names of settings, which stand among the texts of the window (texts.json) as runs.field.<key>: so
    /// setting_name(key) and setting_path(section, key) are read. Throws Error naming the file or the pattern.
    static Messages of_language(const std::filesystem::path& folder);

    /// Values that are sentences are translated too; a verbatim sentence, and one that is not in the catalogue, reads
    /// as its English text.
    std::string translate(const Sentence& sentence) const;
    std::size_t size() const { return translations_.size(); }

 private:
    struct Translation {
        std::vector<std::string> parts;   ///< the texts around the values, one more than values
        std::vector<std::size_t> values;  ///< the value between parts[i] and parts[i + 1]
    };
    std::unordered_map<std::string, Translation> translations_;
};

}  // namespace moescope::base
