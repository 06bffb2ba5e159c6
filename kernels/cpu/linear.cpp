#include "kernels/cpu/linear.hpp"

#include <algorithm>

#include "kernels/cpu/few_rows.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

// Blocks of rows of the output, by shape alone: big enough to pay for packing (and rounding) the other matrix, small
// enough to feed every core.
std::int64_t token_block(std::int64_t T) {
    return std::clamp<std::int64_t>(T / 8, 64, 512);
}
std::int64_t output_block(std::int64_t O) {
    return std::clamp<std::int64_t>(O / 4, 64, 128);
}
// Up to here (the next token, a batch of texts, a block of a prompt) there are too few rows to share among the cores;
// the outputs are shared instead.
constexpr std::int64_t kFewTokens = 32;

float beta_of(Write write) {
    return write == Write::assign ? 0.0f : 1.0f;
}

/// y_TO = (or +=) b_O in every row.
void write_bias(float* y_TO, const float* b_O, std::int64_t T, std::int64_t O, Write write) {
    for (std::int64_t t = 0; t < T; ++t) {
        float* y = y_TO + t * O;
        for (std::int64_t o = 0; o < O; ++o) {
            y[o] = write == Write::assign ? b_O[o] : y[o] + b_O[o];
        }
    }
}

void few_tokens_forward(float* y_TO, const float* x_TI, const float* w_OI, const float* b_O, std::int64_t T,
                        std::int64_t I, std::int64_t O, Write write) {
    if (b_O != nullptr) {
        write_bias(y_TO, b_O, T, O, write);
    }
    parallel_blocks(O, 256, [&](std::int64_t begin, std::int64_t end, int) {
        few_rows_gemm(Transpose::yes, T, end - begin, I, x_TI, I, w_OI + begin * I, I,
                      beta_of(b_O == nullptr ? write : Write::add), y_TO + begin, O);
    });
}

}  // namespace

namespace reference {

void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, std::int64_t T, std::int64_t I, std::int64_t O,
                    Write write) {
    reference::gemm(Transpose::no, Transpose::yes, T, O, I, x_TI, I, w_OI, I, beta_of(write), y_TO, O);
}

}  // namespace reference

void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, std::int64_t T, std::int64_t I, std::int64_t O,
                    Write write) {
    linear_forward(y_TO, x_TI, w_OI, nullptr, T, I, O, write);
}

void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, const float* b_O, std::int64_t T, std::int64_t I,
                    std::int64_t O, Write write) {
    if (T <= kFewTokens) {
        few_tokens_forward(y_TO, x_TI, w_OI, b_O, T, I, O, write);
        return;
    }
    parallel_blocks(T, token_block(T), [&](std::int64_t begin, std::int64_t end, int) {
        float* y = y_TO + begin * O;
        if (b_O != nullptr) {
            write_bias(y, b_O, end - begin, O, write);
        }
        gemm(Transpose::no, Transpose::yes, end - begin, O, I, x_TI + begin * I, I, w_OI, I,
             beta_of(b_O == nullptr ? write : Write::add), y, O);
    });
}

void linear_backward_input(float* dx_TI, const float* dy_TO, const float* w_OI, std::int64_t T, std::int64_t I,
                           std::int64_t O, Write write) {
    parallel_blocks(T, token_block(T), [&](std::int64_t begin, std::int64_t end, int) {
        gemm(Transpose::no, Transpose::no, end - begin, I, O, dy_TO + begin * O, O, w_OI, I, beta_of(write),
             dx_TI + begin * I, I);
    });
}

void linear_backward_weight(float* dw_OI, const float* dy_TO, const float* x_TI, std::int64_t T, std::int64_t I,
                            std::int64_t O, Write write) {
    parallel_blocks(O, output_block(O), [&](std::int64_t begin, std::int64_t end, int) {
        gemm(Transpose::yes, Transpose::no, end - begin, I, T, dy_TO + begin, O, x_TI, I, beta_of(write),
             dw_OI + begin * I, I);
    });
}

void linear_backward_bias(float* db_O, const float* dy_TO, std::int64_t T, std::int64_t O, Write write) {
    if (db_O == nullptr) {
        return;
    }
    parallel_blocks(O, output_block(O), [&](std::int64_t begin, std::int64_t end, int) {
        column_sums(db_O + begin, dy_TO + begin, T, O, end - begin, write);
    });
}

void column_sums(float* sum_N, const float* x, std::int64_t rows, std::int64_t stride, std::int64_t n, Write write) {
    constexpr std::int64_t kColumns = 64, kRows = 64;
    for (std::int64_t first = 0; first < n; first += kColumns) {
        const std::int64_t columns = std::min(kColumns, n - first);
        float total[kColumns] = {};
        // In two levels: the error grows with the square root of the rows that a plain sum would have.
        for (std::int64_t block = 0; block < rows; block += kRows) {
            float sum[kColumns] = {};
            for (std::int64_t row = block; row < std::min(rows, block + kRows); ++row) {
                const float* from = x + row * stride + first;
                for (std::int64_t i = 0; i < columns; ++i) {
                    sum[i] += from[i];
                }
            }
            for (std::int64_t i = 0; i < columns; ++i) {
                total[i] += sum[i];
            }
        }
        for (std::int64_t i = 0; i < columns; ++i) {
            sum_N[first + i] = write == Write::assign ? total[i] : sum_N[first + i] + total[i];
        }
    }
}

}  // namespace moescope::kernels
