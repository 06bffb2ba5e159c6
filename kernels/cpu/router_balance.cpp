// Router: the balance losses, their gradient, and balancing without a loss.
#include <algorithm>
#include <cmath>
#include <new>

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/router_parts.hpp"

namespace moescope::kernels {
namespace router {

void count_choices(std::uint32_t* choices_E, const std::int32_t* ids_TJ, std::int64_t slots, std::int64_t E) {
    std::fill(choices_E, choices_E + E, 0u);
    for (std::int64_t slot = 0; slot < slots; ++slot) {
        if (ids_TJ[slot] >= 0) {
            ++choices_E[ids_TJ[slot]];
        }
    }
}

namespace {

/// Choices that f counts besides this batch's.
double earlier_choices(const RouterInput& in, const RouterShape& shape, std::int64_t e) {
    const bool used = shape.balance == Balance::global && in.earlier_choices_E != nullptr;
    return used ? static_cast<double>(in.earlier_choices_E[e]) : 0.0;
}
double counted_tokens(const RouterInput& in, const RouterShape& shape) {
    const bool used = shape.balance == Balance::global && in.earlier_choices_E != nullptr;
    return static_cast<double>(shape.T) + (used ? static_cast<double>(in.earlier_tokens) : 0.0);
}

double balance_of_batch(const double* q_sums, const RouterOutput& out, const RouterInput& in,
                        const RouterShape& shape) {
    const double tokens = static_cast<double>(shape.T), K = static_cast<double>(shape.K);
    double balance = 0;
    for (std::int64_t e = 0; e < shape.E; ++e) {
        const double f = (out.choices_E[e] + earlier_choices(in, shape, e)) / (counted_tokens(in, shape) * K);
        balance += static_cast<double>(shape.E) * f * (q_sums[e] / tokens);
    }
    return balance;
}

/// Choices per expert of each sequence, as f_SE = E x share / (tokens of the sequence x number of sequences), which is
/// also the gradient of the balance loss by q of a token there.
void sequence_factors(float* f_SE, const std::int32_t* ids_TJ, const RouterShape& shape) {
    const std::int64_t S = sequence_of(shape), J = shape.slots(), E = shape.E;
    parallel_for(sequences_of(shape), [&](std::int64_t sequence, int) {
        std::uint32_t counts_E[kMaxExperts];
        const std::int64_t tokens = std::min(S, shape.T - sequence * S);
        count_choices(counts_E, ids_TJ + sequence * S * J, tokens * J, E);
        const double n = static_cast<double>(tokens);
        const double factor =
            static_cast<double>(E) / (n * static_cast<double>(shape.K)) / n / static_cast<double>(sequences_of(shape));
        for (std::int64_t e = 0; e < E; ++e) {
            f_SE[sequence * E + e] = static_cast<float>(factor * counts_E[e]);
        }
    });
}

/// Sum over tokens of f . q. losses_B: one double per block of tokens.
double balance_of_sequences(double* losses_B, const float* f_SE, const float* s_TE, const RouterShape& shape) {
    const std::int64_t S = sequence_of(shape), E = shape.E;
    parallel_blocks(shape.T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        double sum = 0;
        for (std::int64_t t = begin; t < end; ++t) {
            const float* s = s_TE + t * E;
            const float q_of_s = softmax_scores(shape) ? 1.0f : inverse_sum(s, E);
            sum += static_cast<double>(lanes::dot(s, f_SE + t / S * E, E)) * static_cast<double>(q_of_s);
        }
        losses_B[begin / kTokens] = sum;
    });
    double balance = 0;
    for (std::int64_t block = 0; block < blocks_of(shape.T); ++block) {
        balance += losses_B[block];
    }
    return balance;
}

/// Floats of f_SE in doubles.
std::int64_t sequence_scratch(const RouterShape& shape) {
    return (sequences_of(shape) * shape.E + 1) / 2;
}
float* as_floats(double* scratch, std::int64_t count) {
    return ::new (static_cast<void*>(scratch)) float[static_cast<std::size_t>(count)];
}

}  // namespace

std::int64_t balance_scratch(const RouterShape& shape) {
    return sequence_scratch(shape) + blocks_of(shape.T);
}

double balance_loss(const RouterOutput& out, const RouterInput& in, const double* q_sums_E, double* scratch,
                    const RouterShape& shape) {
    switch (shape.balance) {
        case Balance::none:
            return 0.0;
        case Balance::batch:
        case Balance::global:
            return balance_of_batch(q_sums_E, out, in, shape);
        case Balance::sequence:
            break;
    }
    float* f_SE = as_floats(scratch, sequences_of(shape) * shape.E);
    sequence_factors(f_SE, out.ids_TJ, shape);
    return balance_of_sequences(scratch + sequence_scratch(shape), f_SE, out.s_TE, shape);
}

void BalanceGradient::prepare(double balance_scale, const RouterOutput& out, const RouterInput& in, double* scratch,
                              const RouterShape& shape) {
    const std::int64_t E = shape.E;
    const double tokens = static_cast<double>(shape.T), K = static_cast<double>(shape.K);
    std::fill(dq_E, dq_E + E, 0.0f);
    scale = static_cast<float>(balance_scale);
    switch (shape.balance) {
        case Balance::none:
            return;
        case Balance::sequence: {
            float* f = as_floats(scratch, sequences_of(shape) * E);
            sequence_factors(f, out.ids_TJ, shape);
            f_SE = f;
            return;
        }
        case Balance::batch:
        case Balance::global:
            break;
    }
    const double factor = balance_scale * static_cast<double>(E) / (counted_tokens(in, shape) * K) / tokens;
    for (std::int64_t e = 0; e < E; ++e) {
        dq_E[e] = static_cast<float>(factor * (out.choices_E[e] + earlier_choices(in, shape, e)));
    }
}

void BalanceGradient::of_token(float* dq, std::int64_t t, const RouterShape& shape) const {
    if (f_SE == nullptr) {
        std::copy(dq_E, dq_E + shape.E, dq);
        return;
    }
    const float* f_E = f_SE + t / sequence_of(shape) * shape.E;
    for (std::int64_t e = 0; e < shape.E; ++e) {
        dq[e] = scale * f_E[e];
    }
}

}  // namespace router

void update_selection_bias(float* bias_E, const std::uint64_t* loads_E, const std::uint8_t* disabled_E, std::int64_t E,
                           double speed) {
    const auto enabled = [&](std::int64_t e) { return disabled_E == nullptr || disabled_E[e] == 0; };
    double total = 0, count = 0;
    for (std::int64_t e = 0; e < E; ++e) {
        if (enabled(e)) {
            total += static_cast<double>(loads_E[e]);
            count += 1;
        }
    }
    const double mean = total / count;
    for (std::int64_t e = 0; e < E; ++e) {
        if (!enabled(e)) {
            continue;
        }
        const double load = static_cast<double>(loads_E[e]);
        const double sign = load < mean ? 1.0 : load > mean ? -1.0 : 0.0;
        bias_E[e] = static_cast<float>(bias_E[e] + speed * sign);
    }
}

}  // namespace moescope::kernels
