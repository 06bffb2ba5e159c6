#include "kernels/cuda/decoding.hpp"
#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/qk_norm.hpp"
#include "kernels/cuda/rms_norm.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kWarps = 4;  // of a block; each works for itself
constexpr int kHeads = 4;       // query heads that share what a warp reads
constexpr int kValueLanes = static_cast<int>(kMaxCacheValue / kLanes);
constexpr int kKeyLanes = static_cast<int>(kMaxCacheKey / kLanes);

/// A cache as the reader sees it: the key of a position is `front` elements at `keys` and `back` ones at `turned`, its
/// value the first `value` elements at `values`. Queries likewise.
struct Cache {
    const float *keys, *turned, *values;
    std::int64_t R, H, G, S;
    std::int64_t front, back, value;
    const float *queries, *turned_queries;  ///< head h of row r at (h R + r) x query_stride, x turned_stride
    std::int64_t query_stride, turned_stride;
    std::int64_t window, piece, pieces;
    float scale;
};
/// What a piece leaves of a row's head: its largest score, its sum of exponentials, its sum of values.
__device__ float* part_of(float* parts, std::int64_t h, std::int64_t r, std::int64_t piece, const Cache& n) {
    return parts + ((h * n.R + r) * n.pieces + piece) * (n.value + 2);
}

/// The positions of a piece that a row sees; perhaps none.
struct Span {
    std::int64_t begin, end;
    __device__ Span(const CachePlace& row, std::int64_t piece, const Cache& n)
        : begin(piece * n.piece), end(begin + n.piece) {
        const std::int64_t oldest = n.window > 0 && row.position >= n.window ? row.position - n.window + 1 : 0;
        begin = begin > oldest ? begin : oldest;
        end = end <= row.position ? end : row.position + 1;
    }
};

/// Angles of the rows' positions: the tables of a text whose position r is that of row r.
__global__ void row_angles(float* cos_RP, float* sin_RP, const float* cos_SP, const float* sin_SP,
                           const CachePlace* places_R, std::int64_t R, std::int64_t P) {
    for (std::int64_t i = stride_begin(); i < R * P; i += stride_step()) {
        const std::int64_t at = places_R[i / P].position * P + i % P;
        cos_RP[i] = cos_SP[at];
        sin_RP[i] = sin_SP[at];
    }
}

/// Keys [G,R,C] and, out of qkv, values to their places.
__global__ void store_grouped(float* keys_NGSC, float* values_NGSC, const float* k_GRC, const float* qkv,
                              const CachePlace* places_R, GroupedCache n) {
    const std::int64_t KV = n.G * n.C, width = n.H * n.C + 2 * KV;
    for (std::int64_t i = stride_begin(); i < n.R * KV; i += stride_step()) {
        const std::int64_t r = i / KV, g = i % KV / n.C, c = i % n.C;
        const std::int64_t place = ((places_R[r].sequence * n.G + g) * n.S + places_R[r].position) * n.C + c;
        keys_NGSC[place] = k_GRC[(g * n.R + r) * n.C + c];
        values_NGSC[place] = qkv[r * width + n.H * n.C + KV + g * n.C + c];
    }
}
__global__ void store_rows(float* to_NSW, const float* from_RW, const CachePlace* places_R, std::int64_t R,
                           std::int64_t S, std::int64_t W) {
    for (std::int64_t i = stride_begin(); i < R * W; i += stride_step()) {
        const CachePlace row = places_R[i / W];
        to_NSW[(row.sequence * S + row.position) * W + i % W] = from_RW[i];
    }
}

