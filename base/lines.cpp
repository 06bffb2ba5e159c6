#include "base/lines.hpp"

#include <algorithm>
#include <cerrno>
#include <span>
#include <unistd.h>
#include <utility>

#include "base/error.hpp"

namespace moescope::base {

namespace {
constexpr std::size_t kPiece = std::size_t{1} << 16;
}

Lines::Lines(const std::string& name, std::size_t longest) : longest_(longest) {
    if (name != "-") {
        file_.emplace(InputFile(name));
    }
}

Lines::Lines(InputFile&& file, std::size_t longest) : longest_(longest), file_(std::move(file)) {}

bool Lines::next(std::string& line) {
    line.clear();
    ++number_;
    for (;;) {
        const std::size_t end = std::min(buffer_.find('\n', at_), buffer_.size());
        line.append(buffer_, at_, end - at_);
        if (line.size() > longest_) {
            throw Error(say("has more than {} bytes", longest_));
        }
        const bool complete = end < buffer_.size();
        at_ = complete ? end + 1 : end;
        if (complete || !read_more()) {
            if (number_ == 1 && line.compare(0, 3, "\xEF\xBB\xBF") == 0) {
                line.erase(0, 3);
            }
            if (!line.empty() && line.back() == '\r') {
                line.pop_back();
            }
            return complete || !line.empty();
        }
    }
}

bool Lines::read_more() {
    buffer_.resize(kPiece);
    at_ = 0;
    std::size_t count = 0;
    if (file_) {
        count = file_->read_some(offset_, std::span<char>(buffer_));
    } else {
        ssize_t got = 0;
        while ((got = ::read(STDIN_FILENO, buffer_.data(), buffer_.size())) < 0) {
            if (errno != EINTR) {
                throw Error(say("can't be read: {}", system_sentence(errno)));
            }
        }
        count = static_cast<std::size_t>(got);
    }
    buffer_.resize(count);
    offset_ += count;
    return count > 0;
}

}  // namespace moescope::base
