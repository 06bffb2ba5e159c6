// How far rows of numbers are from what they should be: the two sums of a relative error in the Frobenius norm,
// sqrt(sum of (actual - expected)^2 / sum of expected^2).
#pragma once

#include <cstdint>

namespace moescope::kernels {

/// Rows that are summed together; scratch is two doubles for each such piece.
inline constexpr std::int64_t kErrorRows = 16;
std::int64_t row_errors_scratch(std::int64_t rows);
/// sums_2 += the two sums, in a fixed order. actual_RN, expected_RN [R,N].
void add_row_errors(double* sums_2, const float* actual_RN, const float* expected_RN, std::int64_t R, std::int64_t N,
                    double* scratch);

}  // namespace moescope::kernels
