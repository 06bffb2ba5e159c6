// Dispatch: from "which experts does each token go to" to "which rows does each expert work on". Histogram, stable
// counting sort (an expert sees its tokens in their order), gather. Shapes: T tokens, E experts, J slots per token, D
// width. A slot is (token, rank) = t J + j; a row is a kept slot's place after sorting by expert; R kept slots in all.
#pragma once

#include <cstdint>

namespace moescope::kernels {

/// offsets_E1 [E+1]: expert e owns rows offsets[e] to offsets[e+1]. row_of_TJ: slot -> row, -1 where kept_TJ is 0.
/// token_of_R: row -> token. Gives R = offsets[E].
std::int64_t dispatch_plan(std::int32_t* offsets_E1, std::int32_t* row_of_TJ, std::int32_t* token_of_R,
                           const std::int32_t* ids_TJ, const std::uint8_t* kept_TJ, const std::uint32_t* counts_E,
                           std::int64_t T, std::int64_t E, std::int64_t J);
/// y_RD[row] = x_TD[token_of(row)].
void gather_forward(float* y_RD, const float* x_TD, const std::int32_t* token_of_R, std::int64_t R, std::int64_t D);
/// dx_TD[t] = (or +=) sum over slots, in rank order, of dy_RD[row_of(t, j)].
void gather_backward(float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J,
                     std::int64_t D, bool add);

}  // namespace moescope::kernels
