#include "nodes/servers/event_stream.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace moescope::servers {

namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

/// Of the fields of an event only data is of use; a line that begins with a colon is a comment.
void EventStream::take_line() {
    std::string_view line = line_;
    if (!begun_ && line.starts_with(kByteOrderMark)) {
        line.remove_prefix(kByteOrderMark.size());
    }
    begun_ = true;
    const std::string_view name = line.substr(0, line.find(':'));
    if (name == "data") {
        std::string_view value = line.substr(std::min(name.size() + 1, line.size()));
        if (value.starts_with(' ')) {
            value.remove_prefix(1);
        }
        data_ += has_data_ ? "\n" : "";
        data_ += value;
        has_data_ = true;
    }
    line_.clear();
}

bool EventStream::feed(std::string_view bytes, const std::function<bool(std::string_view)>& on_event) {
    while (!bytes.empty()) {
        if (after_return_ && bytes.front() == '\n') {
            bytes.remove_prefix(1);  // the second half of a line's end
            after_return_ = false;
            continue;
        }
        after_return_ = false;
        const std::size_t end = bytes.find_first_of("\r\n");
        const std::string_view part = bytes.substr(0, end);
        if (line_.size() + data_.size() + part.size() > most_) {
            throw base::Error(base::say("{} sends an event of more than {} bytes", source_, most_));
        }
        line_ += part;
        if (end == std::string_view::npos) {
            return true;
        }
        after_return_ = bytes[end] == '\r';
        bytes.remove_prefix(end + 1);
        if (!line_.empty()) {
            take_line();
        } else if (has_data_) {
            std::string data;
            data.swap(data_);
            has_data_ = false;
            if (!on_event(data)) {
                return false;
            }
        }
    }
    return true;
}

}  // namespace moescope::servers
