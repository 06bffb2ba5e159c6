// Operations without a formula of their own, on a GPU; see kernels/cpu/elementwise.hpp.
#pragma once

#include <cstdint>

#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

void add(simt::Stream stream, float* out, const float* a, const float* b, std::int64_t n);
void add_share(simt::Stream stream, float* sum, const float* x, float share, bool first, std::int64_t n);
void jitter(simt::Stream stream, float* out, const float* x, std::int64_t n, double amount, const std::uint64_t* seed,
            std::uint64_t random_stream, std::uint64_t first);
void copy_columns(simt::Stream stream, float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride,
                  std::int64_t rows, std::int64_t width);
void next_targets(simt::Stream stream, std::int32_t* tokens_T, std::int32_t* next_T, const std::int32_t* targets_T,
                  std::int64_t T, std::int64_t length);
/// Adds 1 to *broken for each thread that meets a value that is not finite.
void count_not_finite(simt::Stream stream, unsigned* broken, const float* x, std::int64_t n);

}  // namespace moescope::kernels::cuda
