#include <algorithm>

#include "engine/model/blocks.hpp"
#include "engine/model/rank_work.hpp"
#include "engine/model/step_part.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

using namespace kernels;

namespace {

template <class Float>
Float* maybe(Float* p, std::uint64_t offset) {
    return offset == kNoTensor || p == nullptr ? nullptr : p + offset;
}

RouterInput router_input(const BlockPass& pass, const LayerOffsets& at, const LayerState& s, std::size_t layer,
                         const RouterShape& shape) {
    const auto E = static_cast<std::size_t>(shape.E);
    RouterInput in;
    in.z_TE = s.z_TE != nullptr ? s.z_TE : pass.state.z_TE;
    in.selection_bias_E = maybe(pass.p, at.selection_bias);
    in.given_TK = shape.choice == Choice::hash ? pass.state.given_TK : nullptr;
    in.disabled_E = pass.controls.disabled_LE != nullptr ? pass.controls.disabled_LE + layer * E : nullptr;
    in.earlier_choices_E =
        pass.controls.earlier_choices_LE != nullptr ? pass.controls.earlier_choices_LE + layer * E : nullptr;
    in.earlier_tokens = pass.controls.earlier_tokens;
    return in;
}

ExpertShape expert_shape(const ModelConfig& model, std::int64_t experts, std::int64_t width) {
    ExpertShape shape;
    shape.E = experts;
    shape.D = model.width;
    shape.F = width;
    shape.activation = model.activation;
    shape.alpha = static_cast<float>(model.swiglu_alpha);
    shape.limit = static_cast<float>(model.swiglu_limit);
    return shape;
}

ExpertWeights expert_weights(const float* p, const LayerOffsets& at) {
    return {p + at.gate_up, p + at.down, maybe(p, at.gate_up_bias), maybe(p, at.down_bias)};
}
ExpertGradients expert_gradients(float* g, const LayerOffsets& at) {
    return {g + at.gate_up, g + at.down, maybe(g, at.gate_up_bias), maybe(g, at.down_bias)};
}

/// The always-on part of a layer as one expert that sees all tokens: shared experts, or the dense layer.
struct AlwaysOn {
    std::uint64_t gate_up, down;
    ExpertShape shape;
    ExpertRows rows;

    AlwaysOn(const BlockPass& pass, const LayerOffsets& at)
        : gate_up(at.has_experts() ? at.shared_gate_up : at.dense_gate_up),
          down(at.has_experts() ? at.shared_down : at.dense_down),
          shape(expert_shape(
              pass.model, 1,
              at.has_experts() ? pass.model.shared_experts * pass.model.expert_width : pass.model.dense_width)),
          rows{nullptr, pass.T()} {
        shape.activation = Activation::swiglu;
    }
    bool exists() const { return gate_up != kNoTensor; }
};

void jitter_rows(float* out_TD, const float* x_TD, const BlockPass& pass, std::size_t layer) {
    const std::int64_t n = pass.T() * pass.model.width, before = pass.ranks == nullptr ? 0 : pass.ranks->shape().rank;
    pass.ops.jitter(out_TD, x_TD, n, pass.model.router_jitter, pass.controls.jitter_seed, layer,
                    static_cast<std::uint64_t>(before * n));
}

bool jitters(const BlockPass& pass) {
    return pass.controls.mode.training && pass.state.jitter_TD != nullptr;
}

/// middle + what is always on, into out_TD.
void always_on_forward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, float* out_TD) {
    const AlwaysOn on(pass, at);
    pass.ops.experts_forward(pass.state.branch_TD, s.shared_gu_T2F, s.shared_h_TF, s.norm2_TD,
                             {pass.p + on.gate_up, pass.p + on.down, nullptr, nullptr}, on.rows, on.shape);
    pass.ops.add(out_TD, s.middle_TD, pass.state.branch_TD, pass.T() * pass.model.width);
}

