// Attention of one query over cached keys and values, in three steps; all on the calling thread. Shapes: S cached
// positions, C width. Rows of the cache stand one after the other.
#pragma once

#include <cstdint>

#include "kernels/cpu/linear.hpp"

namespace moescope::kernels {

/// scores_S[j] = (or +=) q_C . keys_SC[j].
void query_scores(float* scores_S, const float* q_C, const float* keys_SC, std::int64_t S, std::int64_t C, Write write);
/// scores_S becomes softmax(scale scores_S); a sink (may be null) takes its share of the sum and gives nothing. S >= 1.
/// Gives the logarithm of that sum.
float query_softmax(float* scores_S, std::int64_t S, double scale, const float* sink);
/// out_C = sum over j of p_S[j] values_SC[j].
void weighted_rows(float* out_C, const float* p_S, const float* values_SC, std::int64_t S, std::int64_t C);

}  // namespace moescope::kernels
