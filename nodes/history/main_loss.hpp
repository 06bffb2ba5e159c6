// Which of a run's losses is the main one, wherever one is drawn or named.
#pragma once

#include "nodes/history/runs.hpp"

namespace moescope::history {

/// The loss that can be compared with the held-out one: the cross-entropy; of a run that did not record it, the total.
inline const Column& main_loss(const TrainingRun& run) {
    const Column& total = run[&base::StepValues::loss];
    const Column& main = run[&base::StepValues::cross_entropy];
    return main.range(0, main.size()).empty() && !total.range(0, total.size()).empty() ? total : main;
}

}  // namespace moescope::history
