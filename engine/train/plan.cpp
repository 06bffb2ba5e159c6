#include "engine/train/plan.hpp"

#include <algorithm>
#include <string>

#include "engine/error.hpp"
#include "engine/generate/decoder.hpp"
#include "engine/model/rank_work.hpp"
#include "engine/text/dataset.hpp"
#include "engine/train/optimizer_share.hpp"
#include "kernels/cpu/cpu_ops.hpp"

namespace moescope::engine {

int threads_of(const RunConfig& config) {
    return config.train.threads > 0 ? config.train.threads
                                    : std::max(1, kernels::hardware_workers() / config.train.processes);
}

RunBuffers RunBuffers::place(Arena& arena, kernels::Ops& ops, const RunConfig& config, const ParameterLayout& layout,
                             const RankShape& ranks) {
    RunBuffers b;
    b.parameters = arena.take<float>(layout.floats);
    b.gradients = arena.take<float>(layout.floats);
    const std::uint64_t moments = optimizer_share(config, layout, ranks).floats;
    b.first_moment = arena.take<float>(moments);
    b.second_moment = arena.take<float>(moments);
    std::uint64_t largest = 0;
    for (const TensorSpec& tensor : layout.tensors) {
        largest = std::max(largest, tensor.count);
    }
    b.square_sums = arena.take<double>(layout.tensors.size());
    b.square_scratch =
        arena.take<double>(static_cast<std::uint64_t>(ops.sum_of_squares_scratch(static_cast<std::int64_t>(largest))));
    if (config.train.accumulation > 1) {
        b.sum = arena.take<float>(layout.floats);
    }
    if (config.train.optimizer == Optimizer::muon) {
        std::int64_t scratch = 0;
        for (const TensorSpec& tensor : layout.tensors) {
            if (tensor.matrices > 0) {
                scratch = std::max(scratch, ops.muon_scratch(static_cast<std::int64_t>(tensor.rows),
                                                             static_cast<std::int64_t>(tensor.columns)));
            }
        }
        b.muon = arena.take<float>(static_cast<std::uint64_t>(scratch));
    }
    if (config.train.precision != Precision::f32) {
        b.operands = arena.take<std::uint16_t>(static_cast<std::uint64_t>(ops.operand_scratch()));
    }
    const std::uint64_t experts = layout.layers.size() * static_cast<std::uint64_t>(config.model.experts);
    b.choices_LE = arena.take<std::uint64_t>(experts);
    b.counts = arena.take<std::uint32_t>(checked_product(
        kLanguages, static_cast<std::uint64_t>(config.model.layers) * static_cast<std::uint64_t>(config.model.experts),
        marked("the counts")));
    b.margins = arena.take<kernels::MarginSums>(1);
    b.disabled_LE = arena.take<std::uint8_t>(experts);
    const int batch = config.train.batch / ranks.ranks;
    const std::uint64_t tokens = checked_product(static_cast<std::uint64_t>(batch),
                                                 static_cast<std::uint64_t>(config.model.context), marked("the batch"));
    b.tokens_T = arena.take<std::int32_t>(tokens);
    b.targets_T = arena.take<std::int32_t>(tokens);
    b.languages_T = arena.take<std::uint8_t>(tokens);
    if (config.model.router_jitter > 0) {
        b.jitter_seed = arena.take<std::uint64_t>(1);
    }
    b.factors = arena.take<OptimizerFactors>(1);
    b.state = Activations::place(arena, ops, config.model, batch, config.model.context, Mode::train, ranks,
                                 config.train.precision == Precision::fp8,
                                 config.train.attention_precision == Precision::bf16);
    return b;
}

RunPlan plan_run(const RunConfig& config) {
    if (config.train.processes == 1) {
        return plan_run(config, *kernels::cpu_ops(threads_of(config)));
    }
    validate(config, title_of(config));
    RunPlan plan = plan_run(config, *kernels::cpu_ops(threads_of(config)), shape_of(config.train));
    const auto processes = static_cast<std::uint64_t>(config.train.processes);
    for (std::uint64_t* bytes : {&plan.training_bytes, &plan.memory_bytes, &plan.host_bytes}) {
        *bytes = checked_product(*bytes, processes, marked("the run"));
    }
    return plan;
}

RunPlan plan_run(const RunConfig& config, kernels::Ops& ops, const RankShape& ranks) {
    validate(config, title_of(config));
    const ModelConfig& m = config.model;
    const ParameterLayout layout = make_layout(m);
    Arena arena;
    RunBuffers::place(arena, ops, config, make_layout(m, expert_share(m, ranks)), ranks);
    Arena samples;
    DecoderState::place(samples, ops, m, 1);
    constexpr std::uint64_t kMost = std::uint64_t{1} << 46;
    const std::uint64_t all = checked_sum(arena.used(), samples.used(), marked("the run"));
    if (all > kMost) {
        throw Error(
            say("{}: the run would need {} GB of memory: choose smaller sizes", title_of(config), all / 1'000'000'000));
    }
    RunPlan plan;
    plan.training_bytes = arena.used();
    plan.memory_bytes = all;
    // Of a device's memory the host has copies while a checkpoint is written: two flat buffers at a time.
    plan.host_bytes = ops.host_memory() ? all : 2 * checked_product(layout.floats, sizeof(float), marked("the run"));
    plan.parameters_total = layout.parameters;
    const std::uint64_t per_expert =
        std::uint64_t{3} * static_cast<std::uint64_t>(m.width) * static_cast<std::uint64_t>(m.expert_width) +
        (m.expert_bias ? static_cast<std::uint64_t>(2 * m.expert_width + m.width) : 0);
    const auto routed = std::count_if(layout.layers.begin(), layout.layers.end(),
                                      [](const LayerOffsets& layer) { return layer.has_experts(); });
    const std::uint64_t inactive =
        static_cast<std::uint64_t>(routed) * static_cast<std::uint64_t>(m.experts - m.experts_per_token);
    plan.parameters_active = layout.parameters - inactive * per_expert;
    // 2 flops per weight forward, 4 backward; reading a row of the embedding is no product. Attention: q k^T and p v
    // over half the context on average (a window: over no more than the window), the backward twice that.
    const double embedding = m.tied_head ? 0.0 : static_cast<double>(m.vocabulary) * m.width;
    double seen = 0;
    for (std::size_t layer = 0; layer < layout.layers.size(); ++layer) {
        seen += std::min(0.5 * m.context, slides(m, layer) ? static_cast<double>(m.sliding_window) : 1e9);
    }
    const double attention = 6.0 * seen * m.heads * (query_width(m) + value_width(m));
    // The module for token prediction uses the head a second time.
    const double head = m.prediction_depth > 0 ? static_cast<double>(m.vocabulary) * m.width : 0.0;
    plan.flops_per_token = 6.0 * (static_cast<double>(plan.parameters_active) - embedding + head) + attention;
    return plan;
}

}  // namespace moescope::engine
