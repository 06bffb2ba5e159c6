// All memory of a training run, placed by one function that serves both the plan and the run.
#pragma once

#include <cstdint>

#include "engine/model/activations.hpp"
#include "engine/model/arena.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"

namespace moescope::engine {

/// What a run will need, known before it starts.
struct RunPlan {
    std::uint64_t parameters_total = 0;
    std::uint64_t parameters_active = 0;  ///< per token
    std::uint64_t training_bytes = 0;     ///< parameters, gradients, optimizer state and activations
    std::uint64_t memory_bytes = 0;       ///< the same and the cache for samples, all on the device
    std::uint64_t host_bytes = 0;         ///< of this machine: all of it, unless the device has memory of its own
    double flops_per_token = 0;           ///< forward and backward
};
/// On the processor; memory of all its processes together. Throws Error when sizes overflow.
RunPlan plan_run(const RunConfig& config);
/// On the device of `ops`. Of several ranks: device and memory bytes are those of one, which all need at most.
RunPlan plan_run(const RunConfig& config, kernels::Ops& ops, const RankShape& ranks = {});

/// What changes from step to step and stands with the buffers, so that the operations of a step are always the same.
struct OptimizerFactors {
    kernels::AdamWFactors decayed, kept;  ///< tensors with weight decay and without
    kernels::MuonFactors muon;
};

struct RunBuffers {
    /// `layout` is this rank's.
    static RunBuffers place(Arena& arena, kernels::Ops& ops, const RunConfig& config, const ParameterLayout& layout,
                            const RankShape& ranks = {});

    float *parameters = nullptr, *gradients = nullptr;        ///< [layout.floats]
    float *first_moment = nullptr, *second_moment = nullptr;  ///< [optimizer_share().floats]
    float* sum = nullptr;           ///< [layout.floats], gradients over micro-batches; null without accumulation
    double* square_sums = nullptr;  ///< of each tensor's gradient
    double* square_scratch = nullptr;
    float* muon = nullptr;                ///< scratch of Muon; null with AdamW
    std::uint16_t* operands = nullptr;    ///< rounded copies for products; null in single precision
    std::uint64_t* choices_LE = nullptr;  ///< [layers of the state][E], over the micro-batches of a step
    std::uint32_t* counts = nullptr;      ///< [kLanguages][layers][E], as in StepStats
    kernels::MarginSums* margins = nullptr;
    std::uint8_t* disabled_LE = nullptr;  ///< live knob
    std::int32_t *tokens_T = nullptr, *targets_T = nullptr;
    std::uint8_t* languages_T = nullptr;
    std::uint64_t* jitter_seed = nullptr;  ///< of the micro-batch; null without jitter
    OptimizerFactors* factors = nullptr;   ///< of the step
    Activations state;
};

/// Threads that the run will use.
int threads_of(const RunConfig& config);

}  // namespace moescope::engine
