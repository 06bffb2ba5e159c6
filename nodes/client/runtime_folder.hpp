// A private folder for the node's socket and its messages. Gone with its owner; what an owner that was killed left
// behind is removed by the next one.
#pragma once

#include <filesystem>

namespace moescope::client {

class RuntimeFolder {
 public:
    /// Makes a folder of mode 0700 in $XDG_RUNTIME_DIR or /tmp. path() is empty when neither takes one.
    RuntimeFolder();
    ~RuntimeFolder();
    RuntimeFolder(const RuntimeFolder&) = delete;
    RuntimeFolder& operator=(const RuntimeFolder&) = delete;
    const std::filesystem::path& path() const { return path_; }

 private:
    bool make_in(const std::filesystem::path& base);

    std::filesystem::path path_;
    int lock_ = -1;  ///< held as long as the owner lives: the kernel lets go of it even when the owner is killed
};

}  // namespace moescope::client
