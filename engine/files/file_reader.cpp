#include "engine/files/file_reader.hpp"

#include <algorithm>
#include <cstring>
#include <span>

#include "engine/error.hpp"

namespace moescope::engine {
namespace {
constexpr std::size_t kBufferBytes = 256U << 10;
}

FileReader::FileReader(const std::filesystem::path& path) : file_(path) {}

void FileReader::require(std::uint64_t count, base::Marked what) const {
    if (count > left()) {
        throw Error(
            say("ends at byte {} inside {}, which needs {} bytes from byte {}", size(), what, count, position_));
    }
}

void FileReader::refill() {
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBufferBytes, left())));
    next_ = 0;
    file_.read(position_, std::span(buffer_));
}

void FileReader::read(void* target, std::uint64_t count, base::Marked what) {
    require(count, what);
    char* out = static_cast<char*>(target);
    while (count > 0) {
        if (next_ == buffer_.size()) {
            refill();
        }
        const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count, buffer_.size() - next_));
        std::memcpy(out, buffer_.data() + next_, part);
        out += part;
        next_ += part;
        position_ += part;
        count -= part;
    }
}

void FileReader::skip(std::uint64_t count, base::Marked what) {
    require(count, what);
    if (count <= buffer_.size() - next_) {
        next_ += static_cast<std::size_t>(count);
        position_ += count;
        return;
    }
    position_ += count;
    buffer_.clear();
    next_ = 0;
}

std::string FileReader::text(std::uint64_t count, base::Marked what) {
    require(count, what);
    std::string result(static_cast<std::size_t>(count), '\0');
    read(result.data(), count, what);
    return result;
}

}  // namespace moescope::engine
