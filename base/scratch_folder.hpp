// A folder for what is needed for a while.
#pragma once

#include <filesystem>

namespace moescope::base {

/// An empty folder of the user alone (mode 0700) among the system's temporary ones; gone with the object, and what is
/// in it too.
class ScratchFolder {
 public:
    ScratchFolder();  ///< throws Error: it can't be made
    ~ScratchFolder();
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    const std::filesystem::path& path() const { return path_; }

 private:
    std::filesystem::path path_;
};

}  // namespace moescope::base
