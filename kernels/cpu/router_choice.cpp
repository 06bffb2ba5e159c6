// Router: which experts. Per token (with group limits), or over the whole batch (expert, sinkhorn, quantile).
#include <algorithm>
#include <cmath>
#include <functional>
#include <new>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/router_parts.hpp"

namespace moescope::kernels::router {
namespace {

bool enabled(const std::uint8_t* disabled_E, std::int64_t e) {
    return disabled_E == nullptr || disabled_E[e] == 0;
}

/// What a group counts: its largest c, or the sum of its two largest; only experts that may be chosen count.
float group_value(const float* c_E, const Key* keys_E, std::int64_t begin, std::int64_t end, GroupScore score) {
    Key best = kNever, second = kNever;
    for (std::int64_t e = begin; e < end; ++e) {
        second = std::max(second, std::min(best, keys_E[e]));
        best = std::max(best, keys_E[e]);
    }
    const float value = c_E[index_of(best)];
    switch (score) {
        case GroupScore::max:
            break;
        case GroupScore::top2:
            return second == kNever ? value : value + c_E[index_of(second)];
    }
    return value;
}

/// Takes the experts of all but the best groups out. More than groups_kept stay where these hold fewer than K experts
/// that may be chosen.
void limit_groups(Key* keys_E, const float* c_E, const RouterShape& shape) {
    const std::int64_t G = shape.groups, width = shape.E / G;
    Tournament groups;
    std::int32_t order[kMaxExperts], left[kMaxExperts];
    bool kept[kMaxExperts] = {};
    for (std::int64_t g = 0; g < G; ++g) {
        const Key *begin = keys_E + g * width, *end = begin + width;
        left[g] = static_cast<std::int32_t>(width - std::count(begin, end, kNever));
        groups.keys[g] =
            left[g] == 0 ? kNever : key_of(group_value(c_E, keys_E, g * width, (g + 1) * width, shape.group_score), g);
    }
    groups.take(order, G, G);
    std::int64_t experts = 0;
    for (std::int64_t i = 0; i < G && order[i] >= 0 && (i < shape.groups_kept || experts < shape.K); ++i) {
        kept[order[i]] = true;
        experts += left[order[i]];
    }
    for (std::int64_t g = 0; g < G; ++g) {
        if (!kept[g]) {
            std::fill(keys_E + g * width, keys_E + (g + 1) * width, kNever);
        }
    }
}

/// The K largest of c_E among the enabled experts of the kept groups.
void choose_largest(std::int32_t* ids_K, const float* c_E, const std::uint8_t* disabled_E, const RouterShape& shape) {
    Tournament tournament;
    for (std::int64_t e = 0; e < shape.E; ++e) {
        tournament.keys[e] = key_of(c_E[e], e);
    }
    for (std::int64_t e = 0; disabled_E != nullptr && e < shape.E; ++e) {
        if (disabled_E[e] != 0) {
            tournament.keys[e] = kNever;
        }
    }
    if (shape.groups > 1 && shape.groups_kept < shape.groups) {
        limit_groups(tournament.keys, c_E, shape);
    }
    tournament.take(ids_K, shape.E, shape.K);
}

/// Given ids as they are, -1 where they name no enabled expert.
void take_given(std::int32_t* ids_K, const std::int32_t* given_K, const std::uint8_t* disabled_E,
                const RouterShape& shape) {
    for (std::int64_t k = 0; k < shape.K; ++k) {
        const std::int32_t id = given_K[k];
        ids_K[k] = id >= 0 && id < shape.E && enabled(disabled_E, id) ? id : -1;
    }
}

/// Each expert takes its tokens, then each token lists its experts, best first. keys: E x T.
void choose_by_experts(const RouterOutput& out, const RouterInput& in, double* scratch, const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E, capacity = expert_capacity(shape);
    static_assert(sizeof(Key) == sizeof(double) && alignof(Key) <= alignof(double));
    Key* all = ::new (static_cast<void*>(scratch)) Key[static_cast<std::size_t>(E * T)];
    std::fill(out.kept_TJ, out.kept_TJ + T * E, std::uint8_t{0});
    parallel_for(E, [&](std::int64_t e, int) {
        if (!enabled(in.disabled_E, e)) {
            return;
        }
        Key* keys_T = all + e * T;
        for (std::int64_t t = 0; t < T; ++t) {
            keys_T[t] = key_of(out.s_TE[t * E + e], t);
        }
        if (capacity < T) {
            std::nth_element(keys_T, keys_T + capacity, keys_T + T, std::greater<>());
        }
        for (std::int64_t i = 0; i < capacity; ++i) {
            out.kept_TJ[index_of(keys_T[i]) * E + e] = 1;
        }
    });
    parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            Tournament takers;
            for (std::int64_t e = 0; e < E; ++e) {
                takers.keys[e] = out.kept_TJ[t * E + e] != 0 ? key_of(out.s_TE[t * E + e], e) : kNever;
            }
            takers.take(out.ids_TJ + t * E, E, E);
        }
    });
}

