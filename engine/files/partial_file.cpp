#include "engine/files/partial_file.hpp"

#include "engine/error.hpp"

namespace moescope::engine {

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
    stream_.close();
    std::error_code error;
    if (stream_) {
        std::filesystem::rename(partial_, path_, error);
    }
    if (!stream_ || error) {
        throw Error(base::say("{}: writing failed; check that the folder exists and the disk has room", path_));
    }
    committed_ = true;
}

}  // namespace moescope::engine
