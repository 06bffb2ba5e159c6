#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kWarps = 4;  // of a block; each works on a row of its own
constexpr int kPerLane = static_cast<int>(kMaxAttentionWidth / kLanes);

/// Where the numbers of one row stand.
struct Row {
    std::int64_t b, h, s, g;  ///< sequence, query head, position, key-value head
    __device__ Row(std::int64_t row, const AttentionShape& n)
        : b(row / (n.H * n.S)), h(row / n.S % n.H), s(row % n.S), g(h / (n.H / n.G)) {}
};
__device__ std::int64_t first_seen(std::int64_t s, const AttentionShape& n) {
    return n.window > 0 && s >= n.window ? s - n.window + 1 : 0;
}
__device__ const float* value_row(const float* v, std::int64_t b, std::int64_t g, std::int64_t s,
                                  const AttentionShape& n) {
    return v + (b * n.S + s) * n.R + g * n.stride;
}
__device__ float dot(const float* a, const float* b, std::int64_t n) {
    float sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

/// Each lane takes every 32nd key: its score, then, together, 32 probabilities at a time times the values.
__global__ void attend(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                       const float* sinks_H, AttentionShape n, std::int64_t rows) {
    SIMT_SHARED(float, p_of_warps, kWarps* kLanes);
    const unsigned warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
    const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kWarps + warp;
    if (index >= rows) {
        return;  // the whole warp, and no barrier of the block follows
    }
    const auto p_32 = p_of_warps + warp * kLanes;
    const Row row(index, n);
    const float *q = q_BHSC + index * n.C, *keys = k_BGSC + (row.b * n.G + row.g) * n.S * n.C;
    const auto scale = static_cast<float>(n.scale);
    float top = sinks_H == nullptr ? -INFINITY : sinks_H[row.h], sum = sinks_H == nullptr ? 0.0f : 1.0f;
    float out[kPerLane] = {};
    for (std::int64_t begin = first_seen(row.s, n); begin <= row.s; begin += kLanes) {
        const std::int64_t j = begin + lane;
        const float score = j <= row.s ? scale * dot(q, keys + j * n.C, n.C) : -INFINITY;
        const float best = warp_maximum(score), now = best > top ? best : top;
        const float shrink = top == now ? 1.0f : expf(top - now), p = j <= row.s ? expf(score - now) : 0.0f;
        top = now;
        sum = sum * shrink + warp_sum(p);
        p_32[lane] = p;
        __syncwarp();
        const std::int64_t count = row.s - begin + 1 < kLanes ? row.s - begin + 1 : kLanes;
        SIMT_UNROLL
        for (int i = 0; i < kPerLane; ++i) {
            const std::int64_t c = lane + i * static_cast<std::int64_t>(kLanes);
            if (c < n.Cv) {
                float total = out[i] * shrink;
                for (std::int64_t k = 0; k < count; ++k) {
                    total += p_32[k] * value_row(v, row.b, row.g, begin + k, n)[c];
                }
                out[i] = total;
            }
        }
        __syncwarp();
    }
    float* o = o_THC + ((row.b * n.S + row.s) * n.H + row.h) * n.Cv;
    SIMT_UNROLL
    for (int i = 0; i < kPerLane; ++i) {
        const std::int64_t c = lane + i * static_cast<std::int64_t>(kLanes);
        if (c < n.Cv) {
            o[c] = out[i] / sum;
        }
    }
    if (lane == 0) {
        lse_BHS[index] = top + logf(sum);
    }
}

/// A warp per query: dq, and delta = sum over keys of p dp, which dk and the sinks need.
__global__ void attend_backward_queries(float* dq_BHSC, float* delta_BHS, const float* do_THC, const float* q_BHSC,
                                        const float* k_BGSC, const float* v, const float* lse_BHS, AttentionShape n,
                                        std::int64_t rows) {
    SIMT_SHARED(float, ds_of_warps, kWarps* kLanes);
    const unsigned warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
    const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kWarps + warp;
    if (index >= rows) {
        return;
    }
    const auto ds_32 = ds_of_warps + warp * kLanes;
    const Row row(index, n);
    const float *q = q_BHSC + index * n.C, *keys = k_BGSC + (row.b * n.G + row.g) * n.S * n.C;
    const float* dout = do_THC + ((row.b * n.S + row.s) * n.H + row.h) * n.Cv;
    const auto scale = static_cast<float>(n.scale);
    const float lse = lse_BHS[index];
    float delta = 0;
    for (std::int64_t j = first_seen(row.s, n) + lane; j <= row.s; j += kLanes) {
        delta += expf(scale * dot(q, keys + j * n.C, n.C) - lse) * dot(dout, value_row(v, row.b, row.g, j, n), n.Cv);
    }
    delta = warp_sum(delta);
    float dq[kPerLane] = {};
    for (std::int64_t begin = first_seen(row.s, n); begin <= row.s; begin += kLanes) {
        const std::int64_t j = begin + lane;
        float ds = 0;
        if (j <= row.s) {
            const float p = expf(scale * dot(q, keys + j * n.C, n.C) - lse);
            ds = scale * p * (dot(dout, value_row(v, row.b, row.g, j, n), n.Cv) - delta);
        }
        ds_32[lane] = ds;
        __syncwarp();
        const std::int64_t count = row.s - begin + 1 < kLanes ? row.s - begin + 1 : kLanes;
        SIMT_UNROLL
        for (int i = 0; i < kPerLane; ++i) {
            const std::int64_t c = lane + i * static_cast<std::int64_t>(kLanes);
            for (std::int64_t k = 0; c < n.C && k < count; ++k) {
                dq[i] += ds_32[k] * keys[(begin + k) * n.C + c];
            }
        }
        __syncwarp();
    }
    SIMT_UNROLL
    for (int i = 0; i < kPerLane; ++i) {
        const std::int64_t c = lane + i * static_cast<std::int64_t>(kLanes);
        if (c < n.C) {
            dq_BHSC[index * n.C + c] = dq[i];
        }
    }
    if (lane == 0) {
        delta_BHS[index] = delta;
    }
}

/// A warp per key: the queries that see it, of all heads of its group, in their order.
__global__ void attend_backward_keys(float* dk_BGSC, float* dv, const float* delta_BHS, const float* do_THC,
                                     const float* q_BHSC, const float* k_BGSC, const float* v, const float* lse_BHS,
                                     AttentionShape n, std::int64_t keys) {
    SIMT_SHARED(float, p_of_warps, kWarps* kLanes);
    SIMT_SHARED(float, ds_of_warps, kWarps* kLanes);
    const unsigned warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
    const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kWarps + warp;
    if (index >= keys) {
        return;
    }
    const auto p_32 = p_of_warps + warp * kLanes, ds_32 = ds_of_warps + warp * kLanes;
    const std::int64_t b = index / (n.G * n.S), g = index / n.S % n.G, j = index % n.S, heads = n.H / n.G;
    const float *key = k_BGSC + index * n.C, *value = value_row(v, b, g, j, n);
    const std::int64_t end = n.window > 0 && j + n.window < n.S ? j + n.window : n.S;
    const auto scale = static_cast<float>(n.scale);
    float dk[kPerLane] = {}, dvalue[kPerLane] = {};
    for (std::int64_t h = g * heads; h < (g + 1) * heads; ++h) {
        const std::int64_t first = (b * n.H + h) * n.S;
        for (std::int64_t begin = j; begin < end; begin += kLanes) {
            const std::int64_t s = begin + lane;
            float p = 0, ds = 0;
            if (s < end) {
                p = expf(scale * dot(q_BHSC + (first + s) * n.C, key, n.C) - lse_BHS[first + s]);
                ds = scale * p * (dot(do_THC + ((b * n.S + s) * n.H + h) * n.Cv, value, n.Cv) - delta_BHS[first + s]);
            }
            p_32[lane] = p;
            ds_32[lane] = ds;
            __syncwarp();
            const std::int64_t count = end - begin < kLanes ? end - begin : kLanes;
            SIMT_UNROLL
            for (int i = 0; i < kPerLane; ++i) {
                const std::int64_t c = lane + i * static_cast<std::int64_t>(kLanes);
                for (std::int64_t k = 0; c < n.C && k < count; ++k) {
                    dk[i] += ds_32[k] * q_BHSC[(first + begin + k) * n.C + c];
                }
                for (std::int64_t k = 0; c < n.Cv && k < count; ++k) {
                    dvalue[i] += p_32[k] * do_THC[((b * n.S + begin + k) * n.H + h) * n.Cv + c];
                }
            }
            __syncwarp();
        }
    }
    float* out = dv + (b * n.S + j) * n.R + g * n.stride;
    SIMT_UNROLL
    for (int i = 0; i < kPerLane; ++i) {
        const std::int64_t c = lane + i * static_cast<std::int64_t>(kLanes);
        if (c < n.C) {
            dk_BGSC[index * n.C + c] = dk[i];
        }
        if (c < n.Cv) {
            out[c] = dvalue[i];
        }
    }
}

/// One block per head. The sink's probability gives nothing, so its score's gradient is -p delta.
__global__ void sinks_backward(float* dsinks_H, const float* sinks_H, const float* delta_BHS, const float* lse_BHS,
                               AttentionShape n) {
    SIMT_SHARED(float, parts, kMostWarps);
    const std::int64_t h = blockIdx.x;
    float sum = 0;
    for (std::int64_t i = threadIdx.x; i < n.B * n.S; i += blockDim.x) {
        const std::int64_t row = (i / n.S * n.H + h) * n.S + i % n.S;
        sum -= expf(sinks_H[h] - lse_BHS[row]) * delta_BHS[row];
    }
    sum = block_sum<float>(sum, parts);
    if (threadIdx.x == 0) {
        dsinks_H[h] = sum;
    }
}

dim3 warps_for(std::int64_t rows) {
    return dim3(static_cast<unsigned>((rows + kWarps - 1) / kWarps));
}

}  // namespace