/// Gradients of its matrices, and of norm2_TD into drows_RD.
void always_on_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s) {
    const AlwaysOn on(pass, at);
    Activations& state = pass.state;
    pass.ops.experts_backward(state.drows_RD, {pass.g + on.gate_up, pass.g + on.down, nullptr, nullptr}, state.dgu_R2F,
                              state.dh_RF, state.dx_TD, s.norm2_TD, s.shared_gu_T2F, s.shared_h_TF,
                              {pass.p + on.gate_up, pass.p + on.down, nullptr, nullptr}, on.rows, on.shape);
}

/// The router over the tokens of all ranks, done by each of them; this rank's part of the results goes into s.routed.
void route_whole_batch(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer,
                       const RouterShape& shape) {
    Activations::WholeBatch& whole = pass.state.whole;
    const auto T = static_cast<std::uint64_t>(shape.T), E = static_cast<std::uint64_t>(shape.E),
               K = static_cast<std::uint64_t>(shape.K), J = static_cast<std::uint64_t>(shape.slots()),
               rank = static_cast<std::uint64_t>(pass.ranks->shape().rank);
    RouterInput in = router_input(pass, at, s, layer, shape);
    pass.ranks->gather(whole.z_TE, in.z_TE, T * E * sizeof(float));
    in.z_TE = whole.z_TE;
    if (in.given_TK != nullptr) {
        pass.ranks->gather(whole.given_TK, in.given_TK, T * K * sizeof(std::int32_t));
        in.given_TK = whole.given_TK;
    }
    RouterShape all = shape;
    all.T *= pass.ranks->shape().ranks;
    pass.ops.router_forward(pass.state.router_losses + layer, whole.routed, in, whole.scratch, all);
    const auto take = [&](auto* own, const auto* of_all, std::uint64_t each) {
        pass.ops.copy(own, of_all + rank * T * each, T * each * sizeof *own);
    };
    take(s.routed.s_TE, whole.routed.s_TE, E);
    take(s.routed.lse_T, whole.routed.lse_T, 1);
    take(s.routed.ids_TJ, whole.routed.ids_TJ, J);
    take(s.routed.kept_TJ, whole.routed.kept_TJ, J);
    take(s.routed.w_TJ, whole.routed.w_TJ, J);
    // Rows are this rank's, choices are all: the balance loss is of the batch.
    pass.ops.copy(s.routed.choices_E, whole.routed.choices_E, E * sizeof(std::uint32_t));
    pass.ops.zero(s.routed.counts_E, E * sizeof(std::uint32_t));
    SlotCounts slots;
    slots.ids_TJ = s.routed.ids_TJ;
    slots.kept_TJ = s.routed.kept_TJ;
    slots.groups_T = pass.state.no_groups_T;
    slots.T = shape.T;
    slots.J = shape.slots();
    slots.E = shape.E;
    slots.G = 1;
    pass.ops.count_slots(s.routed.counts_E, slots);
}

void route(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer, const RouterShape& shape) {
    const OpsOperands exact(pass.ops, Operands::f32);  // close choices are not left to rounding
    Activations& state = pass.state;
    const float* input = s.norm2_TD;
    if (jitters(pass)) {
        jitter_rows(state.jitter_TD, s.norm2_TD, pass, layer);
        input = state.jitter_TD;
    }
    float* z_TE = s.z_TE != nullptr ? s.z_TE : state.z_TE;
    pass.ops.linear_forward(z_TE, input, pass.p + at.router, maybe(pass.p, at.router_bias), shape.T, pass.model.width,
                            shape.E, Write::assign);
    if (shape.choice == Choice::hash) {
        pass.ops.hash_choice(state.given_TK, pass.tokens_T, shape.T, shape.E, shape.K, hash_seed(layer));
    }
    if (pass.ranks != nullptr) {
        const bool whole = pass.ranks->shape().ranks > 1 && looks_at_batch(shape);
        pass.ranks->looked_at_batch(layer, whole);
        if (whole) {
            route_whole_batch(pass, at, s, layer, shape);
            return;
        }
    }
    pass.ops.router_forward(state.router_losses + layer, s.routed, router_input(pass, at, s, layer, shape),
                            state.router_scratch, shape);
}

