// Single-precision matrix products, row-major.
#pragma once

#include <cstdint>

namespace moescope::kernels {

enum class Transpose { no, yes };

/// C[M,N] = op(A)[M,K] op(B)[K,N] + beta C by the calling thread alone; parallel_for shares work among threads. lda,
/// ldb, ldc are row strides in floats of the matrices as stored. With beta 0 the old C is never read. K = 0 is allowed.
/// The elements of A and B are taken as operand_mode() says.
void gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
          std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);

namespace reference {
/// The same, three plain loops, sums in double.
void gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
          std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);
}  // namespace reference

}  // namespace moescope::kernels
