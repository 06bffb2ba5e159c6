// Dispatch on a GPU; shapes: kernels/cpu/dispatch.hpp. An expert sees its tokens in their order: counting sort with
// ballots, no atomics. How many rows there are is known to the device alone; `most` rows are room for all.
#pragma once

#include <cstdint>

#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

/// E at most 1024.
void dispatch_plan(simt::Stream stream, std::int32_t* offsets_E1, std::int32_t* row_of_TJ, std::int32_t* token_of_R,
                   const std::int32_t* ids_TJ, const std::uint8_t* kept_TJ, const std::uint32_t* counts_E,
                   std::int64_t T, std::int64_t E, std::int64_t J);
/// y_RD[row] = x_TD[token_of(row)] for rows below offsets_E1[E].
void gather_forward(simt::Stream stream, float* y_RD, const float* x_TD, const std::int32_t* token_of_R,
                    const std::int32_t* offsets_E1, std::int64_t most, std::int64_t E, std::int64_t D);
void gather_backward(simt::Stream stream, float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TJ,
                     std::int64_t T, std::int64_t J, std::int64_t D, bool add);

}  // namespace moescope::kernels::cuda
