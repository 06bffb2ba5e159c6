// Lines that tell what happened: the newest stands in the status line for a while, all of them in a list behind it.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>

#include "nodes/client/snapshot.hpp"

namespace moescope::app {

struct Notice {
    double time = 0;  ///< client::now_seconds()
    bool error = false;
    base::Sentence text;
    std::filesystem::path file{};  ///< not empty: what was written, for the button that shows it
};

class Notices {
 public:
    static constexpr std::size_t kKept = 200;
    void add(base::Sentence text, bool error, double now, std::filesystem::path file = {}) {
        if (list_.size() == kKept) {
            list_.pop_front();
        }
        list_.push_back({now, error, std::move(text), std::move(file)});
        ++count_;
    }
    const std::deque<Notice>& list() const { return list_; }
    std::uint64_t count() const { return count_; }  ///< of all times
    /// Somebody has opened the list, or the log, at wall clock `wall_ns`: what is in it leaves the status line.
    void mark_read(std::uint64_t wall_ns) {
        read_ = count_;
        read_wall_ns_ = wall_ns;
    }

    static constexpr double kErrorSeconds = 20, kPlainSeconds = 8, kFileSeconds = 20;
    struct Line {
        base::Sentence text{};
        bool error = false;
        bool notice = false;              ///< else a line of the log
        std::optional<double> seconds{};  ///< until it goes by itself; none: it stays
        std::filesystem::path file{};     ///< of the notice
    };
    /// What the status line shows: a fresh notice, else the newest line of the log. Errors and warnings stand for
    /// kErrorSeconds, so that a refusal is not repeated for ever; the list and the log keep them. No line comes back
    /// that is older than an error: it would tell what is not so any more.
    std::optional<Line> status(const history::SharedList<history::LogLine>& log, double now,
                               std::uint64_t wall_ns) const;

 private:
    std::deque<Notice> list_;
    std::uint64_t count_ = 0, read_ = 0;
    std::uint64_t read_wall_ns_ = 0;
};

}  // namespace moescope::app
