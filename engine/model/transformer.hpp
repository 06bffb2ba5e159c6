// The model: forward, and the hand-written backward, over buffers planned before the run (see activations.hpp for them
// and for the legend of shapes).
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "engine/model/activations.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "engine/model/step_part.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

class RankWork;

/// Times parts of a step: `end(part)` adds what passed since the last call.
using PartClock = std::function<void(Part)>;

/// What steers the routers of one pass beside the parameters. Arrays and the seed stand in memory of the operations and
/// outlive forward and backward.
struct RouterControls {
    RouterMode mode;
    const std::uint8_t* disabled_LE = nullptr;  ///< 1: the expert is never chosen; may be null
    /// Balance::global: choices of the earlier micro-batches of this step [layers, E], and their tokens.
    const std::uint64_t* earlier_choices_LE = nullptr;
    std::uint64_t earlier_tokens = 0;
    const std::uint64_t* jitter_seed = nullptr;  ///< the noise of router_jitter in training is a function of it
    bool expert_errors = false;                  ///< expert products are done again in single precision, and compared
};

/// Gradients of coefficient x loss; a router loss is the mean over the layers with experts. Of several ranks each has
/// its share of them.
struct LossScales {
    double balance = 0, z = 0;  ///< of each layer
    double prediction = 0;      ///< of the multi-token prediction loss
    double cross_entropy = 1;
};

struct Losses {
    double cross_entropy = 0;  ///< nats per token
    double prediction = 0;     ///< of the multi-token prediction module
};

class Transformer {
 public:
    /// `state` was placed for these sizes in memory of `ops`; all outlive this object. Here and below, `parameters` is
    /// a flat buffer of `layout`, and every array stands in memory of `ops`.
    /// With `ranks`, parameters and state are a rank's, and every rank calls forward and backward.
    Transformer(kernels::Ops& ops, const ModelConfig& model, const ParameterLayout& layout, Activations& state,
                RankWork* ranks = nullptr);

    /// Tokens [batch, length] to state.final_TD; router losses into state.router_losses.
    void forward(const float* parameters, const std::int32_t* tokens_T, int batch, int length,
                 const RouterControls& controls, const PartClock& clock);
    /// Mean cross-entropy of what forward left, no gradient. Waits.
    double loss(const float* parameters, const std::int32_t* targets_T, int tokens);
    /// Forward and loss of the multi-token prediction module, after forward(). The state must have been placed for
    /// training. Nothing without such a module.
    void predict(const float* parameters, const std::int32_t* targets_T, int batch, int length,
                 const RouterControls& controls, const PartClock& clock);
    /// All gradients (written, not added) of the cross-entropy plus the scaled losses, after forward() and predict().
    void backward(const float* parameters, float* gradients, const std::int32_t* tokens_T,
                  const std::int32_t* targets_T, int batch, int length, const RouterControls& controls,
                  const LossScales& scales, const PartClock& clock);
    /// Of the last passes, after Ops::wait(); the prediction's means nothing without such a module.
    void fetch(Losses& losses) const;
    /// The same; one per layer of the state, zero for dense ones.
    void fetch(std::span<kernels::RouterLosses> losses) const;

 private:
    struct Pass;
    void forward_layer(const Pass& pass, std::size_t layer, float* out_TD, const PartClock& clock);
    void backward_layer(const Pass& pass, std::size_t layer, const LossScales& scales, const PartClock& clock);
    void backward_prediction(const Pass& pass, const LossScales& scales, const PartClock& clock);
    float* output_of(std::size_t layer);
    std::size_t layers() const { return static_cast<std::size_t>(model_.layers); }

    kernels::Ops& ops_;
    const ModelConfig model_;
    const ParameterLayout& layout_;
    Activations& state_;
    RankWork* const ranks_;
};

/// Layers with experts, those of the prediction module not counted: what router losses are averaged over.
int expert_layers(const ModelConfig& model);

}  // namespace moescope::engine
