#include "engine/model/transformer.hpp"

#include <algorithm>

#include "engine/model/blocks.hpp"
#include "engine/model/step_part.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

using namespace kernels;

struct Transformer::Pass : BlockPass {};

Transformer::Transformer(Ops& ops, const ModelConfig& model, const ParameterLayout& layout, Activations& state,
                         RankWork* ranks)
    : ops_(ops), model_(model), layout_(layout), state_(state), ranks_(ranks) {}

int expert_layers(const ModelConfig& model) {
    return model.layers - std::min(model.dense_layers, model.layers);
}

float* Transformer::output_of(std::size_t layer) {
    if (layer >= layers()) {
        return state_.prediction.output_TD;
    }
    return layer + 1 < layers() ? state_.layers[layer + 1].x_TD : state_.last_TD;
}

void Transformer::forward_layer(const Pass& pass, std::size_t layer, float* out_TD, const PartClock& clock) {
    LayerState& s = state_.layers[layer];
    const LayerOffsets& at = layout_.layers[layer];
    attention_forward(pass, at, s, layer);
    clock(Part::attention);
    feed_forward(pass, at, s, layer, out_TD, clock);
}

void Transformer::backward_layer(const Pass& pass, std::size_t layer, const LossScales& scales,
                                 const PartClock& clock) {
    LayerState& s = state_.layers[layer];
    const LayerOffsets& at = layout_.layers[layer];
    feed_backward(pass, at, s, layer, scales, clock);
    attention_backward(pass, at, s, layer);
    clock(Part::attention);
}

void Transformer::forward(const float* parameters, const std::int32_t* tokens_T, int batch, int length,
                          const RouterControls& controls, const PartClock& clock) {
    const Pass pass{{ops_, model_, parameters, nullptr, state_, batch, length, tokens_T, controls, layout_, ranks_}};
    const std::int64_t T = pass.T(), D = model_.width;
    ops_.zero(state_.router_losses, state_.layers.size() * sizeof(RouterLosses));
    ops_.embedding_forward(state_.layers[0].x_TD, parameters + layout_.embedding, tokens_T, T, D);
    clock(Part::embedding);
    for (std::size_t layer = 0; layer < layers(); ++layer) {
        forward_layer(pass, layer, output_of(layer), clock);
    }
    ops_.rms_norm_forward(state_.final_TD, state_.final_rstd_T, state_.last_TD, parameters + layout_.final_norm, T, D,
                          model_.rms_epsilon);
    clock(Part::head);
}

double Transformer::loss(const float* parameters, const std::int32_t* targets_T, int tokens) {
    ops_.cross_entropy_forward(state_.losses, state_.losses_T, state_.final_TD, parameters + layout_.head, targets_T,
                               state_.logits, tokens, model_.width, model_.vocabulary);
    double loss = 0;
    ops_.download(&loss, state_.losses, sizeof loss);
    return loss;
}

void Transformer::fetch(Losses& losses) const {
    ops_.download_later(&losses.cross_entropy, state_.losses, sizeof losses.cross_entropy);
    ops_.download_later(&losses.prediction, state_.losses + 1, sizeof losses.prediction);
}

void Transformer::fetch(std::span<RouterLosses> losses) const {
    ops_.download_later(losses.data(), state_.router_losses, losses.size_bytes());
}

void Transformer::predict(const float* parameters, const std::int32_t* targets_T, int batch, int length,
                          const RouterControls& controls, const PartClock& clock) {
    if (model_.prediction_depth == 0) {
        return;
    }
    Activations::Prediction& p = state_.prediction;
    const std::int64_t T = static_cast<std::int64_t>(batch) * length, D = model_.width;
    // The module at position t sees the token at t + 1 and predicts the one at t + 2; the last position has none.
    ops_.next_targets(p.tokens_T, p.targets_T, targets_T, T, length);
    const Pass pass{{ops_, model_, parameters, nullptr, state_, batch, length, p.tokens_T, controls, layout_, ranks_}};
    const PredictionOffsets& at = layout_.prediction;
    ops_.embedding_forward(p.embedded_TD, parameters + layout_.embedding, p.tokens_T, T, D);
    ops_.rms_norm_forward(p.embedded_norm_TD, p.embedded_rstd_T, p.embedded_TD, parameters + at.embedding_norm, T, D,
                          model_.rms_epsilon);
    ops_.rms_norm_forward(p.hidden_norm_TD, p.hidden_rstd_T, state_.last_TD, parameters + at.hidden_norm, T, D,
                          model_.rms_epsilon);
    ops_.copy_columns(p.joined_T2D, 2 * D, p.embedded_norm_TD, D, T, D);
    ops_.copy_columns(p.joined_T2D + D, 2 * D, p.hidden_norm_TD, D, T, D);
    const std::size_t layer = layers();
    ops_.linear_forward(state_.layers[layer].x_TD, p.joined_T2D, parameters + at.projection, nullptr, T, 2 * D, D,
                        Write::assign);
    clock(Part::embedding);
    forward_layer(pass, layer, output_of(layer), clock);
    ops_.rms_norm_forward(p.final_TD, p.final_rstd_T, p.output_TD, parameters + at.final_norm, T, D,
                          model_.rms_epsilon);
    ops_.cross_entropy_forward(state_.losses + 1, state_.losses_T, p.final_TD, parameters + layout_.head, p.targets_T,
                               state_.logits, T, D, model_.vocabulary);
    clock(Part::head);
}

