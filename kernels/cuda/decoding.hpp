// Attention of a decoder on a GPU; formulas and shapes: kernels/cpu/decoding.hpp, q here is [H,R,C]. A text is read by
// warps in pieces (at most kCachePieces), each with a sum of its own, which are then joined in their order: a single
// long text keeps a whole GPU busy, and the same text gives the same bytes. The number of pieces depends on S alone.
#pragma once

#include <cstdint>

#include "kernels/cpu/decoding.hpp"
#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

/// Widest value and widest key of a cache that is read with registers; wider ones are read more slowly.
inline constexpr std::int64_t kMaxCacheValue = 512, kMaxCacheKey = 576;
inline constexpr std::int64_t kCachePieces = 16;

std::int64_t grouped_decoding_scratch(const GroupedCache& shape);
void cache_grouped(simt::Stream stream, float* q, float* keys_NGSC, float* values_NGSC, float* scratch,
                   const float* qkv, const float* q_norm, const float* k_norm, const float* cos_SP, const float* sin_SP,
                   const CachePlace* places_R, const GroupedCache& shape);
void attend_grouped(simt::Stream stream, float* o_RHC, const float* q, const float* keys_NGSC, const float* values_NGSC,
                    const float* sinks_H, float* scratch, const CachePlace* places_R, const GroupedCache& shape);

std::int64_t latent_decoding_scratch(const LatentCache& shape);
void turn_latent_queries(simt::Stream stream, float* q, float* scratch, const float* x_RHC, const float* cos_SP,
                         const float* sin_SP, const CachePlace* places_R, const LatentCache& shape);
void cache_latent(simt::Stream stream, float* latents_NSL, float* turned_NSP, float* scratch, const float* down,
                  const float* norm_L, const float* cos_SP, const float* sin_SP, const CachePlace* places_R,
                  const LatentCache& shape);
void attend_latent(simt::Stream stream, float* o_RHV, const float* q, const float* latents_NSL, const float* turned_NSP,
                   const float* up_H, float* scratch, const CachePlace* places_R, const LatentCache& shape);

}  // namespace moescope::kernels::cuda
