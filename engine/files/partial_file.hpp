// A file that takes its name only when it is whole: large outputs, which are not read back after a crash.
#pragma once

#include <filesystem>
#include <fstream>

#include "base/error.hpp"

namespace moescope::engine {

/// What is said of a file that could not be written: the system's words where `cause`, an errno of just then, has them.
base::Error writing_failed(const std::filesystem::path& path, int cause);

class PartialFile {
 public:
    /// Writes into `path`.part.
    explicit PartialFile(const std::filesystem::path& path);
    /// Removes what was not committed.
    ~PartialFile();
    PartialFile(const PartialFile&) = delete;
    PartialFile& operator=(const PartialFile&) = delete;

    std::ofstream& stream() { return stream_; }
    /// Closes and renames. Throws Error naming the file when that or any write before it failed.
    void commit();

 private:
    const std::filesystem::path path_;
    std::filesystem::path partial_;
    std::ofstream stream_;
    bool committed_ = false;
};

}  // namespace moescope::engine
