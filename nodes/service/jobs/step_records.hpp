// From what a step of the engine did to its records, and back. Pure.
#pragma once

#include "engine/model/config.hpp"
#include "engine/train/trainer.hpp"
#include "nodes/protocol/records.hpp"

namespace moescope::node {

/// All but the run. Its memory is that of all ranks; NaN of one process.
protocol::StepRecord step_record(const engine::StepStats& stats, const engine::ModelConfig& model);
/// All but the run. `step`: its number.
protocol::RankRecord rank_record(const engine::RankStep& ranks, std::uint64_t step);

/// The reverse, but for `tokens` and `fault`.
engine::StepStats step_stats(const protocol::StepRecord& record);
engine::RankStep rank_step(const protocol::RankRecord& record);

}  // namespace moescope::node