/// M_TE = e^z up to a factor per row, 0 for disabled experts. Rows are scaled by d0 anyway, so the largest is 1.
void sinkhorn_matrix(double* M_TE, const RouterInput& in, const RouterShape& shape) {
    const std::int64_t E = shape.E;
    parallel_blocks(shape.T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            const float* z = in.z_TE + t * E;
            float top = -std::numeric_limits<float>::infinity();
            for (std::int64_t e = 0; e < E; ++e) {
                top = enabled(in.disabled_E, e) && z[e] > top ? z[e] : top;
            }
            for (std::int64_t e = 0; e < E; ++e) {
                M_TE[t * E + e] = enabled(in.disabled_E, e) ? std::exp(static_cast<double>(z[e]) - top) : 0.0;
            }
        }
    });
}

/// One round: d0 from d1, then the column sums of d0 M, per block of tokens and added in block order into sums[0, E).
void sinkhorn_columns(double* sums, const double* d1_E, const double* M_TE, std::int64_t T, std::int64_t E) {
    parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        double* columns = sums + begin / kTokens * E;
        std::fill(columns, columns + E, 0.0);
        for (std::int64_t t = begin; t < end; ++t) {
            const double* M = M_TE + t * E;
            double row = 0;
            for (std::int64_t e = 0; e < E; ++e) {
                row += d1_E[e] * M[e];
            }
            const double d0 = 1.0 / (static_cast<double>(T) * (row > kTiny ? row : kTiny));
            for (std::int64_t e = 0; e < E; ++e) {
                columns[e] += d0 * M[e];
            }
        }
    });
    for (std::int64_t block = 1; block < blocks_of(T); ++block) {
        for (std::int64_t e = 0; e < E; ++e) {
            sums[e] += sums[block * E + e];
        }
    }
}

/// d1_E such that rows of d0 M d1 sum to 1 / T and columns to 1 / E (enabled ones).
void sinkhorn_scale(double* d1_E, double* sums, const double* M_TE, const std::uint8_t* disabled_E,
                    const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E;
    double count = 0;
    for (std::int64_t e = 0; e < E; ++e) {
        d1_E[e] = enabled(disabled_E, e) ? 1.0 : 0.0;
        count += d1_E[e];
    }
    for (int round = 0; T > 1 && round < kSinkhornRounds; ++round) {
        sinkhorn_columns(sums, d1_E, M_TE, T, E);
        double change = 0;
        for (std::int64_t e = 0; e < E; ++e) {
            if (enabled(disabled_E, e)) {
                const double d1 = 1.0 / (count * (sums[e] > kTiny ? sums[e] : kTiny));
                change += std::abs(d1 - d1_E[e]) / count;
                d1_E[e] = d1;
            }
        }
        if (!(change >= kSinkhornTolerance)) {
            return;
        }
    }
}

/// Halfway between the c-th and the next largest of n values, 1 <= c < n. Reorders them.
double upper_quantile(double* values, std::int64_t n, std::int64_t c) {
    std::nth_element(values, values + c, values + n, std::greater<>());
    return 0.5 * *std::min_element(values, values + c) + 0.5 * values[c];
}

double number_or_lowest(double value) {
    return value == value ? value : std::numeric_limits<double>::lowest();
}

