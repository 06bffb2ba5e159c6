// Matrix products of an expert's few rows with its big weights. The matrix library first copies weights into an order
// of its own; with 16 rows that takes about as long as the product, and the weights of many experts come from memory,
// not from a cache. These loops read the weights once, where they are, and ask for the next ones ahead of time.
#pragma once

#include "kernels/cpu/gemm.hpp"

namespace moescope::kernels {

/// As gemm with a as it stands (no transposition) and beta 0 or 1, on the calling thread. With more rows than pay off
/// it is gemm.
void few_rows_gemm(Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda,
                   const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);

}  // namespace moescope::kernels
