#include "kernels/cpu/decoding.hpp"

#include <algorithm>

#include "kernels/cpu/cached_attention.hpp"
#include "kernels/cpu/few_rows.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/rms_norm.hpp"

namespace moescope::kernels {
namespace {

/// body(head) for every head, on all cores when a head has enough multiplications to pay for it.
template <class Body>
void over_heads(std::int64_t heads, std::int64_t work_of_head, const Body& body) {
    constexpr std::int64_t kWorth = 1 << 16;
    const std::int64_t block = std::clamp<std::int64_t>(kWorth / std::max<std::int64_t>(1, work_of_head), 1, heads);
    parallel_blocks(heads, block, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t h = begin; h < end; ++h) {
            body(h);
        }
    });
}

/// Multiplications of one head: scores and sum over what its rows see.
std::int64_t work(const CachePlace* places_R, std::int64_t R, std::int64_t width) {
    std::int64_t sum = 0;
    for (std::int64_t r = 0; r < R; ++r) {
        sum += 2 * width * (places_R[r].position + 1);
    }
    return sum;
}

/// The positions that a row sees.
struct Seen {
    std::int64_t first, count;
    Seen(const CachePlace& row, std::int64_t window)
        : first(window > 0 ? std::max<std::int64_t>(0, row.position + 1 - window) : 0),
          count(row.position + 1 - first) {}
};

/// `heads` heads of one token.
HeadShape one_token(std::int64_t heads, std::int64_t width, std::int64_t stride, std::int64_t rope, RopeOrder order) {
    HeadShape shape;
    shape.B = shape.S = 1;
    shape.N = heads;
    shape.C = width;
    shape.R = stride;
    shape.rope = rope;
    shape.norm = QkNorm::none;
    shape.order = order;
    return shape;
}

}  // namespace

std::int64_t grouped_decoding_scratch(const GroupedCache& shape) {
    return std::max(shape.H * shape.S, std::max(shape.H, shape.G) + shape.G * shape.C);
}

void cache_grouped(float* q, float* keys_NGSC, float* values_NGSC, float* scratch, const float* qkv,
                   const float* q_norm, const float* k_norm, const float* cos_SP, const float* sin_SP,
                   const CachePlace* places_R, const GroupedCache& shape) {
    const std::int64_t C = shape.C, Q = shape.H * C, KV = shape.G * C, width = Q + 2 * KV;
    float *rstd = scratch, *k = scratch + std::max(shape.H, shape.G);
    HeadShape queries = one_token(shape.H, C, width, shape.rope, shape.order);
    queries.norm = shape.norm;
    queries.epsilon = shape.epsilon;
    HeadShape keys = queries;
    keys.N = shape.G;
    for (std::int64_t r = 0; r < shape.R; ++r) {
        const auto [sequence, position] = places_R[r];
        const float* x = qkv + r * width;
        const float *cosines = cos_SP + position * (shape.rope / 2), *sines = sin_SP + position * (shape.rope / 2);
        qk_norm_forward(q + r * Q, rstd, x, q_norm, cosines, sines, queries);
        qk_norm_forward(k, rstd, x + Q, k_norm, cosines, sines, keys);
        for (std::int64_t g = 0; g < shape.G; ++g) {
            const std::int64_t place = ((sequence * shape.G + g) * shape.S + position) * C;
            std::copy_n(k + g * C, C, keys_NGSC + place);
            std::copy_n(x + Q + KV + g * C, C, values_NGSC + place);
        }
    }
}

