#include "app/notices.hpp"

#include <algorithm>

namespace moescope::app {

std::optional<Notices::Line> Notices::status(const history::SharedList<history::LogLine>& log, double now,
                                             std::uint64_t wall_ns) const {
    if (!list_.empty() && count_ != read_) {
        const Notice& newest = list_.back();
        const double left = newest.time +
                            (newest.error          ? kErrorSeconds
                             : newest.file.empty() ? kPlainSeconds
                                                   : kFileSeconds) -
                            now;
        if (left > 0) {
            return Line{newest.text, newest.error, true, left, newest.file};
        }
    }
    // Behind many errors there may be no line to show: that is as good as an old one.
    constexpr std::size_t kLooked = 200;
    for (std::size_t i = 0; i < std::min(kLooked, log.size()); ++i) {
        const history::LogLine& line = log[log.size() - 1 - i];
        if (line.level != "error" && line.level != "warning") {
            return Line{.text = line.text};
        }
        const double age = wall_ns > line.time_ns ? static_cast<double>(wall_ns - line.time_ns) * 1e-9 : 0;
        if (age < kErrorSeconds && line.time_ns > read_wall_ns_) {
            return Line{.text = line.text, .error = line.level == "error", .seconds = kErrorSeconds - age};
        }
    }
    return {};
}

}  // namespace moescope::app
