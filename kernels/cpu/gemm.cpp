#include "kernels/cpu/gemm.hpp"

#include <algorithm>
#include <dnnl.h>
#include <vector>

#include "kernels/cpu/bfloat16.hpp"
#include "kernels/cpu/parallel.hpp"

// oneDNN has this product beside dnnl_sgemm, with the same meaning of its arguments, but not in its header.
extern "C" dnnl_status_t dnnl_gemm_bf16bf16f32(char transa, char transb, dnnl_dim_t m, dnnl_dim_t n, dnnl_dim_t k,
                                               float alpha, const std::uint16_t* a, dnnl_dim_t lda,
                                               const std::uint16_t* b, dnnl_dim_t ldb, float beta, float* c,
                                               dnnl_dim_t ldc);

namespace moescope::kernels {
namespace {

/// Products with fewer multiplications than this per rounded element gain nothing.
constexpr std::int64_t kLeastReuse = 16;

/// Copies of this thread, as large as its largest product so far needed.
std::uint16_t* rounded(std::vector<std::uint16_t>& copy, const float* x, std::int64_t rows, std::int64_t columns,
                       std::int64_t stride) {
    const auto count = static_cast<std::size_t>(rows * columns);
    if (copy.size() < count) {
        copy.resize(count);
    }
    for (std::int64_t row = 0; row < rows; ++row) {
        to_bfloat16(copy.data() + row * columns, x + row * stride, columns);
    }
    return copy.data();
}

bool bfloat16_gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                   std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
    thread_local std::vector<std::uint16_t> copy_a, copy_b;
    const bool plain_a = op_a == Transpose::no, plain_b = op_b == Transpose::no;
    const std::int64_t columns_a = plain_a ? k : m, columns_b = plain_b ? n : k;
    const std::uint16_t* x = rounded(copy_a, a, plain_a ? m : k, columns_a, lda);
    const std::uint16_t* y = rounded(copy_b, b, plain_b ? k : n, columns_b, ldb);
    return dnnl_gemm_bf16bf16f32(plain_a ? 'N' : 'T', plain_b ? 'N' : 'T', m, n, k, 1.0f, x, columns_a, y, columns_b,
                                 beta, c, ldc) == dnnl_success;
}

}  // namespace

namespace reference {

void gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
          std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
    for (std::int64_t i = 0; i < m; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
            double sum = beta == 0.0f ? 0.0 : static_cast<double>(beta) * c[i * ldc + j];
            for (std::int64_t l = 0; l < k; ++l) {
                const float x = op_a == Transpose::no ? a[i * lda + l] : a[l * lda + i];
                const float y = op_b == Transpose::no ? b[l * ldb + j] : b[j * ldb + l];
                sum += static_cast<double>(x) * y;
            }
            c[i * ldc + j] = static_cast<float>(sum);
        }
    }
}

}  // namespace reference

void gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
          std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
    if (m <= 0 || n <= 0) {
        return;
    }
    if (k <= 0 && beta == 0.0f) {  // an expert without tokens: its weight gradient is zero
        for (std::int64_t i = 0; i < m; ++i) {
            std::fill_n(c + i * ldc, n, 0.0f);
        }
        return;
    }
    if (operands() == Operands::bf16 && k > 0 && std::min(m, n) >= kLeastReuse &&
        bfloat16_gemm(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc)) {
        return;
    }
    const char ta = op_a == Transpose::no ? 'N' : 'T';
    const char tb = op_b == Transpose::no ? 'N' : 'T';
    if (k > 0 && dnnl_sgemm(ta, tb, m, n, k, 1.0f, a, lda, b, ldb, beta, c, ldc) == dnnl_success) {
        return;
    }
    // oneDNN fails when it cannot get its packing buffer: slow is better than wrong.
    reference::gemm(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
}

}  // namespace moescope::kernels
