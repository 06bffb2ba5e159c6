#include "kernels/cpu/gemm.hpp"

#include <algorithm>
#include <dnnl.h>

namespace moescope::kernels {

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
    const char ta = op_a == Transpose::no ? 'N' : 'T';
    const char tb = op_b == Transpose::no ? 'N' : 'T';
    if (k > 0 && dnnl_sgemm(ta, tb, m, n, k, 1.0f, a, lda, b, ldb, beta, c, ldc) == dnnl_success) {
        return;
    }
    // oneDNN fails when it cannot get its packing buffer: slow is better than wrong.
    reference::gemm(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
}

}  // namespace moescope::kernels
