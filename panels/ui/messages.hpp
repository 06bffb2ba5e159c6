// Sentences that a node writes in English, shown in the language of the window: a message catalogue in the manner of
// gettext. The protocol stays English; what the catalogue does not know is shown as it came.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace moescope::ui {

/// Patterns are the English texts of the sources with {} for every value; translations name the values {0}, {1}, ...
/// and may use them in another order. A pattern that begins with a space or a semicolon goes on
/// after any other sentence, one that ends with a space before anything. A value that
/// is itself a known sentence ("the model 'm' cannot be used: <reason>") is translated too. GUI thread only, as it
/// keeps what it has translated.
class Messages {
 public:
    Messages() = default;
    /// `entries`: pattern -> translation. Throws std::runtime_error naming the pattern whose placeholders do not fit.
    explicit Messages(const std::vector<std::pair<std::string, std::string>>& entries);
    /// A JSON object of patterns and translations. Throws std::runtime_error naming the file or the pattern.
    static Messages load(const std::filesystem::path& file);

    /// The translation, or the sentence itself when no pattern fits. A few microseconds for a new sentence of a log
    /// line's length, a hash lookup for one seen before.
    std::string translate(std::string_view sentence) const;
    std::size_t size() const { return patterns_.size(); }

 private:
    struct Pattern {
        std::vector<std::string> literals;  ///< one more than there are values; the first and last are anchored
        std::vector<std::string> parts;     ///< of the translation: literals around values
        std::vector<std::size_t> order;     ///< the value between parts[i] and parts[i + 1]
        std::size_t weight = 0;             ///< bytes of the literals: the more, the more specific
    };
    using Values = std::vector<std::string_view>;

    static Pattern pattern_of(const std::string& english, const std::string& translation);
    void index();
    std::optional<std::string> known(std::string_view sentence, int depth) const;
    std::optional<std::string> by_pattern(std::string_view sentence, int depth) const;
    std::optional<std::string> by_glue(std::string_view sentence, int depth) const;
    std::string filled(const Pattern& pattern, const Values& values, int depth) const;

    std::vector<Pattern> patterns_;  ///< most specific first
    std::vector<Pattern> glue_;      ///< "{}: {}" and the like: no letters, so only good around a known sentence
    /// Positions in patterns_ under one word that any sentence of the pattern must hold.
    std::unordered_map<std::string, std::vector<std::uint32_t>> by_word_;
    std::vector<std::uint32_t> without_word_;
    mutable std::unordered_map<std::string, std::string> seen_;
};

}  // namespace moescope::ui