/// Halfway between the K-th and the next largest of s - b among the enabled experts, of which there are more than K.
double token_threshold(const float* s_E, const double* b_E, const std::uint8_t* disabled_E, std::int64_t E,
                       std::int64_t K) {
    Tournament tournament;
    std::int32_t ids[kMaxChosen + 1];
    for (std::int64_t e = 0; e < E; ++e) {
        const auto c = static_cast<float>(s_E[e] - b_E[e]);
        tournament.keys[e] = enabled(disabled_E, e) ? key_of(c, e) : kNever;
    }
    tournament.take(ids, E, K + 1);
    const std::int32_t last = ids[K - 1], next = ids[K];
    return 0.5 * (s_E[last] - b_E[last]) + 0.5 * (s_E[next] - b_E[next]);
}

/// b_E of quantile balancing; alpha_T and columns_ET are scratch.
void quantile_bias(double* b_E, double* alpha_T, double* columns_ET, const float* s_TE, const std::uint8_t* disabled_E,
                   const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E, K = shape.K;
    std::fill(b_E, b_E + E, 0.0);
    std::int64_t count = 0;
    for (std::int64_t e = 0; e < E; ++e) {
        count += enabled(disabled_E, e) ? 1 : 0;
    }
    const std::int64_t share = quantile_share(T, K, count);
    if (share == 0) {
        return;
    }
    for (int round = 0; round < kQuantileRounds; ++round) {
        parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t t = begin; t < end; ++t) {
                alpha_T[t] = token_threshold(s_TE + t * E, b_E, disabled_E, E, K);
            }
        });
        parallel_for(E, [&](std::int64_t e, int) {
            double* column = columns_ET + e * T;
            for (std::int64_t t = 0; t < T; ++t) {
                column[t] = number_or_lowest(static_cast<double>(s_TE[t * E + e]) - alpha_T[t]);
            }
            b_E[e] = upper_quantile(column, T, share);
        });
    }
}

}  // namespace

std::int64_t batch_choice_scratch(const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E;
    switch (shape.choice) {
        case Choice::expert:
            return T * E;  // keys
        case Choice::sinkhorn:
            return E + blocks_of(T) * E + T * E;  // d1, column sums, M
        case Choice::quantile:
            return E + T + T * E;  // b, alpha, columns
        case Choice::token:
        case Choice::hash:
            break;
    }
    return 0;
}

void choose_token(std::int32_t* ids_K, std::int64_t t, const float* s_E, const RouterInput& in,
                  const RouterShape& shape) {
    if (shape.choice == Choice::hash) {
        take_given(ids_K, in.given_TK + t * shape.K, in.disabled_E, shape);
        return;
    }
    const bool by_logits = formulas_of(shape.scoring).of_logits;
    const float* from = by_logits ? in.z_TE + t * shape.E : s_E;
    if (in.selection_bias_E == nullptr) {
        choose_largest(ids_K, from, in.disabled_E, shape);
        return;
    }
    float c_E[kMaxExperts];
    for (std::int64_t e = 0; e < shape.E; ++e) {
        c_E[e] = from[e] + in.selection_bias_E[e];
    }
    choose_largest(ids_K, c_E, in.disabled_E, shape);
}

void choose_in_batch(const RouterOutput& out, const RouterInput& in, double* scratch, const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E, K = shape.K;
    const bool sinkhorn = shape.choice == Choice::sinkhorn;
    double *per_E = scratch, *M_TE = scratch + E + blocks_of(T) * E;
    switch (shape.choice) {
        case Choice::token:
        case Choice::hash:
            return;  // each token by itself: choose_token
        case Choice::expert:
            choose_by_experts(out, in, scratch, shape);
            return;
        case Choice::sinkhorn:
            sinkhorn_matrix(M_TE, in, shape);
            sinkhorn_scale(per_E, scratch + E, M_TE, in.disabled_E, shape);
            break;
        case Choice::quantile:
            quantile_bias(per_E, scratch + E, scratch + E + T, out.s_TE, in.disabled_E, shape);
            break;
    }
    parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            float c_E[kMaxExperts];
            for (std::int64_t e = 0; e < E; ++e) {
                const std::int64_t i = t * E + e;
                c_E[e] = static_cast<float>(sinkhorn ? M_TE[i] * per_E[e] : out.s_TE[i] - per_E[e]);
            }
            choose_largest(out.ids_TJ + t * K, c_E, in.disabled_E, shape);
        }
    });
}

}  // namespace moescope::kernels::router
