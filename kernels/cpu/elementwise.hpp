// Operations without a formula of their own. n elements, blocks of them shared among the cores.
#pragma once

#include <cstdint>

namespace moescope::kernels {

/// out = a + b; out may be either.
void add(float* out, const float* a, const float* b, std::int64_t n);
/// sum = share x when `first`, sum + share x otherwise.
void add_share(float* sum, const float* x, float share, bool first, std::int64_t n);
/// out = x times noise in (1 - amount, 1 + amount), a function of seed, stream and place (Switch Transformer), which is
/// counted from `first` on; out may be x.
void jitter(float* out, const float* x, std::int64_t n, double amount, std::uint64_t seed, std::uint64_t stream,
            std::uint64_t first);
/// to[row to_stride + i] = from[row from_stride + i], i < width.
void copy_columns(float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride, std::int64_t rows,
                  std::int64_t width);
/// tokens_T = targets_T; next_T[t] = targets_T[t + 1], or -1 at the end of a sequence of `length`.
void next_targets(std::int32_t* tokens_T, std::int32_t* next_T, const std::int32_t* targets_T, std::int64_t T,
                  std::int64_t length);
bool all_finite(const float* x, std::int64_t n);

}  // namespace moescope::kernels