/// A warp per piece of a row's text and kHeads heads of a group: the lanes hold the columns, the keys come one by one.
__global__ void read_pieces(float* parts, const CachePlace* places_R, Cache n, std::int64_t tiles, std::int64_t all) {
    const std::int64_t index =
        static_cast<std::int64_t>(blockIdx.x) * kWarps + static_cast<std::int64_t>(threadIdx.x / kLanes);
    if (index >= all) {
        return;  // the whole warp
    }
    const std::int64_t lane = threadIdx.x % kLanes, of_group = n.H / n.G;
    const std::int64_t piece = index % n.pieces, tile = index / n.pieces % tiles;
    const std::int64_t g = index / n.pieces / tiles % n.G, r = index / n.pieces / tiles / n.G;
    const Span span(places_R[r], piece, n);
    const std::int64_t first_head = g * of_group + tile * kHeads;
    const std::int64_t left = (g + 1) * of_group - first_head;
    const int heads = static_cast<int>(left < kHeads ? left : kHeads);
    const std::int64_t text = (places_R[r].sequence * n.G + g) * n.S;
    float q[kHeads][kKeyLanes] = {}, out[kHeads][kValueLanes] = {}, top[kHeads], sum[kHeads] = {};
    SIMT_UNROLL
    for (int h = 0; h < kHeads; ++h) {
        top[h] = -INFINITY;
        SIMT_UNROLL
        for (int i = 0; i < kKeyLanes; ++i) {
            const std::int64_t c = lane + i * static_cast<std::int64_t>(kLanes);
            if (h < heads && c < n.front + n.back) {
                const std::int64_t at = (first_head + h) * n.R + r;
                q[h][i] = c < n.front ? n.queries[at * n.query_stride + c]
                                      : n.turned_queries[at * n.turned_stride + c - n.front];
            }
        }
    }
    for (std::int64_t j = span.begin; j < span.end; ++j) {
        float score[kHeads] = {};
        SIMT_UNROLL
        for (int i = 0; i < kKeyLanes; ++i) {
            const std::int64_t c = lane + i * static_cast<std::int64_t>(kLanes);
            if (c < n.front + n.back) {
                const float key =
                    c < n.front ? n.keys[(text + j) * n.front + c] : n.turned[(text + j) * n.back + c - n.front];
                SIMT_UNROLL
                for (int h = 0; h < kHeads; ++h) {
                    score[h] += q[h][i] * key;
                }
            }
        }
        float p[kHeads];
        SIMT_UNROLL
        for (int h = 0; h < kHeads; ++h) {
            const float now = n.scale * warp_sum(score[h]), best = now > top[h] ? now : top[h];
            const float shrink = expf(top[h] - best);
            p[h] = expf(now - best);
            top[h] = best;
            sum[h] = sum[h] * shrink + p[h];
            SIMT_UNROLL
            for (int i = 0; i < kValueLanes; ++i) {
                out[h][i] *= shrink;
            }
        }
        SIMT_UNROLL
        for (int i = 0; i < kValueLanes; ++i) {
            const std::int64_t c = lane + i * static_cast<std::int64_t>(kLanes);
            if (c < n.value) {
                const float value = n.values[(text + j) * n.value + c];
                SIMT_UNROLL
                for (int h = 0; h < kHeads; ++h) {
                    out[h][i] += p[h] * value;
                }
            }
        }
    }
    SIMT_UNROLL
    for (int h = 0; h < kHeads; ++h) {
        if (h < heads) {
            float* part = part_of(parts, first_head + h, r, piece, n);
            if (lane == 0) {
                part[0] = top[h];
                part[1] = sum[h];
            }
            SIMT_UNROLL
            for (int i = 0; i < kValueLanes; ++i) {
                const std::int64_t c = lane + i * static_cast<std::int64_t>(kLanes);
                if (c < n.value) {
                    part[2 + c] = out[h][i];
                }
            }
        }
    }
}

/// The same for caches that are too wide for registers, one head at a time: slower.
__global__ void read_wide_pieces(float* parts, const CachePlace* places_R, Cache n, std::int64_t all) {
    const std::int64_t index =
        static_cast<std::int64_t>(blockIdx.x) * kWarps + static_cast<std::int64_t>(threadIdx.x / kLanes);
    if (index >= all) {
        return;
    }
    const std::int64_t lane = threadIdx.x % kLanes, piece = index % n.pieces, h = index / n.pieces % n.H,
                       r = index / n.pieces / n.H;
    const Span span(places_R[r], piece, n);
    const std::int64_t text = (places_R[r].sequence * n.G + h / (n.H / n.G)) * n.S;
    const float *front = n.queries + (h * n.R + r) * n.query_stride,
                *back = n.turned_queries + (h * n.R + r) * n.turned_stride;
    float* part = part_of(parts, h, r, piece, n);
    float top = -INFINITY, sum = 0;
    for (std::int64_t c = lane; c < n.value; c += kLanes) {
        part[2 + c] = 0;
    }
    for (std::int64_t j = span.begin; j < span.end; ++j) {
        float score = 0;
        for (std::int64_t c = lane; c < n.front; c += kLanes) {
            score += front[c] * n.keys[(text + j) * n.front + c];
        }
        for (std::int64_t c = lane; c < n.back; c += kLanes) {
            score += back[c] * n.turned[(text + j) * n.back + c];
        }
        score = n.scale * warp_sum(score);
        const float best = score > top ? score : top, shrink = expf(top - best), p = expf(score - best);
        top = best;
        sum = sum * shrink + p;
        for (std::int64_t c = lane; c < n.value; c += kLanes) {
            part[2 + c] = part[2 + c] * shrink + p * n.values[(text + j) * n.value + c];
        }
    }
    if (lane == 0) {
        part[0] = top;
        part[1] = sum;
    }
}

