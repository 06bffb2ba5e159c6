#include "kernels/cpu/gemm.hpp"

#include <algorithm>
#include <dnnl.h>
#include <vector>

#include "base/half_floats.hpp"
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

/// Terms of a sum that a piece has at least, where there are as many: fewer would read and write C too often.
constexpr std::int64_t kLeastDepth = 1024;

char letter(Transpose op) {
    return op == Transpose::no ? 'N' : 'T';
}

/// Where element (row, column) of op(X) is stored.
const float* at(const float* x, Transpose op, std::int64_t stride, std::int64_t row, std::int64_t column) {
    return op == Transpose::no ? x + row * stride + column : x + column * stride + row;
}

/// The copy of op(X) [rows, columns], in the order in which X is stored and without gaps.
void round_operand(std::uint16_t* copy, Transpose op, std::int64_t rows, std::int64_t columns, const float* x,
                   std::int64_t stride) {
    const std::int64_t lines = op == Transpose::no ? rows : columns, length = op == Transpose::no ? columns : rows;
    for (std::int64_t line = 0; line < lines; ++line) {
        to_bfloat16(copy + line * length, x + line * stride, length);
    }
}

/// A product is the work of one thread, whoever calls: on processors without AVX-512 oneDNN chooses its loops, and with
/// them the order of its sums, by the number of threads that it may use.
class OneThread {
 public:
    OneThread() : before_(in_parallel() ? 0 : workers()) {
        if (before_ > 1) {
            set_workers(1);
        }
    }
    ~OneThread() {
        if (before_ > 1) {
            set_workers(before_);
        }
    }
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

 private:
    const int before_;
};

void float_gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
    const OneThread scope;
    if (k == 0 || dnnl_sgemm(letter(op_a), letter(op_b), m, n, k, 1.0f, a, lda, b, ldb, beta, c, ldc) != dnnl_success) {
        // oneDNN fails when it cannot get its packing buffer: slow is better than wrong.
        reference::gemm(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
    }
}

/// The product of rounded copies. False where oneDNN has none for this processor (it needs AVX-512).
bool rounded_gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k,
                  const std::uint16_t* a, std::int64_t lda, const std::uint16_t* b, std::int64_t ldb, float beta,
                  float* c, std::int64_t ldc) {
    const OneThread scope;
    return dnnl_gemm_bf16bf16f32(letter(op_a), letter(op_b), m, n, k, 1.0f, a, lda, b, ldb, beta, c, ldc) ==
           dnnl_success;
}

/// The same by floats that hold the rounded values: slower than single precision, but with the numbers that were asked
/// for. The copies (kOperandRoom at most) take 4 MiB for each thread beside the plan of a run.
void widened_gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k,
                  const std::uint16_t* a, std::int64_t lda, const std::uint16_t* b, std::int64_t ldb, float beta,
                  float* c, std::int64_t ldc) {
    static thread_local std::vector<float> wide;  // kept: a step asks for no memory after the first
    wide.resize(static_cast<std::size_t>(kOperandRoom));
    std::transform(a, a + m * k, wide.begin(), base::bf16_to_float);
    std::transform(b, b + n * k, wide.begin() + m * k, base::bf16_to_float);
    float_gemm(op_a, op_b, m, n, k, wide.data(), lda, wide.data() + m * k, ldb, beta, c, ldc);
}

/// In pieces [mc, kc] x [kc, nc] whose rounded copies find room together.
void bfloat16_gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                   std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
    const std::int64_t depth = std::min(k, std::max(kLeastDepth, kOperandRoom / (m + n)));
    const std::int64_t both = kOperandRoom / depth;  // rows of A and columns of B at a time
    const std::int64_t height = std::min(m, std::max(both - n, both / 2)), width = std::min(n, both - height);
    std::vector<std::uint16_t> own;
    std::uint16_t* room = operand_mode().room;
    if (room == nullptr) {
        own.resize(static_cast<std::size_t>(std::min(kOperandRoom, (height + width) * depth)));
        room = own.data();
    }
    for (std::int64_t l = 0; l < k; l += depth) {
        const std::int64_t kc = std::min(depth, k - l);
        const float beta_now = l == 0 ? beta : 1.0f;
        for (std::int64_t i = 0; i < m; i += height) {
            const std::int64_t mc = std::min(height, m - i);
            std::uint16_t *x = room, *y = room + mc * kc;
            round_operand(x, op_a, mc, kc, at(a, op_a, lda, i, l), lda);
            for (std::int64_t j = 0; j < n; j += width) {
                const std::int64_t nc = std::min(width, n - j);
                round_operand(y, op_b, kc, nc, at(b, op_b, ldb, l, j), ldb);
                const std::int64_t ldx = op_a == Transpose::no ? kc : mc, ldy = op_b == Transpose::no ? nc : kc;
                float* z = c + i * ldc + j;
                if (!rounded_gemm(op_a, op_b, mc, nc, kc, x, ldx, y, ldy, beta_now, z, ldc)) {
                    widened_gemm(op_a, op_b, mc, nc, kc, x, ldx, y, ldy, beta_now, z, ldc);
                }
            }
        }
    }
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
    if (operands() != Operands::f32 && k > 0 && std::min(m, n) >= kLeastReuse) {
        bfloat16_gemm(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
    } else {
        float_gemm(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
    }
}

}  // namespace moescope::kernels