void route_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer,
                    const RouterShape& shape, const LossScales& scales) {
    const OpsOperands exact(pass.ops, Operands::f32);
    Activations& state = pass.state;
    const std::int64_t T = shape.T, D = pass.model.width, E = shape.E;
    pass.ops.router_backward(state.z_TE, state.dw_TJ, s.routed, router_input(pass, at, s, layer, shape),
                             state.router_scratch, scales.balance, scales.z, shape);
    const float* input = s.norm2_TD;
    if (jitters(pass)) {
        jitter_rows(state.jitter_TD, s.norm2_TD, pass, layer);
        input = state.jitter_TD;
    }
    pass.ops.linear_backward_weight(pass.g + at.router, state.z_TE, input, T, D, E, Write::assign);
    pass.ops.linear_backward_bias(maybe(pass.g, at.router_bias), state.z_TE, T, E, Write::assign);
    if (jitters(pass)) {
        pass.ops.linear_backward_input(state.jitter_TD, state.z_TE, pass.p + at.router, T, D, E, Write::assign);
        jitter_rows(state.jitter_TD, state.jitter_TD, pass, layer);
        pass.ops.add(state.dnorm_TD, state.dnorm_TD, state.jitter_TD, T * D);
    } else {
        pass.ops.linear_backward_input(state.dnorm_TD, state.z_TE, pass.p + at.router, T, D, E, Write::add);
    }
}

/// Rows of this rank's tokens.
ExpertRows expert_rows(const BlockPass& pass, const LayerState& s, const RouterShape& shape) {
    RouterShape all = shape;
    all.T *= pass.ranks == nullptr ? 1 : pass.ranks->shape().ranks;
    const std::int64_t taken = std::min(expert_capacity(all), shape.T);
    return {s.offsets_E1, shape.choice == Choice::expert ? taken * shape.E : shape.T * shape.K};
}

bool shares_experts(const BlockPass& pass) {
    return pass.ranks != nullptr && pass.ranks->shares_experts();
}

/// Rows of the experts here: of the tokens of all ranks that share them.
ExpertRows owned_rows(const BlockPass& pass, const LayerState& s, const RouterShape& shape) {
    const ExpertRows rows = expert_rows(pass, s, shape);
    if (!shares_experts(pass)) {
        return rows;
    }
    return {s.owned_offsets_E1, pass.ranks->tokens_travel() ? rows.most * pass.ranks->shape().expert_ranks : rows.most};
}

ExpertShape held_experts(const BlockPass& pass, std::size_t layer) {
    ExpertShape shape = expert_shape(pass.model, pass.layout.experts, pass.model.expert_width);
    shape.rows_of_all = shares_experts(pass) && !pass.ranks->tokens_travel() ? pass.ranks->all_rows(layer) : 0;
    return shape;
}

bool compares(const BlockPass& pass) {
    return pass.controls.expert_errors && pass.state.errors.sums_L6 != nullptr;
}

/// Rows [.., N] against what they would be in single precision.
void add_error(const BlockPass& pass, std::size_t layer, ExpertError which, const float* actual_RN,
               const float* expected_RN, const ExpertRows& rows, std::int64_t N) {
    const Activations::ExpertErrors& errors = pass.state.errors;
    double* sums = errors.sums_L6 + 2 * (layer * kExpertErrors + static_cast<std::size_t>(which));
    pass.ops.add_row_errors(sums, actual_RN, expected_RN, rows, pass.layout.experts, N, errors.scratch);
}

