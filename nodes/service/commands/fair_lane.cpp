#include "nodes/service/commands/fair_lane.hpp"

#include <algorithm>
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

bool FairLane::drop(const std::string& id) {
    const std::lock_guard lock(mutex_);
    if (id.empty() || closed_) {
        return false;
    }
    for (auto who = waiting_.begin(); who != waiting_.end(); ++who) {
        auto& pieces = who->second;
        const auto found = std::find_if(pieces.begin(), pieces.end(), [&](const Work& work) { return work.id == id; });
        if (found != pieces.end()) {
            pieces.erase(found);
            if (pieces.empty()) {
                waiting_.erase(who);
            }
            return true;
        }
    }
    return false;
}

void FairLane::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
}

void FairLane::finish() {
    close();
    executor_.finish();
}

/// As often as something was posted: there is a piece to take, unless one was dropped.
void FairLane::do_next() {
    std::unique_lock lock(mutex_);
    if (waiting_.empty()) {
        return;
    }
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
