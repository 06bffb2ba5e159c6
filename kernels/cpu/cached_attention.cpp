#include "kernels/cpu/cached_attention.hpp"

#include <cmath>

#include "kernels/cpu/lanes.hpp"

namespace moescope::kernels {

using lanes::kWidth;
using lanes::Lanes;

namespace {

/// V lanes of the sum, kept in registers over all rows.
template <int V>
void weighted_lanes(float* out, const float* p, const float* rows, std::int64_t S, std::int64_t C) {
    Lanes sum[V] = {};
    for (std::int64_t j = 0; j < S; ++j) {
        for (int v = 0; v < V; ++v) {
            Lanes row;
            lanes::load(row, rows + j * C + v * kWidth);
            sum[v] += p[j] * row;
        }
    }
    for (int v = 0; v < V; ++v) {
        lanes::store(out + v * kWidth, sum[v]);
    }
}

}  // namespace

void query_scores(float* scores_S, const float* q_C, const float* keys_SC, std::int64_t S, std::int64_t C,
                  Write write) {
    for (std::int64_t j = 0; j < S; ++j) {
        const float score = lanes::dot(q_C, keys_SC + j * C, C);
        scores_S[j] = write == Write::assign ? score : scores_S[j] + score;
    }
}

float query_softmax(float* scores_S, std::int64_t S, double scale, const float* sink) {
    const float factor = static_cast<float>(scale);
    float top = factor * lanes::maximum(scores_S, S);
    top = sink != nullptr && *sink > top ? *sink : top;
    float sum = lanes::exponentials(scores_S, S, factor, top);
    if (sink != nullptr) {
        sum += lanes::exponential(*sink - top);
    }
    const float inverse = 1.0f / sum;
    for (std::int64_t j = 0; j < S; ++j) {
        scores_S[j] *= inverse;
    }
    return top + std::log(sum);
}

void weighted_rows(float* out_C, const float* p_S, const float* values_SC, std::int64_t S, std::int64_t C) {
    constexpr int kMost = 4;
    std::int64_t c = 0;
    for (; c + kMost * kWidth <= C; c += kMost * kWidth) {
        weighted_lanes<kMost>(out_C + c, p_S, values_SC + c, S, C);
    }
    for (; c + kWidth <= C; c += kWidth) {
        weighted_lanes<1>(out_C + c, p_S, values_SC + c, S, C);
    }
    for (; c < C; ++c) {
        float sum = 0.0f;
        for (std::int64_t j = 0; j < S; ++j) {
            sum += p_S[j] * values_SC[j * C + c];
        }
        out_C[c] = sum;
    }
}

}  // namespace moescope::kernels
