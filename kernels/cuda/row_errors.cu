#include "kernels/cpu/row_errors.hpp"
#include "kernels/cuda/row_errors.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

/// A block per piece of rows.
__global__ void errors_of_pieces(double* sums, const float* actual_RN, const float* expected_RN,
                                 const std::int32_t* rows_end, std::int64_t most, std::int64_t N) {
    SIMT_SHARED(double, parts, kMostWarps);
    const std::int64_t rows = rows_end == nullptr ? most : static_cast<std::int64_t>(*rows_end);
    const std::int64_t begin = blockIdx.x * kErrorRows, last = begin + kErrorRows < rows ? begin + kErrorRows : rows;
    double error = 0, size = 0;
    for (std::int64_t i = begin * N + threadIdx.x; i < last * N; i += blockDim.x) {
        const double expected = expected_RN[i], apart = static_cast<double>(actual_RN[i]) - expected;
        error += apart * apart;
        size += expected * expected;
    }
    error = block_sum<double>(error, parts);
    size = block_sum<double>(size, parts);
    if (threadIdx.x == 0) {
        sums[2 * blockIdx.x] = error;
        sums[2 * blockIdx.x + 1] = size;
    }
}

__global__ void add_errors(double* sums_2, const double* sums, std::int64_t pieces) {
    SIMT_SHARED(double, parts, kMostWarps);
    double error = 0, size = 0;
    for (std::int64_t i = threadIdx.x; i < pieces; i += blockDim.x) {
        error += sums[2 * i];
        size += sums[2 * i + 1];
    }
    error = block_sum<double>(error, parts);
    size = block_sum<double>(size, parts);
    if (threadIdx.x == 0) {
        sums_2[0] += error;
        sums_2[1] += size;
    }
}

}  // namespace

std::int64_t row_errors_scratch(std::int64_t rows) {
    return kernels::row_errors_scratch(rows);
}

void add_row_errors(simt::Stream stream, double* sums_2, const float* actual_RN, const float* expected_RN,
                    const std::int32_t* rows_end, std::int64_t most, std::int64_t N, double* scratch) {
    const std::int64_t pieces = row_errors_scratch(most) / 2;
    SIMT_LAUNCH(errors_of_pieces, dim3(static_cast<unsigned>(pieces)), dim3(kRowThreads), 0, stream, scratch, actual_RN,
                expected_RN, rows_end, most, N);
    SIMT_LAUNCH(add_errors, dim3(1), dim3(kRowThreads), 0, stream, sums_2, scratch, pieces);
}

}  // namespace moescope::kernels::cuda
