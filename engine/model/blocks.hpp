// The two halves of a layer, forward and backward. Internal to engine/model.
#pragma once

#include <cstdint>

#include "engine/model/activations.hpp"
#include "engine/model/transformer.hpp"

namespace moescope::engine {

/// One pass over one batch.
struct BlockPass {
    kernels::Ops& ops;
    const ModelConfig& model;
    const float* p;  ///< parameters
    float* g;        ///< gradients; null in the forward
    Activations& state;
    int batch, length;
    const std::int32_t* tokens_T;
    const RouterControls& controls;
    const ParameterLayout& layout;
    RankWork* ranks = nullptr;  ///< null: this process alone

    std::int64_t T() const { return static_cast<std::int64_t>(batch) * length; }
};

/// norm1, projections, attention, output: s.x_TD to s.middle_TD.
void attention_forward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer);
/// Adds the gradient of s.x_TD to state.dx_TD, which holds that of s.middle_TD.
void attention_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer);

/// norm2 and experts (or the dense layer): s.middle_TD to out_TD. Router losses into the state, where there are
/// experts.
void feed_forward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer, float* out_TD,
                  const PartClock& clock);
/// Adds the gradient of s.middle_TD to state.dx_TD, which holds that of the layer's output.
void feed_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer,
                   const LossScales& scales, const PartClock& clock);

}  // namespace moescope::engine
