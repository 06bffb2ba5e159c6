#include "engine/files/partial_file.hpp"

#include <cerrno>

#include "engine/error.hpp"

namespace moescope::engine {

base::Error writing_failed(const std::filesystem::path& path, int cause) {
    return Error(cause != 0 ? say("{} can't be written: {}", path, base::system_sentence(cause))
                            : say("{}: writing failed; check that the folder exists and the disk has room", path));
}

PartialFile::PartialFile(const std::filesystem::path& path) : path_(path), partial_(path) {
    partial_ += ".part";
    stream_.open(partial_, std::ios::binary | std::ios::trunc);
}

PartialFile::~PartialFile() {
    if (!committed_) {
        std::error_code ignored;
        std::filesystem::remove(partial_, ignored);
    }
}

void PartialFile::commit() {
    // Of the write that failed: nobody calls the system after it but this.
    int cause = stream_ ? 0 : errno;
    errno = 0;
    stream_.close();
    if (cause == 0 && !stream_) {
        cause = errno;
    }
    std::error_code error;
    if (stream_) {
        std::filesystem::rename(partial_, path_, error);
        cause = error.value();
    }
    if (!stream_ || error) {
        throw writing_failed(path_, cause);
    }
    committed_ = true;
}

}  // namespace moescope::engine