/// A warp per row and head: its pieces, in their order, and the sink.
__global__ void join_pieces(float* o, float* parts, const float* sinks_H, Cache n, std::int64_t row_stride,
                            std::int64_t head_stride) {
    const std::int64_t index =
        static_cast<std::int64_t>(blockIdx.x) * kWarps + static_cast<std::int64_t>(threadIdx.x / kLanes);
    if (index >= n.R * n.H) {
        return;
    }
    const std::int64_t h = index / n.R, r = index % n.R;
    float top = sinks_H == nullptr ? -INFINITY : sinks_H[h];
    for (std::int64_t piece = 0; piece < n.pieces; ++piece) {
        const float other = part_of(parts, h, r, piece, n)[0];
        top = other > top ? other : top;
    }
    float sum = sinks_H == nullptr ? 0.0f : expf(sinks_H[h] - top);
    for (std::int64_t piece = 0; piece < n.pieces; ++piece) {
        const float* part = part_of(parts, h, r, piece, n);
        sum += expf(part[0] - top) * part[1];
    }
    for (std::int64_t c = threadIdx.x % kLanes; c < n.value; c += kLanes) {
        float total = 0;
        for (std::int64_t piece = 0; piece < n.pieces; ++piece) {
            const float* part = part_of(parts, h, r, piece, n);
            total += expf(part[0] - top) * part[2 + c];
        }
        o[r * row_stride + h * head_stride + c] = total / sum;
    }
}

/// latent_HRL = q's first `nope` elements times the head's rows of keys. One block per head and row.
__global__ void latent_queries(float* latent_HRL, const float* q, const float* up_H, LatentCache n) {
    const std::int64_t h = blockIdx.x, r = blockIdx.y, C = n.nope + n.rope;
    const float *query = q + (h * n.R + r) * C, *up = up_H + h * (n.nope + n.Cv) * n.rank;
    for (std::int64_t l = threadIdx.x; l < n.rank; l += blockDim.x) {
        float sum = 0;
        for (std::int64_t c = 0; c < n.nope; ++c) {
            sum += query[c] * up[c * n.rank + l];
        }
        latent_HRL[(h * n.R + r) * n.rank + l] = sum;
    }
}
/// o = the mixed latent times the head's rows of values, a warp per element.
__global__ void latent_values(float* o_RHV, const float* latent_HRL, const float* up_H, LatentCache n) {
    const std::int64_t h = blockIdx.x, r = blockIdx.y, lane = threadIdx.x % kLanes;
    const float *latent = latent_HRL + (h * n.R + r) * n.rank, *up = up_H + (h * (n.nope + n.Cv) + n.nope) * n.rank;
    for (std::int64_t v = threadIdx.x / kLanes; v < n.Cv; v += kWarps) {
        float sum = 0;
        for (std::int64_t l = lane; l < n.rank; l += kLanes) {
            sum += latent[l] * up[v * n.rank + l];
        }
        sum = warp_sum(sum);
        if (lane == 0) {
            o_RHV[(r * n.H + h) * n.Cv + v] = sum;
        }
    }
}

std::int64_t pieces_of(std::int64_t S) {
    constexpr std::int64_t kLeast = 64;  // positions of a piece
    const std::int64_t pieces = (S + kLeast - 1) / kLeast;
    return pieces < 1 ? 1 : pieces < kCachePieces ? pieces : kCachePieces;
}
dim3 warps_for(std::int64_t count) {
    return dim3(static_cast<unsigned>((count + kWarps - 1) / kWarps));
}
std::int64_t parts_size(std::int64_t R, std::int64_t H, std::int64_t S, std::int64_t value) {
    return R * H * pieces_of(S) * (value + 2);
}

