// Files and folders that appear whole or not at all, whatever happens while they are written.
#pragma once

#include <filesystem>
#include <string_view>

namespace moescope::base {

/// A folder that appears whole or not at all: write into path(), then commit(): files and folder are fsynced, the
/// folder renamed to its final name, the parent fsynced. Without commit the destructor removes it.
class AtomicFolder {
 public:
    explicit AtomicFolder(std::filesystem::path final_path);  ///< throws std::runtime_error
    ~AtomicFolder();
    AtomicFolder(const AtomicFolder&) = delete;
    AtomicFolder& operator=(const AtomicFolder&) = delete;
    const std::filesystem::path& path() const { return temporary_; }
    void commit();  ///< writes DONE (hashes of all files) last; throws, and then the old state stays

 private:
    std::filesystem::path final_, temporary_;
    bool committed_ = false;
};

/// One file that is replaced whole or not at all (temporary + fsync + rename + fsync of the folder). Throws
/// std::runtime_error.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace moescope::base