/// The layer's experts once more, in single precision from the same inputs, into scratch of the backward.
void compare_forward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer,
                     std::int64_t first, const float* y_RD, const RouterShape& shape) {
    const OpsOperands exact(pass.ops, Operands::f32);
    const std::int64_t D = pass.model.width, F = pass.model.expert_width;
    float* expected_RD = pass.state.errors.drows_RD + first * D;
    const ExpertRows rows = owned_rows(pass, s, shape);
    pass.ops.experts_forward(expected_RD, pass.state.dgu_R2F + first * 2 * F, pass.state.dh_RF + first * F,
                             s.rows_RD + first * D, expert_weights(pass.p, at), rows, held_experts(pass, layer));
    add_error(pass, layer, ExpertError::output, y_RD, expected_RD, rows, D);
}

/// The same for their gradients, after the backward: its scratch is free again.
void compare_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer,
                      std::int64_t first, const float* drows_RD, const float* dy_RD, const RouterShape& shape) {
    const OpsOperands exact(pass.ops, Operands::f32);
    const std::int64_t D = pass.model.width, F = pass.model.expert_width, E = pass.layout.experts;
    const Activations::ExpertErrors& errors = pass.state.errors;
    float* expected_RD = errors.drows_RD + first * D;
    const ExpertRows rows = owned_rows(pass, s, shape);
    pass.ops.experts_backward(expected_RD, {errors.gate_up_E2FD, errors.down_EDF, nullptr, nullptr},
                              pass.state.dgu_R2F + first * 2 * F, pass.state.dh_RF + first * F, dy_RD,
                              s.rows_RD + first * D, s.gu_R2F + first * 2 * F, s.h_RF + first * F,
                              expert_weights(pass.p, at), rows, held_experts(pass, layer));
    add_error(pass, layer, ExpertError::input_gradient, drows_RD, expected_RD, rows, D);
    add_error(pass, layer, ExpertError::weight_gradient, pass.g + at.gate_up, errors.gate_up_E2FD, {nullptr, E * 2 * F},
              D);
    add_error(pass, layer, ExpertError::weight_gradient, pass.g + at.down, errors.down_EDF, {nullptr, E * D}, F);
}

void experts_of_layer(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer, float* out_TD,
                      const RouterShape& shape) {
    const std::int64_t T = shape.T, D = pass.model.width, J = shape.slots();
    pass.ops.dispatch_plan(s.offsets_E1, s.row_of_TJ, s.token_of_R, s.routed.ids_TJ, s.routed.kept_TJ,
                           s.routed.counts_E, T, shape.E, J);
    const bool shared = shares_experts(pass), travel = shared && pass.ranks->tokens_travel();
    pass.ops.gather_forward(travel ? pass.state.sent_RD : s.rows_RD, s.norm2_TD, s.token_of_R,
                            expert_rows(pass, s, shape), shape.E, D);
    std::int64_t first = 0;  // row of the experts here
    if (travel) {
        pass.ranks->plan_rows(pass.ops, layer, s.routed.counts_E, s.owned_offsets_E1);
        pass.ranks->to_owners(layer, s.rows_RD, pass.state.sent_RD);
    } else if (shared) {
        first = pass.ranks->plan_own_rows(pass.ops, layer, s.routed.counts_E, s.owned_offsets_E1);
    } else if (pass.ranks != nullptr) {
        pass.ranks->count_rows(pass.ops, layer, s.routed.counts_E);
    }
    const std::int64_t F = pass.model.expert_width;
    float* y_RD = travel ? pass.state.owned_y_RD : s.y_RD + first * D;
    pass.ops.experts_forward(y_RD, s.gu_R2F + first * 2 * F, s.h_RF + first * F, s.rows_RD + first * D,
                             expert_weights(pass.p, at), owned_rows(pass, s, shape), held_experts(pass, layer));
    if (compares(pass)) {
        compare_forward(pass, at, s, layer, first, y_RD, shape);
    }
    if (travel) {
        pass.ranks->to_tokens(layer, s.y_RD, y_RD);
    } else if (shared) {
        pass.ranks->share_rows(layer, s.y_RD);
    }
    const float* residual_TD = s.middle_TD;
    if (at.shared_gate_up != kNoTensor) {
        always_on_forward(pass, at, s, out_TD);
        residual_TD = out_TD;
    }
    pass.ops.combine_forward(out_TD, residual_TD, s.y_RD, s.routed.w_TJ, s.row_of_TJ, T, J, D);
}

