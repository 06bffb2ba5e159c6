#include "nodes/service/jobs/checkpoint_holds.hpp"

namespace moescope::node {

CheckpointHolds::Hold CheckpointHolds::hold(const std::filesystem::path& folder) {
    const std::lock_guard lock(mutex_);
    const auto here = held_.insert(folder);
    return {&*here, [this, here](const void*) {
                const std::lock_guard end(mutex_);
                held_.erase(here);
            }};
}

void CheckpointHolds::forget_unless_held(const std::filesystem::path& folder, const std::function<void()>& forget) {
    const std::lock_guard lock(mutex_);
    if (!held_.contains(folder)) {
        forget();
    }
}

}  // namespace moescope::node
