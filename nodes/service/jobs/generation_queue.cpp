#include "nodes/service/jobs/generation_queue.hpp"

#include <chrono>

namespace moescope::node {

GenerationQueue::Place::Place(GenerationQueue& turns, std::string group) : turns_(turns), group_(std::move(group)) {
    const std::lock_guard lock(turns_.mutex_);
    at_ = turns_.queue_.insert(turns_.queue_.end(), this);
}

GenerationQueue::Place::~Place() {
    {
        const std::lock_guard lock(turns_.mutex_);
        turns_.queue_.erase(at_);
    }
    turns_.wake_.notify_all();
}

bool GenerationQueue::Place::is_next_locked() const {
    const Place* first = turns_.queue_.front();
    return first == this || (!group_.empty() && first->group_ == group_);
}

bool GenerationQueue::Place::is_next() const {
    const std::lock_guard lock(turns_.mutex_);
    return is_next_locked();
}

bool GenerationQueue::Place::wait(const std::atomic<bool>& cancel) {
    std::unique_lock lock(turns_.mutex_);
    // Whoever cancels only sets the flag: it is looked at often enough for a person.
    while (!cancel && !is_next_locked()) {
        turns_.wake_.wait_for(lock, std::chrono::milliseconds(20));
    }
    return !cancel;
}

}  // namespace moescope::node
