// Dispatch: from "which experts does each token go to" to "which rows does each expert work on". Histogram, stable
// counting sort (an expert sees its tokens in their order), gather. Shapes: T tokens, E experts, K chosen, D width. A
// slot is (token, rank) = t K + k; a row is a slot's place after sorting by expert.
#pragma once

#include <cstdint>

namespace moescope::kernels {

/// offsets_E1 [E+1]: expert e owns rows offsets[e] to offsets[e+1]. row_of_TK: slot -> row. token_of_R [T K]: row ->
/// token.
void dispatch_plan(std::int32_t* offsets_E1, std::int32_t* row_of_TK, std::int32_t* token_of_R,
                   const std::int32_t* ids_TK, const std::uint32_t* counts_E, std::int64_t T, std::int64_t E,
                   std::int64_t K);
/// y_RD[row] = x_TD[token_of(row)].
void gather_forward(float* y_RD, const float* x_TD, const std::int32_t* token_of_R, std::int64_t R, std::int64_t D);
/// dx_TD[t] = sum over ranks, in rank order, of dy_RD[row_of(t, k)].
void gather_backward(float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TK, std::int64_t T, std::int64_t K,
                     std::int64_t D);

}  // namespace moescope::kernels
