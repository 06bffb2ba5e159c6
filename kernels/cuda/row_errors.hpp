// See kernels/cpu/row_errors.hpp.
#pragma once

#include <cstdint>

#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

std::int64_t row_errors_scratch(std::int64_t rows);
/// Of the rows before *rows_end (null: of all), `most` at most.
void add_row_errors(simt::Stream stream, double* sums_2, const float* actual_RN, const float* expected_RN,
                    const std::int32_t* rows_end, std::int64_t most, std::int64_t N, double* scratch);

}  // namespace moescope::kernels::cuda
