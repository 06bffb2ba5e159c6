// Checkpoints that somebody is about to open: the run that wrote them must not forget them meanwhile.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>

namespace moescope::node {

/// Thread safe. Outlives its holds.
class CheckpointHolds {
 public:
    /// Copies share the hold; the last one that goes ends it.
    using Hold = std::shared_ptr<const void>;

    /// The folder is not forgotten as long as the hold is there. It may be gone already: look after that.
    Hold hold(const std::filesystem::path& folder);
    /// Carries `forget` out, unless somebody holds the folder; nobody gets a hold meanwhile. Throws what `forget`
    /// throws.
    void forget_unless_held(const std::filesystem::path& folder, const std::function<void()>& forget);

 private:
    std::mutex mutex_;
    std::multiset<std::filesystem::path> held_;
};

}  // namespace moescope::node
