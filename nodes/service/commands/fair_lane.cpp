#include "nodes/service/commands/fair_lane.hpp"

#include <utility>

namespace moescope::node {

void FairLane::post(std::uint64_t who, Work work) {
    {
        const std::lock_guard lock(mutex_);
        if (!closed_) {
            waiting_[who].push_back(std::move(work));
            executor_.post([this] { do_next(); });
            return;
        }
    }
    work.give_up();
}

void FairLane::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
}

void FairLane::finish() {
    close();
    executor_.finish();
}

/// As often as something was posted: there is always a piece to take.
void FairLane::do_next() {
    std::unique_lock lock(mutex_);
    auto next = waiting_.upper_bound(latest_);
    if (next == waiting_.end()) {
        next = waiting_.begin();
    }
    latest_ = next->first;
    const Work work = std::move(next->second.front());
    next->second.pop_front();
    if (next->second.empty()) {
        waiting_.erase(next);
    }
    const bool closed = closed_;
    lock.unlock();
    (closed ? work.give_up : work.carry_out)();
}

}  // namespace moescope::node
