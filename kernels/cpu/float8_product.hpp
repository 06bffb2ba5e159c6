// Matrix products whose operands are rounded to eight bits with a scale per tile (kernels/float8.hpp), as a GPU's
// library computes them from codes and scales.
//
// An operand element is code x scale, rounded to float. Sums: as the single-precision product of the same shape has
// them (gemm.hpp), over pieces of 128 x 128 results and kFloat8Depth terms, whose sums are added in ascending order.
#pragma once

#include <cstdint>

#include "kernels/cpu/gemm.hpp"
#include "kernels/float8.hpp"

namespace moescope::kernels {

/// Which elements of an operand share a scale. Tiles begin at the first term of the sum, the last ones may be smaller.
enum class Float8Tiles {
    lines,   ///< kFloat8Tile terms of one row of op(A), or of one column of op(B)
    blocks,  ///< kFloat8Tile terms of kFloat8Tile rows or columns
};
inline constexpr std::int64_t kFloat8Depth = 2048;

/// C[M,N] = op(A)[M,K] op(B)[K,N] + beta C by the calling thread alone, otherwise as gemm has it. What is not finite
/// becomes NaN, in its own row or column of C.
void float8_gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                 std::int64_t lda, Float8Tiles tiles_a, const float* b, std::int64_t ldb, Float8Tiles tiles_b,
                 float beta, float* c, std::int64_t ldc);

namespace reference {
/// op(X) [rows, depth] with every element as the product takes it: plain loops over tiles, row-major, dense.
void float8_operand(float* out, const float* x, std::int64_t row_stride, std::int64_t term_stride, std::int64_t rows,
                    std::int64_t depth, Float8Tiles tiles);
void float8_gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                 std::int64_t lda, Float8Tiles tiles_a, const float* b, std::int64_t ldb, Float8Tiles tiles_b,
                 float beta, float* c, std::int64_t ldc);
}  // namespace reference

}  // namespace moescope::kernels
