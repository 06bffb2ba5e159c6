// Standard output and signals of a command.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/sentence.hpp"

namespace moescope::node {

/// One line of JSON Lines; invalid UTF-8 is replaced.
void print_json(const nlohmann::json& value);

/// SIGINT and SIGTERM are held back from all threads started later and taken with `taken`.
class HeldSignals {
 public:
    HeldSignals();
    /// Waits at most `milliseconds`; true when one of the two came, now or earlier.
    bool taken(int milliseconds);

 private:
    bool seen_ = false;
};

/// Throws base::Error naming `what` when a text from the command line is not valid UTF-8.
void require_utf8(const std::string& text, base::Marked what);

/// What --system and --no-chat say about themselves, wherever they stand.
inline constexpr const char* kSystemHelp =
    "Text of a system turn before the prompt; left out: the chat template puts its own, if it has one";
inline constexpr const char* kPlainHelp = "Send the prompt as it is, not in the model's chat template";

}  // namespace moescope::node
