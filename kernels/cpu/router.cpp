#include "kernels/cpu/router.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

constexpr std::int64_t kTokens = 64;  // tokens per block; sums over blocks are added in block order

std::int64_t blocks_of(std::int64_t T) {
    return (T + kTokens - 1) / kTokens;
}

/// The K largest of p_E, largest first. Also with NaN in p every id is valid and no id appears twice.
void choose(std::int32_t* ids_K, const float* p_E, std::int64_t E, std::int64_t K) {
    bool taken[kMaxExperts] = {};
    for (std::int64_t k = 0; k < K; ++k) {
        std::int64_t best = -1;
        for (std::int64_t e = 0; e < E; ++e) {
            if (!taken[e] && (best < 0 || p_E[e] > p_E[best])) {
                best = e;
            }
        }
        taken[best] = true;
        ids_K[k] = static_cast<std::int32_t>(best);
    }
}

struct TokenSums {
    double z = 0, entropy = 0;
};

TokenSums route_token(float* p_E, float* lse, std::int32_t* ids_K, float* w_K, const float* z_E,
                      const RouterShape& shape) {
    const std::int64_t E = shape.E, K = shape.K;
    const float top = lanes::maximum(z_E, E);
    std::copy(z_E, z_E + E, p_E);
    const float sum = lanes::exponentials(p_E, E, 1.0f, top);
    const float inverse = 1.0f / sum;
    for (std::int64_t e = 0; e < E; ++e) {
        p_E[e] *= inverse;
    }
    *lse = top + std::log(sum);
    choose(ids_K, p_E, E, K);
    float chosen = 0;
    for (std::int64_t k = 0; k < K; ++k) {
        chosen += p_E[ids_K[k]];
    }
    for (std::int64_t k = 0; k < K; ++k) {
        w_K[k] = shape.normalise ? p_E[ids_K[k]] / chosen : p_E[ids_K[k]];
    }
    // -sum p log p, with log p = z - lse.
    return {static_cast<double>(*lse) * *lse, *lse - static_cast<double>(lanes::dot(p_E, z_E, E))};
}

}  // namespace

namespace reference {

RouterLosses router_forward(float* p_TE, float* lse_T, std::int32_t* ids_TK, float* w_TK, std::uint32_t* counts_E,
                            const float* z_TE, const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E, K = shape.K;
    RouterLosses losses;
    std::vector<double> mean(static_cast<std::size_t>(E));
    std::fill(counts_E, counts_E + E, 0u);
    for (std::int64_t t = 0; t < T; ++t) {
        double sum = 0;
        for (std::int64_t e = 0; e < E; ++e) {
            sum += std::exp(static_cast<double>(z_TE[t * E + e]));
        }
        lse_T[t] = static_cast<float>(std::log(sum));
        losses.z += std::log(sum) * std::log(sum) / static_cast<double>(T);
        for (std::int64_t e = 0; e < E; ++e) {
            const double p = std::exp(static_cast<double>(z_TE[t * E + e])) / sum;
            p_TE[t * E + e] = static_cast<float>(p);
            mean[static_cast<std::size_t>(e)] += p / static_cast<double>(T);
            losses.entropy -= p * std::log(p) / static_cast<double>(T);
        }
        std::vector<std::int32_t> order(static_cast<std::size_t>(E));
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(),
                         [&](std::int32_t a, std::int32_t b) { return z_TE[t * E + a] > z_TE[t * E + b]; });
        double chosen = 0;
        for (std::int64_t k = 0; k < K; ++k) {
            chosen += p_TE[t * E + order[static_cast<std::size_t>(k)]];
        }
        for (std::int64_t k = 0; k < K; ++k) {
            const std::int32_t e = order[static_cast<std::size_t>(k)];
            ids_TK[t * K + k] = e;
            w_TK[t * K + k] = static_cast<float>(p_TE[t * E + e] / (shape.normalise ? chosen : 1.0));
            ++counts_E[e];
        }
    }
    for (std::int64_t e = 0; e < E; ++e) {
        losses.balance +=
            static_cast<double>(E) * counts_E[e] / static_cast<double>(T * K) * mean[static_cast<std::size_t>(e)];
    }
    return losses;
}

}  // namespace reference

std::int64_t router_scratch(const RouterShape& shape) {
    return blocks_of(shape.T) * (shape.E + 2);
}

RouterLosses router_forward(float* p_TE, float* lse_T, std::int32_t* ids_TK, float* w_TK, std::uint32_t* counts_E,
                            const float* z_TE, double* scratch, const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E, K = shape.K;
    parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        double* sums = scratch + begin / kTokens * (E + 2);  // [E] probabilities, then z, then entropy
        std::fill(sums, sums + E + 2, 0.0);
        for (std::int64_t t = begin; t < end; ++t) {
            const TokenSums token =
                route_token(p_TE + t * E, lse_T + t, ids_TK + t * K, w_TK + t * K, z_TE + t * E, shape);
            for (std::int64_t e = 0; e < E; ++e) {
                sums[e] += p_TE[t * E + e];
            }
            sums[E] += token.z;
            sums[E + 1] += token.entropy;
        }
    });
    std::fill(counts_E, counts_E + E, 0u);
    for (std::int64_t i = 0; i < T * K; ++i) {
        ++counts_E[ids_TK[i]];
    }
    for (std::int64_t block = 1; block < blocks_of(T); ++block) {
        for (std::int64_t i = 0; i < E + 2; ++i) {
            scratch[i] += scratch[block * (E + 2) + i];
        }
    }
    RouterLosses losses;
    const double tokens = static_cast<double>(T);
    for (std::int64_t e = 0; e < E; ++e) {
        losses.balance +=
            static_cast<double>(E) * (counts_E[e] / (tokens * static_cast<double>(K))) * (scratch[e] / tokens);
    }
    losses.z = scratch[E] / tokens;
    losses.entropy = scratch[E + 1] / tokens;
    return losses;
}

void router_backward(float* dz_TE, const float* dw_TK, const float* p_TE, const float* lse_T,
                     const std::int32_t* ids_TK, const float* w_TK, const std::uint32_t* counts_E, double balance_scale,
                     double z_scale, const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E, K = shape.K;
    const double tokens = static_cast<double>(T);
    const double per_count = balance_scale * static_cast<double>(E) / (tokens * static_cast<double>(K)) / tokens;
    parallel_blocks(T, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            const float *p = p_TE + t * E, *w = w_TK + t * K, *dw = dw_TK + t * K;
            float* dz = dz_TE + t * E;  // first the gradient of p
            for (std::int64_t e = 0; e < E; ++e) {
                dz[e] = static_cast<float>(per_count * counts_E[e]);
            }
            float chosen = 0, shared = 0;
            for (std::int64_t k = 0; k < K; ++k) {
                chosen += p[ids_TK[t * K + k]];
                shared += dw[k] * w[k];
            }
            for (std::int64_t k = 0; k < K; ++k) {
                dz[ids_TK[t * K + k]] += shape.normalise ? (dw[k] - shared) / chosen : dw[k];
            }
            const float mean = lanes::dot(p, dz, E);
            const float z = static_cast<float>(z_scale * 2.0 * lse_T[t] / tokens);
            for (std::int64_t e = 0; e < E; ++e) {
                dz[e] = p[e] * (dz[e] - mean + z);
            }
        }
    });
}

}  // namespace moescope::kernels
