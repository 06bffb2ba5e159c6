// Standard output and signals of a command.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::node {

/// One line of JSON Lines; invalid UTF-8 is replaced.
void print_json(const nlohmann::json& value);

/// One line each on standard error: what is worth knowing and no reason to fail.
void print_warnings(const std::vector<base::Sentence>& sentences);

/// SIGINT and SIGTERM are held back from all threads started later and taken with `taken`.
class HeldSignals {
 public:
    HeldSignals();
    /// Waits at most `milliseconds`; true when one of the two came, now or earlier.
    bool taken(int milliseconds);

 private:
    bool seen_ = false;
};

}  // namespace moescope::node
