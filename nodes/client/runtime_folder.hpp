// A private folder for the node's socket and its messages. Gone with its owner; what an owner that was killed left
// behind is removed by the next one.
#pragma once

#include <filesystem>
#include <optional>

#include "base/owned_folder.hpp"

namespace moescope::client {

class RuntimeFolder {
 public:
    /// Makes a folder of mode 0700 in $XDG_RUNTIME_DIR or /tmp. path() is empty when neither takes one.
    RuntimeFolder();
    RuntimeFolder(const RuntimeFolder&) = delete;
    RuntimeFolder& operator=(const RuntimeFolder&) = delete;
    std::filesystem::path path() const { return folder_ ? folder_->path() : std::filesystem::path(); }

 private:
    std::optional<base::OwnedFolder> folder_;
};

}  // namespace moescope::client
