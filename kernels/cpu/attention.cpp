#include "kernels/cpu/attention.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/cached_attention.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

constexpr std::int64_t kRows = 64;  // query rows whose scores are held at a time

/// The first position that position s sees.
std::int64_t first_seen(std::int64_t s, const AttentionShape& shape) {
    return shape.window > 0 ? std::max<std::int64_t>(0, s - shape.window + 1) : 0;
}

/// Query rows [first, first + rows) and the keys that at least one of them sees, [begin, begin + n).
struct Tile {
    std::int64_t first, rows, begin, n;
    /// Of row i: the columns [low, high) that it sees.
    std::int64_t low(std::int64_t i, const AttentionShape& shape) const { return first_seen(first + i, shape) - begin; }
    std::int64_t high(std::int64_t i) const { return first + i + 1 - begin; }
};

Tile tile_at(std::int64_t first, const AttentionShape& shape) {
    const std::int64_t rows = std::min(kRows, shape.S - first), begin = first_seen(first, shape);
    return {first, rows, begin, first + rows - begin};
}

}  // namespace

namespace reference {

void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                       const float* sinks_H, const AttentionShape& shape) {
    const std::int64_t S = shape.S, H = shape.H, G = shape.G, C = shape.C, Cv = shape.Cv;
    std::vector<double> p(static_cast<std::size_t>(S));
    for (std::int64_t row = 0; row < shape.B * H * S; ++row) {
        const std::int64_t b = row / (H * S), h = row / S % H, s = row % S, g = h / (H / G);
        double sum = sinks_H == nullptr ? 0.0 : std::exp(static_cast<double>(sinks_H[h]));
        for (std::int64_t j = 0; j <= s; ++j) {
            double score = 0;
            for (std::int64_t c = 0; c < C; ++c) {
                score += static_cast<double>(q_BHSC[row * C + c]) * k_BGSC[((b * G + g) * S + j) * C + c];
            }
            const bool seen = shape.window == 0 || j > s - shape.window;
            p[static_cast<std::size_t>(j)] = seen ? std::exp(score * shape.scale) : 0.0;
            sum += p[static_cast<std::size_t>(j)];
        }
        lse_BHS[row] = static_cast<float>(std::log(sum));
        for (std::int64_t c = 0; c < Cv; ++c) {
            double out = 0;
            for (std::int64_t j = 0; j <= s; ++j) {
                out += p[static_cast<std::size_t>(j)] / sum * v[(b * S + j) * shape.R + g * shape.stride + c];
            }
            o_THC[(b * S + s) * H * Cv + h * Cv + c] = static_cast<float>(out);
        }
    }
}

}  // namespace reference

std::int64_t attention_scratch(std::int64_t S) {
    return 2 * std::min(kRows, S) * S;
}

namespace {

/// Scores become probabilities, zero where nothing is seen; writes the lse of each row.
void softmax_rows(float* scores, float* lse, const float* sink, const Tile& tile, const AttentionShape& shape) {
    for (std::int64_t i = 0; i < tile.rows; ++i) {
        float* row = scores + i * tile.n;
        const std::int64_t low = tile.low(i, shape), high = tile.high(i);
        lse[i] = query_softmax(row + low, high - low, shape.scale, sink);
        std::fill(row, row + low, 0.0f);
        std::fill(row + high, row + tile.n, 0.0f);
    }
}

}  // namespace

void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                       const float* sinks_H, float* scratch, const AttentionShape& shape) {
    const std::int64_t S = shape.S, H = shape.H, G = shape.G, C = shape.C, Cv = shape.Cv, R = shape.R;
    parallel_for(shape.B * H, [&](std::int64_t index, int worker) {
        const std::int64_t b = index / H, h = index % H, g = h / (H / G);
        float* scores = scratch + worker * attention_scratch(S);
        const float *q = q_BHSC + index * S * C, *k = k_BGSC + (b * G + g) * S * C;
        const float* values = v + b * S * R + g * shape.stride;
        for (std::int64_t first = 0; first < S; first += kRows) {
            const Tile t = tile_at(first, shape);
            gemm(Transpose::no, Transpose::yes, t.rows, t.n, C, q + first * C, C, k + t.begin * C, C, 0.0f, scores,
                 t.n);
            softmax_rows(scores, lse_BHS + index * S + first, sinks_H == nullptr ? nullptr : sinks_H + h, t, shape);
            gemm(Transpose::no, Transpose::no, t.rows, Cv, t.n, scores, t.n, values + t.begin * R, R, 0.0f,
                 o_THC + (b * S + first) * H * Cv + h * Cv, H * Cv);
        }
    });
}

