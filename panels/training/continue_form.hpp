// Goes on with a run that ended early, on the device that a person chooses. Owned by the training panel.
#pragma once

#include <cstdint>
#include <string>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// It ended early and has a checkpoint, and no other run goes on.
bool can_continue(const ui::Context& ctx, const history::TrainingRun& run);
/// The device that a run computes on, as its configuration says.
std::string device_of(const history::TrainingRun& run);

class ContinueForm {
 public:
    void open(const history::TrainingRun& run);
    /// Every frame, also while it is closed.
    void draw(ui::Context& ctx);

 private:
    bool open_ = false;
    std::uint32_t run_ = 0;
    std::string device_;
};

}  // namespace moescope::panels