/// Writes the head's gradient and all of the module's, and dhidden_TD: what goes back to the model.
void Transformer::backward_prediction(const Pass& pass, const LossScales& scales, const PartClock& clock) {
    Activations::Prediction& p = state_.prediction;
    const PredictionOffsets& at = layout_.prediction;
    const std::int64_t T = pass.T(), D = model_.width;
    ops_.cross_entropy_forward_backward(state_.losses + 1, state_.losses_T, state_.dnorm_TD, pass.g + layout_.head,
                                        p.final_TD, pass.p + layout_.head, p.targets_T, state_.logits, T, D,
                                        model_.vocabulary, scales.prediction, Write::assign);
    ops_.rms_norm_backward(state_.dx_TD, pass.g + at.final_norm, state_.dnorm_TD, p.output_TD, p.final_rstd_T,
                           pass.p + at.final_norm, T, D, Write::assign);
    clock(Part::head);
    backward_layer(pass, layers(), scales, clock);
    ops_.linear_backward_weight(pass.g + at.projection, state_.dx_TD, p.joined_T2D, T, 2 * D, D, Write::assign);
    ops_.linear_backward_input(p.djoined_T2D, state_.dx_TD, pass.p + at.projection, T, 2 * D, D, Write::assign);
    // The norms' inputs are not needed any more: their buffers take gradients.
    ops_.copy_columns(p.embedded_norm_TD, D, p.djoined_T2D, 2 * D, T, D);
    ops_.copy_columns(p.hidden_norm_TD, D, p.djoined_T2D + D, 2 * D, T, D);
    ops_.rms_norm_backward(p.dhidden_TD, pass.g + at.hidden_norm, p.hidden_norm_TD, state_.last_TD, p.hidden_rstd_T,
                           pass.p + at.hidden_norm, T, D, Write::assign);
    ops_.rms_norm_backward(p.final_TD, pass.g + at.embedding_norm, p.embedded_norm_TD, p.embedded_TD, p.embedded_rstd_T,
                           pass.p + at.embedding_norm, T, D, Write::assign);
    clock(Part::embedding);
}

void Transformer::backward(const float* parameters, float* gradients, const std::int32_t* tokens_T,
                           const std::int32_t* targets_T, int batch, int length, const RouterControls& controls,
                           const LossScales& scales, const PartClock& clock) {
    const Pass pass{{ops_, model_, parameters, gradients, state_, batch, length, tokens_T, controls, layout_, ranks_}};
    const std::int64_t T = pass.T(), D = model_.width, V = model_.vocabulary;
    const bool predicts = model_.prediction_depth > 0;
    if (predicts) {
        const Pass module{{ops_, model_, parameters, gradients, state_, batch, length, state_.prediction.tokens_T,
                           controls, layout_, ranks_}};
        backward_prediction(module, scales, clock);
    }
    ops_.cross_entropy_forward_backward(state_.losses, state_.losses_T, state_.dnorm_TD, gradients + layout_.head,
                                        state_.final_TD, parameters + layout_.head, targets_T, state_.logits, T, D, V,
                                        scales.cross_entropy, predicts ? Write::add : Write::assign);
    ops_.rms_norm_backward(state_.dx_TD, gradients + layout_.final_norm, state_.dnorm_TD, state_.last_TD,
                           state_.final_rstd_T, parameters + layout_.final_norm, T, D, Write::assign);
    if (predicts) {
        ops_.add(state_.dx_TD, state_.dx_TD, state_.prediction.dhidden_TD, T * D);
    }
    clock(Part::head);
    for (std::size_t layer = layers(); layer-- > 0;) {
        backward_layer(pass, layer, scales, clock);
    }
    if (!model_.tied_head) {
        ops_.zero(gradients + layout_.embedding, static_cast<std::uint64_t>(V * D) * sizeof(float));
    }
    ops_.embedding_backward(gradients + layout_.embedding, state_.dx_TD, tokens_T, T, D);
    if (predicts) {
        ops_.embedding_backward(gradients + layout_.embedding, state_.prediction.final_TD, state_.prediction.tokens_T,
                                T, D);
    }
    clock(Part::embedding);
}

}  // namespace moescope::engine