namespace {

/// p [rows, n] holds scores and becomes probabilities; dp [rows, n] holds their gradients and becomes those of q k^T.
/// Gives the gradient of the sink's score. Softmax: dscore_j = p_j (dp_j - sum over i of p_i dp_i). The sink has a
/// probability too, e^(sink - lse), but gives nothing, so its dp is 0.
float softmax_backward(float* p, float* dp, const float* lse, const float* sink, const Tile& tile,
                       const AttentionShape& shape) {
    const float scale = static_cast<float>(shape.scale);
    float dsink = 0;
    for (std::int64_t i = 0; i < tile.rows; ++i) {
        float *prob = p + i * tile.n, *grad = dp + i * tile.n;
        const std::int64_t low = tile.low(i, shape), high = tile.high(i);
        lanes::exponentials(prob + low, high - low, scale, lse[i]);
        const float shared = lanes::dot(prob + low, grad + low, high - low);
        for (std::int64_t j = low; j < high; ++j) {
            grad[j] = prob[j] * (grad[j] - shared) * scale;
        }
        std::fill(prob, prob + low, 0.0f);
        std::fill(grad, grad + low, 0.0f);
        std::fill(prob + high, prob + tile.n, 0.0f);
        std::fill(grad + high, grad + tile.n, 0.0f);
        if (sink != nullptr) {
            dsink -= lanes::exponential(*sink - lse[i]) * shared;
        }
    }
    return dsink;
}

/// One query head: writes dq, adds to the dkeys and dvalues of its group. Gives the gradient of its sink.
float head_backward(float* dq, float* dkeys, float* dvalues, const float* dout, const float* q, const float* keys,
                    const float* values, const float* sink, const float* lse, float* scratch,
                    const AttentionShape& shape) {
    const std::int64_t S = shape.S, C = shape.C, Cv = shape.Cv, R = shape.R, O = shape.H * Cv;
    float *p = scratch, *dp = scratch + std::min(kRows, S) * S;
    float dsink = 0;
    for (std::int64_t first = 0; first < S; first += kRows, q += kRows * C, dq += kRows * C, dout += kRows * O) {
        const Tile t = tile_at(first, shape);
        const float *k = keys + t.begin * C, *v = values + t.begin * R;
        gemm(Transpose::no, Transpose::yes, t.rows, t.n, C, q, C, k, C, 0.0f, p, t.n);
        gemm(Transpose::no, Transpose::yes, t.rows, t.n, Cv, dout, O, v, R, 0.0f, dp, t.n);
        dsink += softmax_backward(p, dp, lse + first, sink, t, shape);
        gemm(Transpose::yes, Transpose::no, t.n, Cv, t.rows, p, t.n, dout, O, 1.0f, dvalues + t.begin * R, R);
        gemm(Transpose::no, Transpose::no, t.rows, C, t.n, dp, t.n, k, C, 0.0f, dq, C);
        gemm(Transpose::yes, Transpose::no, t.n, C, t.rows, dp, t.n, q, C, 1.0f, dkeys + t.begin * C, C);
    }
    return dsink;
}

}  // namespace

void attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, float* sink_partial,
                        const float* do_THC, const float* q_BHSC, const float* k_BGSC, const float* v,
                        const float* sinks_H, const float* lse_BHS, float* scratch, const AttentionShape& shape) {
    const std::int64_t S = shape.S, H = shape.H, G = shape.G, C = shape.C, Cv = shape.Cv, R = shape.R, group = H / G;
    // One task per key-value head: the query heads of its group add to dk and dv in a fixed order.
    parallel_for(shape.B * G, [&](std::int64_t index, int worker) {
        const std::int64_t b = index / G, g = index % G;
        const std::int64_t values_at = b * S * R + g * shape.stride;
        float *dkeys = dk_BGSC + index * S * C, *dvalues = dv + values_at;
        std::fill(dkeys, dkeys + S * C, 0.0f);
        for (std::int64_t s = 0; s < S; ++s) {
            std::fill(dvalues + s * R, dvalues + s * R + Cv, 0.0f);
        }
        for (std::int64_t h = g * group; h < (g + 1) * group; ++h) {
            const std::int64_t head = b * H + h;
            const float* sink = sinks_H == nullptr ? nullptr : sinks_H + h;
            const float dsink = head_backward(dq_BHSC + head * S * C, dkeys, dvalues, do_THC + (b * S * H + h) * Cv,
                                              q_BHSC + head * S * C, k_BGSC + index * S * C, v + values_at, sink,
                                              lse_BHS + head * S, scratch + worker * attention_scratch(S), shape);
            if (sink != nullptr) {
                sink_partial[head] = dsink;
            }
        }
    });
    for (std::int64_t h = 0; sinks_H != nullptr && h < H; ++h) {
        dsinks_H[h] = 0;
        for (std::int64_t b = 0; b < shape.B; ++b) {
            dsinks_H[h] += sink_partial[b * H + h];
        }
    }
}

}  // namespace moescope::kernels
