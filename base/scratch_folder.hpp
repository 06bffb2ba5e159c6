// A folder for what is needed for a while.
#pragma once

#include <filesystem>

#include "base/owned_folder.hpp"

namespace moescope::base {

/// An empty folder of the user alone (mode 0700) among the system's temporary ones; gone with the object, and what is
/// in it too. What a process that was killed has left is removed when the next process makes its first.
class ScratchFolder {
 public:
    ScratchFolder();  ///< throws Error: it can't be made
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    const std::filesystem::path& path() const { return path_; }

 private:
    OwnedFolder owned_;
    std::filesystem::path path_;  ///< in it, beside the lock
};

}  // namespace moescope::base
