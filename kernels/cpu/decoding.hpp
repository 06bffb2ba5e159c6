// Attention of a decoder: R new tokens (rows), each at the end of its text, over a cache of earlier ones. The rows of a
// call may be of one text (a prompt, in order) or of several. Shapes: N texts of at most S tokens, R rows, H query
// heads; cos_SP, sin_SP [S, rope / 2] of rope_tables. A row at position p sees the positions up to its own, of a window
// of `window` (0: all) the last ones. The operations of a call come in the order cache_*, attend_*: a row sees the rows
// before it.
//
// Grouped: G key-value heads of width C; keys_NGSC, values_NGSC. Latent (DeepSeek-V2, arXiv 2405.04434, 2.1.2): the
// cache holds the normed latent of a token and its turned RoPE part instead of keys and values: latents_NSL [N,S,rank],
// turned_NSP [N,S,rope]. The query is carried into the space of the latents (q W_up), compared with the latents
// themselves, and the mixed latent carried out again.
//
// q is R H C floats in an order of the device's own, which the operations of one call share; `scratch` holds
// *_decoding_scratch(shape) floats, contents do not matter.
#pragma once

#include <cstdint>

#include "kernels/cpu/qk_norm.hpp"

namespace moescope::kernels {

/// Where a row's token goes: its text, and the position there.
struct CachePlace {
    std::int32_t sequence = 0, position = 0;
};

struct GroupedCache {
    std::int64_t R = 0, H = 0, G = 0, C = 0, S = 0;
    std::int64_t rope = 0, window = 0;
    double scale = 1.0, epsilon = 1e-6;
    QkNorm norm = QkNorm::none;
    RopeOrder order = RopeOrder::half;
};
std::int64_t grouped_decoding_scratch(const GroupedCache& shape);
/// `qkv` [R, (H + 2 G) C]: queries, keys and values; the norms' weights as in qk_norm.hpp, null without norms.
void cache_grouped(float* q, float* keys_NGSC, float* values_NGSC, float* scratch, const float* qkv,
                   const float* q_norm, const float* k_norm, const float* cos_SP, const float* sin_SP,
                   const CachePlace* places_R, const GroupedCache& shape);
/// sinks_H may be null.
void attend_grouped(float* o_RHC, const float* q, const float* keys_NGSC, const float* values_NGSC,
                    const float* sinks_H, float* scratch, const CachePlace* places_R, const GroupedCache& shape);

struct LatentCache {
    std::int64_t R = 0, H = 0, S = 0;
    std::int64_t nope = 0, rope = 0, rank = 0, Cv = 0, window = 0;  ///< C = nope + rope
    double scale = 1.0, epsilon = 1e-6;
    RopeOrder order = RopeOrder::interleaved;
};
std::int64_t latent_decoding_scratch(const LatentCache& shape);
/// x_RHC: the queries as they were projected.
void turn_latent_queries(float* q, float* scratch, const float* x_RHC, const float* cos_SP, const float* sin_SP,
                         const CachePlace* places_R, const LatentCache& shape);
/// `down` [R, rank + rope]: latent and RoPE part as they were projected; norm_L [rank].
void cache_latent(float* latents_NSL, float* turned_NSP, float* scratch, const float* down, const float* norm_L,
                  const float* cos_SP, const float* sin_SP, const CachePlace* places_R, const LatentCache& shape);
/// up_H: per head [nope + Cv, rank], keys' rows first. o [R, H, Cv].
void attend_latent(float* o_RHV, const float* q, const float* latents_NSL, const float* turned_NSP, const float* up_H,
                   float* scratch, const CachePlace* places_R, const LatentCache& shape);

}  // namespace moescope::kernels