/// Writes o at row r, head h: o + r row_stride + h head_stride.
void attend(simt::Stream stream, float* o, float* parts, const float* sinks_H, const CachePlace* places_R, Cache cache,
            std::int64_t row_stride, std::int64_t head_stride) {
    cache.pieces = pieces_of(cache.S);
    cache.piece = (cache.S + cache.pieces - 1) / cache.pieces;
    if (cache.front + cache.back <= kMaxCacheKey && cache.value <= kMaxCacheValue) {
        const std::int64_t tiles = (cache.H / cache.G + kHeads - 1) / kHeads;
        const std::int64_t all = cache.R * cache.G * tiles * cache.pieces;
        SIMT_LAUNCH(read_pieces, warps_for(all), dim3(kWarps * kLanes), 0, stream, parts, places_R, cache, tiles, all);
    } else {
        const std::int64_t all = cache.R * cache.H * cache.pieces;
        SIMT_LAUNCH(read_wide_pieces, warps_for(all), dim3(kWarps * kLanes), 0, stream, parts, places_R, cache, all);
    }
    SIMT_LAUNCH(join_pieces, warps_for(cache.R * cache.H), dim3(kWarps * kLanes), 0, stream, o, parts, sinks_H, cache,
                row_stride, head_stride);
}

struct Angles {
    float *cosines, *sines;
};
/// `at`: 2 R rope / 2 floats.
Angles angles(simt::Stream stream, float* at, const float* cos_SP, const float* sin_SP, const CachePlace* places_R,
              std::int64_t R, std::int64_t rope) {
    const std::int64_t P = rope / 2;
    const Angles found{at, at + R * P};
    if (P > 0) {
        SIMT_LAUNCH(row_angles, dim3(stride_blocks(R * P, kRowThreads)), dim3(kRowThreads), 0, stream, found.cosines,
                    found.sines, cos_SP, sin_SP, places_R, R, P);
    }
    return found;
}

/// `heads` heads of R tokens, which stand at x + r stride.
HeadShape heads_of(std::int64_t R, std::int64_t heads, std::int64_t width, std::int64_t stride, std::int64_t rope,
                   RopeOrder order) {
    HeadShape shape;
    shape.B = 1;
    shape.S = R;
    shape.N = heads;
    shape.C = width;
    shape.R = stride;
    shape.rope = rope;
    shape.norm = QkNorm::none;
    shape.order = order;
    return shape;
}

}  // namespace

std::int64_t grouped_decoding_scratch(const GroupedCache& n) {
    const std::int64_t heads = n.H > n.G ? n.H : n.G;
    const std::int64_t caching = n.R * (n.rope + heads + n.G * n.C), reading = parts_size(n.R, n.H, n.S, n.C);
    return caching > reading ? caching : reading;
}

void cache_grouped(simt::Stream stream, float* q, float* keys_NGSC, float* values_NGSC, float* scratch,
                   const float* qkv, const float* q_norm, const float* k_norm, const float* cos_SP, const float* sin_SP,
                   const CachePlace* places_R, const GroupedCache& n) {
    const std::int64_t width = (n.H + 2 * n.G) * n.C;
    const Angles at = angles(stream, scratch, cos_SP, sin_SP, places_R, n.R, n.rope);
    float *rstd = scratch + n.R * n.rope, *k_GRC = rstd + n.R * (n.H > n.G ? n.H : n.G);
    HeadShape heads = heads_of(n.R, n.H, n.C, width, n.rope, n.order);
    heads.norm = n.norm;
    heads.epsilon = n.epsilon;
    qk_norm_forward(stream, q, rstd, qkv, q_norm, at.cosines, at.sines, heads);
    heads.N = n.G;
    qk_norm_forward(stream, k_GRC, rstd, qkv + n.H * n.C, k_norm, at.cosines, at.sines, heads);
    SIMT_LAUNCH(store_grouped, dim3(stride_blocks(n.R * n.G * n.C, kRowThreads)), dim3(kRowThreads), 0, stream,
                keys_NGSC, values_NGSC, k_GRC, qkv, places_R, n);
}

