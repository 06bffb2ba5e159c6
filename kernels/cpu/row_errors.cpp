#include "kernels/cpu/row_errors.hpp"

#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {

std::int64_t row_errors_scratch(std::int64_t rows) {
    return 2 * ((rows + kErrorRows - 1) / kErrorRows);
}

void add_row_errors(double* sums_2, const float* actual_RN, const float* expected_RN, std::int64_t R, std::int64_t N,
                    double* scratch) {
    parallel_blocks(R, kErrorRows, [&](std::int64_t begin, std::int64_t end, int) {
        double error = 0, size = 0;
        for (std::int64_t i = begin * N; i < end * N; ++i) {
            const double expected = expected_RN[i], apart = static_cast<double>(actual_RN[i]) - expected;
            error += apart * apart;
            size += expected * expected;
        }
        scratch[begin / kErrorRows * 2] = error;
        scratch[begin / kErrorRows * 2 + 1] = size;
    });
    for (std::int64_t i = 0; i < row_errors_scratch(R); ++i) {
        sums_2[i % 2] += scratch[i];
    }
}

}  // namespace moescope::kernels
