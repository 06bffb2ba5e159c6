// Router: the forward and the backward, put together from the scorings, router_choice and router_capacity.
#include "kernels/cpu/router.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/router_parts.hpp"

namespace moescope::kernels {
namespace {

using namespace router;

/// Whether a token is chosen for without the others of the batch.
bool chosen_alone(Choice choice) {
    switch (choice) {
        case Choice::token:
        case Choice::hash:
            return true;
        case Choice::expert:
        case Choice::sinkhorn:
        case Choice::quantile:
            break;
    }
    return false;
}

/// Row of the block's sums: [E] of q, then z, then entropy.
void add_token(double* sums, const TokenScores& token, const float* s_E, std::int64_t E) {
    for (std::int64_t e = 0; e < E; ++e) {
        sums[e] += s_E[e] * token.q_of_s;
    }
    sums[E] += token.z;
    sums[E + 1] += token.entropy;
}

void add_blocks(double* sums, std::int64_t T, std::int64_t E) {
    for (std::int64_t block = 1; block < blocks_of(T); ++block) {
        for (std::int64_t i = 0; i < E + 2; ++i) {
            sums[i] += sums[block * (E + 2) + i];
        }
    }
}

/// Adds the gradient of the weights to ds_E (or to dz_E where they are a softmax of the chosen logits).
void weights_backward(float* ds_E, const float* dw_J, const std::int32_t* ids_J, const std::uint8_t* kept_J,
                      const float* w_J, const float* s_E, const RouterShape& shape) {
    const std::int64_t J = shape.slots();
    const bool of_chosen = softmax_of_chosen(shape), divide = divides(shape);
    const auto scale = static_cast<float>(shape.scale);
    float chosen = 0, shared = 0;
    for (std::int64_t j = 0; j < J; ++j) {
        if (ids_J[j] >= 0) {
            chosen += s_E[ids_J[j]];
        }
        if (kept_J[j] != 0) {
            shared += dw_J[j] * w_J[j];
        }
    }
    for (std::int64_t j = 0; j < J; ++j) {
        if (ids_J[j] < 0) {
            continue;
        }
        const float dw = kept_J[j] != 0 ? dw_J[j] * scale : 0.0f;
        const float ds = divide ? (dw - shared) / (chosen + kSumFloor) : dw;
        ds_E[ids_J[j]] += of_chosen ? ds * s_E[ids_J[j]] : ds;
    }
}

void token_backward(float* dz_E, std::int64_t t, const BalanceGradient& balance, double z_scale, const float* dw_TJ,
                    const RouterOutput& out, const RouterInput& in, const RouterShape& shape) {
    const std::int64_t E = shape.E, J = shape.slots();
    const float* s = out.s_TE + t * E;
    float ds_E[kMaxExperts];
    balance.of_token(ds_E, t, shape);
    if (!softmax_scores(shape)) {  // from q = s / sum s to s
        const float inverse = inverse_sum(s, E), mean = lanes::dot(s, ds_E, E) * inverse;
        for (std::int64_t e = 0; e < E; ++e) {
            ds_E[e] = (ds_E[e] - mean) * inverse;
        }
    }
    const auto z_term = static_cast<float>(z_scale * 2.0 * out.lse_T[t] / static_cast<double>(shape.T));
    const float* dw = dw_TJ + t * J;
    const std::int32_t* ids = out.ids_TJ + t * J;
    const std::uint8_t* kept = out.kept_TJ + t * J;
    const ScoringFormulas& formulas = formulas_of(shape.scoring);
    if (softmax_of_chosen(shape)) {
        formulas.backward(dz_E, ds_E, s, nullptr, out.lse_T[t], z_term, E);
        weights_backward(dz_E, dw, ids, kept, out.w_TJ + t * J, s, shape);
        return;
    }
    weights_backward(ds_E, dw, ids, kept, out.w_TJ + t * J, s, shape);
    formulas.backward(dz_E, ds_E, s, in.z_TE + t * E, out.lse_T[t], z_term, E);
}

}  // namespace

float router::inverse_sum(const float* s_E, std::int64_t E) {
    lanes::Lanes sum = {};
    std::int64_t e = 0;
    for (; e + lanes::kWidth <= E; e += lanes::kWidth) {
        lanes::Lanes s;
        lanes::load(s, s_E + e);
        sum += s;
    }
    float total = lanes::add_up(sum);
    for (; e < E; ++e) {
        total += s_E[e];
    }
    return 1.0f / (total + kSumFloor);
}

std::int64_t router_scratch(const RouterShape& shape) {
    const std::int64_t keys = shape.T * shape.slots();
    return blocks_of(shape.T) * (shape.E + 2) + std::max({batch_choice_scratch(shape), keys, balance_scratch(shape)});
}

RouterLosses router_forward(const RouterOutput& out, const RouterInput& in, double* scratch, const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E, J = shape.slots();
    const ScoringFormulas& formulas = formulas_of(shape.scoring);
    const bool each_alone = chosen_alone(shape.choice);
    const auto weigh = [&](std::int64_t t) {
        weigh_slots(out.w_TJ + t * J, out.kept_TJ + t * J, out.ids_TJ + t * J, out.s_TE + t * E, in.z_TE + t * E, J,
                    softmax_of_chosen(shape), divides(shape), static_cast<float>(shape.scale));
    };
    parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        double* sums = scratch + begin / kTokens * (E + 2);
        std::fill(sums, sums + E + 2, 0.0);
        for (std::int64_t t = begin; t < end; ++t) {
            float* s = out.s_TE + t * E;
            add_token(sums, formulas.forward(s, out.lse_T + t, in.z_TE + t * E, E), s, E);
            if (each_alone) {
                choose_token(out.ids_TJ + t * J, t, s, in, shape);
                weigh(t);
            }
        }
    });
    add_blocks(scratch, T, E);
    double* work = scratch + blocks_of(T) * (E + 2);
    if (!each_alone) {
        choose_in_batch(out, in, work, shape);
        parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t t = begin; t < end; ++t) {
                weigh(t);
            }
        });
    }
    count_choices(out.choices_E, out.ids_TJ, T * J, E);
    RouterLosses losses;
    losses.dropped = drop_overflow(out, work, shape);
    losses.balance = balance_loss(out, in, scratch, work, shape);
    losses.z = scratch[E] / static_cast<double>(T);
    if (out.q_sums_E != nullptr) {
        std::copy(scratch, scratch + E, out.q_sums_E);
    }
    losses.entropy = scratch[E + 1] / static_cast<double>(T);
    return losses;
}

void router_backward(float* dz_TE, const float* dw_TJ, const RouterOutput& out, const RouterInput& in, double* scratch,
                     double balance_scale, double z_scale, const RouterShape& shape) {
    BalanceGradient balance;
    balance.prepare(balance_scale, out, in, scratch, shape);
    parallel_blocks(shape.T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            token_backward(dz_TE + t * shape.E, t, balance, z_scale, dw_TJ, out, in, shape);
        }
    });
}

}  // namespace moescope::kernels
