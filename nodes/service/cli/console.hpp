// Standard output, signals and options of a command.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::node {

/// One line of JSON Lines; invalid UTF-8 is replaced.
void print_json(const nlohmann::json& value);

/// One line each on standard error: what is worth knowing and no reason to fail.
void print_warnings(const std::vector<base::Sentence>& sentences);

/// Text of several lines for a terminal: every line as base::one_line has it.
std::string for_terminal(const std::string& text);

/// For ->check(): a whole number in digits from `least` to `most`. CLI11 alone takes an empty text for 0, -1 for the
/// largest number, and whatever is too large for the next that fits.
CLI::Validator whole_number(std::int64_t least, std::uint64_t most);
/// The same for a number that may have a fraction and an exponent.
CLI::Validator real_number(double least, double most);
/// For ->check(): a text that is not empty.
CLI::Validator filled();

/// SIGINT and SIGTERM are held back from all threads started later and taken with `taken`.
class HeldSignals {
 public:
    HeldSignals();
    /// Waits at most `milliseconds`; true when one of the two came, now or earlier.
    bool taken(int milliseconds);

 private:
    bool seen_ = false;
};

/// What --system and --no-chat say about themselves, wherever they stand.
inline constexpr const char* kSystemHelp =
    "Text of a system turn before the prompt; left out: the chat template puts its own, if it has one";
inline constexpr const char* kPlainHelp = "Send the prompt as it is, not in the model's chat template";

}  // namespace moescope::node