void experts_of_layer_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer,
                               const RouterShape& shape) {
    Activations& state = pass.state;
    const std::int64_t T = shape.T, D = pass.model.width, J = shape.slots();
    pass.ops.combine_backward(state.dy_RD, state.dw_TJ, state.dx_TD, s.y_RD, s.routed.w_TJ, s.row_of_TJ, T, J, D);
    const bool shared = shares_experts(pass), travel = shared && pass.ranks->tokens_travel();
    const std::int64_t F = pass.model.expert_width, first = shared && !travel ? pass.ranks->first_own_row(layer) : 0;
    float *dy_RD = state.dy_RD + first * D, *drows_RD = state.drows_RD + first * D;
    if (travel) {
        dy_RD = state.owned_y_RD;
        drows_RD = state.owned_drows_RD;
        pass.ranks->to_owners(layer, dy_RD, state.dy_RD);
    }
    pass.ops.experts_backward(drows_RD, expert_gradients(pass.g, at), state.dgu_R2F + first * 2 * F,
                              state.dh_RF + first * F, dy_RD, s.rows_RD + first * D, s.gu_R2F + first * 2 * F,
                              s.h_RF + first * F, expert_weights(pass.p, at), owned_rows(pass, s, shape),
                              held_experts(pass, layer));
    if (compares(pass)) {
        compare_backward(pass, at, s, layer, first, drows_RD, dy_RD, shape);
    }
    if (travel) {
        pass.ranks->to_tokens(layer, state.drows_RD, drows_RD);
    } else if (shared) {
        pass.ranks->share_rows(layer, state.drows_RD);
    }
    pass.ops.gather_backward(state.dnorm_TD, state.drows_RD, s.row_of_TJ, T, J, D, false);
    if (at.shared_gate_up != kNoTensor) {
        always_on_backward(pass, at, s);
        pass.ops.add(state.dnorm_TD, state.dnorm_TD, state.drows_RD, T * D);
    }
}

}  // namespace

void feed_forward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer, float* out_TD,
                  const PartClock& clock) {
    pass.ops.rms_norm_forward(s.norm2_TD, s.rstd2_T, s.middle_TD, pass.p + at.post_norm, pass.T(), pass.model.width,
                              pass.model.rms_epsilon);
    if (!at.has_experts()) {
        always_on_forward(pass, at, s, out_TD);
        clock(Part::experts);
        return;
    }
    const RouterShape shape = router_shape(pass.model, pass.controls.mode, layer, pass.batch, pass.length);
    route(pass, at, s, layer, shape);
    clock(Part::router);
    experts_of_layer(pass, at, s, layer, out_TD, shape);
    clock(Part::experts);
}

void feed_backward(const BlockPass& pass, const LayerOffsets& at, LayerState& s, std::size_t layer,
                   const LossScales& scales, const PartClock& clock) {
    Activations& state = pass.state;
    const float* dnorm_TD = state.dnorm_TD;
    if (at.has_experts()) {
        const RouterShape shape = router_shape(pass.model, pass.controls.mode, layer, pass.batch, pass.length);
        experts_of_layer_backward(pass, at, s, layer, shape);
        clock(Part::experts);
        route_backward(pass, at, s, layer, shape, scales);
    } else {
        always_on_backward(pass, at, s);
        dnorm_TD = state.drows_RD;
    }
    pass.ops.rms_norm_backward(state.dx_TD, pass.g + at.post_norm, dnorm_TD, s.middle_TD, s.rstd2_T,
                               pass.p + at.post_norm, pass.T(), pass.model.width, Write::add);
    clock(at.has_experts() ? Part::router : Part::experts);
}

}  // namespace moescope::engine
