// Matrix products on a device, row-major. On a GPU they are a library's or the tiled kernel's; the emulation, which
// cannot run the former, takes those of the CPU.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels::cuda {

/// The rows of each of E experts: [offsets_E1[e], offsets_E1[e + 1]), `most` in all at most. Null: one has all of them.
struct GroupedRows {
    const std::int32_t* offsets_E1 = nullptr;  ///< device memory
    std::int64_t E = 1, most = 0;
};

class Products {
 public:
    virtual ~Products() = default;
    /// How operands enter from now on; sums are single precision.
    virtual void set_operands(Operands operands) = 0;
    /// Elements of two bytes that rounded operands are to be given room for, as Ops::operand_scratch() has it.
    virtual std::int64_t operand_scratch() const { return 0; }
    virtual void place_operands(std::uint16_t* /*scratch*/) {}
    /// C[m,n] = op(A)[m,k] op(B)[k,n] + beta C, as kernels::gemm has it.
    virtual void multiply(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k,
                          const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                          std::int64_t ldc) = 0;
    /// Each row with its expert's matrix: C[rows,n] = A[rows,k] op(B_e)[k,n]; A and C dense, B_e at b + e n k.
    virtual void rows_times(const GroupedRows& rows, Transpose op_b, std::int64_t n, std::int64_t k, const float* a,
                            const float* b, float* c) = 0;
    /// Each expert's gradient: C_e[m,n] = A_rows^T[m,rows] B_rows[rows,n], zero without rows; C_e at c + e m n.
    virtual void gradients(const GroupedRows& rows, std::int64_t m, std::int64_t n, const float* a, const float* b,
                           float* c) = 0;
};

}  // namespace moescope::kernels::cuda