void attend_grouped(simt::Stream stream, float* o_RHC, const float* q, const float* keys_NGSC, const float* values_NGSC,
                    const float* sinks_H, float* scratch, const CachePlace* places_R, const GroupedCache& n) {
    Cache cache{};
    cache.keys = keys_NGSC;
    cache.values = values_NGSC;
    cache.R = n.R;
    cache.H = n.H;
    cache.G = n.G;
    cache.S = n.S;
    cache.front = cache.value = cache.query_stride = n.C;
    cache.queries = q;
    cache.window = n.window;
    cache.scale = static_cast<float>(n.scale);
    attend(stream, o_RHC, scratch, sinks_H, places_R, cache, n.H * n.C, n.C);
}

std::int64_t latent_decoding_scratch(const LatentCache& n) {
    const std::int64_t caching = n.R * (2 * n.rope + 2 * n.rank + 1);
    const std::int64_t reading = n.R * n.H * 2 * n.rank + parts_size(n.R, n.H, n.S, n.rank);
    return caching > reading ? caching : reading;
}

void turn_latent_queries(simt::Stream stream, float* q, float* scratch, const float* x_RHC, const float* cos_SP,
                         const float* sin_SP, const CachePlace* places_R, const LatentCache& n) {
    const std::int64_t C = n.nope + n.rope;
    const Angles at = angles(stream, scratch, cos_SP, sin_SP, places_R, n.R, n.rope);
    qk_norm_forward(stream, q, nullptr, x_RHC, nullptr, at.cosines, at.sines,
                    heads_of(n.R, n.H, C, n.H * C, n.rope, n.order));
}

void cache_latent(simt::Stream stream, float* latents_NSL, float* turned_NSP, float* scratch, const float* down,
                  const float* norm_L, const float* cos_SP, const float* sin_SP, const CachePlace* places_R,
                  const LatentCache& n) {
    const std::int64_t width = n.rank + n.rope;
    const Angles at = angles(stream, scratch, cos_SP, sin_SP, places_R, n.R, n.rope);
    float *turned_RP = scratch + n.R * n.rope, *rstd = turned_RP + n.R * n.rope, *plain_RL = rstd + n.R,
          *normed_RL = plain_RL + n.R * n.rank;
    copy_columns(stream, plain_RL, n.rank, down, width, n.R, n.rank);
    rms_norm_forward(stream, normed_RL, rstd, plain_RL, norm_L, n.R, n.rank, n.epsilon);
    SIMT_LAUNCH(store_rows, dim3(stride_blocks(n.R * n.rank, kRowThreads)), dim3(kRowThreads), 0, stream, latents_NSL,
                normed_RL, places_R, n.R, n.S, n.rank);
    if (n.rope > 0) {
        qk_norm_forward(stream, turned_RP, nullptr, down + n.rank, nullptr, at.cosines, at.sines,
                        heads_of(n.R, 1, n.rope, width, n.rope, n.order));
        SIMT_LAUNCH(store_rows, dim3(stride_blocks(n.R * n.rope, kRowThreads)), dim3(kRowThreads), 0, stream,
                    turned_NSP, turned_RP, places_R, n.R, n.S, n.rope);
    }
}

void attend_latent(simt::Stream stream, float* o_RHV, const float* q, const float* latents_NSL, const float* turned_NSP,
                   const float* up_H, float* scratch, const CachePlace* places_R, const LatentCache& n) {
    const dim3 blocks(static_cast<unsigned>(n.H), static_cast<unsigned>(n.R));
    float *latent_HRL = scratch, *mixed_HRL = latent_HRL + n.R * n.H * n.rank, *parts = mixed_HRL + n.R * n.H * n.rank;
    SIMT_LAUNCH(latent_queries, blocks, dim3(kRowThreads), 0, stream, latent_HRL, q, up_H, n);
    Cache cache{};
    cache.keys = cache.values = latents_NSL;
    cache.turned = turned_NSP;
    cache.R = n.R;
    cache.H = n.H;
    cache.G = 1;
    cache.S = n.S;
    cache.front = cache.value = cache.query_stride = n.rank;
    cache.back = n.rope;
    cache.queries = latent_HRL;
    cache.turned_queries = q + n.nope;
    cache.turned_stride = n.nope + n.rope;
    cache.window = n.window;
    cache.scale = static_cast<float>(n.scale);
    attend(stream, mixed_HRL, parts, nullptr, places_R, cache, n.rank, n.R * n.rank);
    SIMT_LAUNCH(latent_values, blocks, dim3(kWarps * kLanes), 0, stream, o_RHV, mixed_HRL, up_H, n);
}

}  // namespace moescope::kernels::cuda
