// Lines that tell what happened: the newest stands in the status line, all of them in a list behind it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

namespace moescope::app {

struct Notice {
    double time = 0;  ///< client::now_seconds()
    bool error = false;
    std::string text;
};

class Notices {
 public:
    static constexpr std::size_t kKept = 200;
    void add(std::string text, bool error, double now) {
        if (list_.size() == kKept)
            list_.pop_front();
        list_.push_back({now, error, std::move(text)});
        ++count_;
    }
    const std::deque<Notice>& list() const { return list_; }
    std::uint64_t count() const { return count_; }  ///< of all times

 private:
    std::deque<Notice> list_;
    std::uint64_t count_ = 0;
};

}  // namespace moescope::app
