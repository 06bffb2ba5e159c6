// What stands in the layers of a training run's model, as its configuration says. The counts of a run have a row for
// each layer of the model, also for one without experts.
#pragma once

#include <cstddef>

#include "nodes/history/runs.hpp"

namespace moescope::history {

/// So many of the first layers are dense: one block instead of a router and experts. Not above run.layers; 0 where the
/// configuration does not say.
std::size_t dense_layers(const TrainingRun& run);
/// 0 also where no layer has experts.
std::size_t first_layer_with_experts(const TrainingRun& run);
/// The model has a module that predicts a second token. It is a layer after run.layers, with experts of its own whose
/// load no step records.
bool has_prediction_module(const TrainingRun& run);

}  // namespace moescope::history