void attention_forward(simt::Stream stream, float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC,
                       const float* v, const float* sinks_H, const AttentionShape& shape) {
    const std::int64_t rows = shape.B * shape.H * shape.S;
    SIMT_LAUNCH(attend, warps_for(rows), dim3(kWarps * kLanes), 0, stream, o_THC, lse_BHS, q_BHSC, k_BGSC, v, sinks_H,
                shape, rows);
}

void attention_backward(simt::Stream stream, float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H,
                        const float* do_THC, const float* q_BHSC, const float* k_BGSC, const float* v,
                        const float* sinks_H, const float* lse_BHS, float* scratch, const AttentionShape& shape) {
    const std::int64_t rows = shape.B * shape.H * shape.S, keys = shape.B * shape.G * shape.S;
    SIMT_LAUNCH(attend_backward_queries, warps_for(rows), dim3(kWarps * kLanes), 0, stream, dq_BHSC, scratch, do_THC,
                q_BHSC, k_BGSC, v, lse_BHS, shape, rows);
    SIMT_LAUNCH(attend_backward_keys, warps_for(keys), dim3(kWarps * kLanes), 0, stream, dk_BGSC, dv, scratch, do_THC,
                q_BHSC, k_BGSC, v, lse_BHS, shape, keys);
    if (sinks_H != nullptr && dsinks_H != nullptr) {
        attention_backward_sinks(stream, dsinks_H, sinks_H, scratch, lse_BHS, shape);
    }
}

void attention_backward_sinks(simt::Stream stream, float* dsinks_H, const float* sinks_H, const float* delta_BHS,
                              const float* lse_BHS, const AttentionShape& shape) {
    SIMT_LAUNCH(sinks_backward, dim3(static_cast<unsigned>(shape.H)), dim3(kRowThreads), 0, stream, dsinks_H, sinks_H,
                delta_BHS, lse_BHS, shape);
}

}  // namespace moescope::kernels::cuda
