// Files that a request to the process of a model names, which can open none but its model (worker_sandbox.hpp).
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <utility>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::node {

/// Puts them where the process can read them, as another name of the same file or else as a copy. Gone with the object.
class LentFiles {
 public:
    /// `folder`: which the process may read; empty: nothing is lent. `request`: its "tokens" and "replay", as far as
    /// they are texts, are paths; they become those of what was lent. Throws base::Error when a file can't be read.
    LentFiles(const std::filesystem::path& folder, nlohmann::json& request);
    ~LentFiles();
    LentFiles(const LentFiles&) = delete;
    LentFiles& operator=(const LentFiles&) = delete;

    /// The sentence with the names that people know.
    base::Sentence told(const base::Sentence& sentence) const;

 private:
    void lend(const std::filesystem::path& path, const std::filesystem::path& place);

    std::vector<std::pair<std::filesystem::path, std::filesystem::path>> files_;  ///< its name, and where it lies now
};

}  // namespace moescope::node