void attend_grouped(float* o_RHC, const float* q, const float* keys_NGSC, const float* values_NGSC,
                    const float* sinks_H, float* scratch, const CachePlace* places_R, const GroupedCache& shape) {
    const std::int64_t C = shape.C, H = shape.H;
    over_heads(H, work(places_R, shape.R, C), [&](std::int64_t h) {
        const std::int64_t group = h / (H / shape.G);
        float* scores = scratch + h * shape.S;
        for (std::int64_t r = 0; r < shape.R; ++r) {
            const Seen seen(places_R[r], shape.window);
            const std::int64_t place = ((places_R[r].sequence * shape.G + group) * shape.S + seen.first) * C;
            query_scores(scores, q + (r * H + h) * C, keys_NGSC + place, seen.count, C, Write::assign);
            query_softmax(scores, seen.count, shape.scale, sinks_H == nullptr ? nullptr : sinks_H + h);
            weighted_rows(o_RHC + (r * H + h) * C, scores, values_NGSC + place, seen.count, C);
        }
    });
}

std::int64_t latent_decoding_scratch(const LatentCache& shape) {
    return shape.H * (shape.R * shape.rank + shape.S);
}

void turn_latent_queries(float* q, float* /*scratch*/, const float* x_RHC, const float* cos_SP, const float* sin_SP,
                         const CachePlace* places_R, const LatentCache& shape) {
    const std::int64_t C = shape.nope + shape.rope, Q = shape.H * C, half = shape.rope / 2;
    for (std::int64_t r = 0; r < shape.R; ++r) {
        qk_norm_forward(q + r * Q, nullptr, x_RHC + r * Q, nullptr, cos_SP + places_R[r].position * half,
                        sin_SP + places_R[r].position * half, one_token(shape.H, C, Q, shape.rope, shape.order));
    }
}

void cache_latent(float* latents_NSL, float* turned_NSP, float* scratch, const float* down, const float* norm_L,
                  const float* cos_SP, const float* sin_SP, const CachePlace* places_R, const LatentCache& shape) {
    const std::int64_t rank = shape.rank, rope = shape.rope, half = rope / 2;
    for (std::int64_t r = 0; r < shape.R; ++r) {
        const std::int64_t place = places_R[r].sequence * shape.S + places_R[r].position;
        const float* x = down + r * (rank + rope);
        rms_norm_forward(latents_NSL + place * rank, scratch, x, norm_L, 1, rank, shape.epsilon);
        std::copy_n(x + rank, rope, turned_NSP + place * rope);
        rope_rotate(turned_NSP + place * rope, cos_SP + places_R[r].position * half,
                    sin_SP + places_R[r].position * half, rope, shape.order);
    }
}

void attend_latent(float* o_RHV, const float* q, const float* latents_NSL, const float* turned_NSP, const float* up_H,
                   float* scratch, const CachePlace* places_R, const LatentCache& shape) {
    const std::int64_t R = shape.R, H = shape.H, S = shape.S, nope = shape.nope, rope = shape.rope, rank = shape.rank,
                       Cv = shape.Cv, C = nope + rope;
    over_heads(H, work(places_R, R, rank) + R * rank * C, [&](std::int64_t h) {
        const float* up = up_H + h * (nope + Cv) * rank;
        float *latent = scratch + h * R * rank, *scores = scratch + H * R * rank + h * S;
        few_rows_gemm(Transpose::no, R, rank, nope, q + h * C, H * C, up, rank, 0.0f, latent, rank);
        for (std::int64_t r = 0; r < R; ++r) {
            const Seen seen(places_R[r], shape.window);
            const std::int64_t place = places_R[r].sequence * S + seen.first;
            query_scores(scores, latent + r * rank, latents_NSL + place * rank, seen.count, rank, Write::assign);
            query_scores(scores, q + (r * H + h) * C + nope, turned_NSP + place * rope, seen.count, rope, Write::add);
            query_softmax(scores, seen.count, shape.scale, nullptr);
            weighted_rows(latent + r * rank, scores, latents_NSL + place * rank, seen.count, rank);
        }
        few_rows_gemm(Transpose::yes, R, Cv, rank, latent, rank, up + nope * rank, rank, 0.0f, o_RHV + h * Cv, H * Cv);
    });
}

}  // namespace moescope::kernels
