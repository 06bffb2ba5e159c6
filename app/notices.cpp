#include "app/notices.hpp"

#include <algorithm>

namespace moescope::app {

std::optional<Notices::Line> Notices::status(const history::SharedList<history::LogLine>& log, double now,
                                             std::uint64_t wall_ns) const {
    std::uint64_t since_ns = 0;  // what is older tells what a later failure has overtaken
    if (!list_.empty() && list_.back().error) {
        const double age = now - list_.back().time;
        const auto age_ns = static_cast<std::uint64_t>(std::max(0.0, age) * 1e9);
        since_ns = wall_ns > age_ns ? wall_ns - age_ns : 0;
    }
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
    constexpr std::size_t kLooked = 200;
    for (std::size_t i = 0; i < std::min(kLooked, log.size()); ++i) {
        const history::LogLine& line = log[log.size() - 1 - i];
        const bool error = line.level == "error";
        if (!error && line.level != "warning") {
            return line.time_ns < since_ns ? std::nullopt : std::optional(Line{.text = line.text});
        }
        const double age = wall_ns > line.time_ns ? static_cast<double>(wall_ns - line.time_ns) * 1e-9 : 0;
        if (age < kErrorSeconds && line.time_ns > read_wall_ns_) {
            return Line{.text = line.text, .error = error, .seconds = kErrorSeconds - age};
        }
        // "reading ... has begun" must not come back once the line that it failed has gone.
        if (error) {
            return {};
        }
    }
    return {};
}

}  // namespace moescope::app
