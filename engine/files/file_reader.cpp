#include "engine/files/file_reader.hpp"

#include <algorithm>
#include <cstring>
#include <span>

#include "engine/error.hpp"

namespace moescope::engine {
namespace {
constexpr std::size_t kBufferBytes = 256U << 10;
constexpr std::size_t kFirstBytes = 1U << 10;          // read after a leap, as another one may follow
constexpr std::uint64_t kMaxTextBytes = 128ULL << 20;  // more than any header
}  // namespace

FileReader::FileReader(const std::filesystem::path& path) : file_(path) {}

void FileReader::require(std::uint64_t count, base::Marked what) const {
    if (count > left()) {
        throw Error(
            say("ends at byte {} inside {}, which needs {} bytes from byte {}", size(), what, count, position_));
    }
}

void FileReader::refill() {
    ahead_ = std::min(std::max(kFirstBytes, ahead_ * 2), kBufferBytes);
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(ahead_, left())));
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
    ahead_ = 0;
}

std::string FileReader::text(std::uint64_t count, base::Marked what) {
    require(count, what);
    if (count > kMaxTextBytes) {
        throw Error(say("has {} of {} bytes, more than the {} that are read", what, count, kMaxTextBytes));
    }
    std::string result(static_cast<std::size_t>(count), '\0');
    read(result.data(), count, what);
    return result;
}

}  // namespace moescope::engine
