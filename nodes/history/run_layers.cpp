#include "nodes/history/run_layers.hpp"

#include <algorithm>

#include "base/json_fields.hpp"
#include "base/settings.hpp"

namespace moescope::history {
namespace {

std::uint64_t count_of_setting(const TrainingRun& run, const char* key) {
    const nlohmann::json* value = base::setting(base::member(run.manifest, "config"), key);
    return value == nullptr ? 0 : base::as_count(*value).value_or(0);
}

}  // namespace

std::size_t dense_layers(const TrainingRun& run) {
    return static_cast<std::size_t>(std::min<std::uint64_t>(count_of_setting(run, "dense_layers"), run.layers));
}

std::size_t first_layer_with_experts(const TrainingRun& run) {
    const std::size_t dense = dense_layers(run);
    return dense < run.layers ? dense : 0;
}

bool has_prediction_module(const TrainingRun& run) {
    return count_of_setting(run, "prediction_depth") > 0;
}

}  // namespace moescope::history
