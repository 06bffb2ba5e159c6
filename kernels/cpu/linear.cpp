#include "kernels/cpu/linear.hpp"

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

// Blocks of rows of the output: big enough to pay for packing the other matrix, small enough to feed every core.
constexpr std::int64_t kTokenBlock = 128;
constexpr std::int64_t kOutputBlock = 64;
// Up to here (decoding) plain dot products beat packing the weights.
constexpr std::int64_t kFewTokens = 4;

float beta_of(Write write) {
    return write == Write::assign ? 0.0f : 1.0f;
}

void few_tokens_forward(float* y_TO, const float* x_TI, const float* w_OI, std::int64_t T, std::int64_t I,
                        std::int64_t O, Write write) {
    parallel_blocks(O, 512, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t o = begin; o < end; ++o) {
            for (std::int64_t t = 0; t < T; ++t) {
                const float value = lanes::dot(x_TI + t * I, w_OI + o * I, I);
                float& y = y_TO[t * O + o];
                y = write == Write::assign ? value : y + value;
            }
        }
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
    if (T <= kFewTokens) {
        few_tokens_forward(y_TO, x_TI, w_OI, T, I, O, write);
        return;
    }
    parallel_blocks(T, kTokenBlock, [&](std::int64_t begin, std::int64_t end, int) {
        gemm(Transpose::no, Transpose::yes, end - begin, O, I, x_TI + begin * I, I, w_OI, I, beta_of(write),
             y_TO + begin * O, O);
    });
}

void linear_backward_input(float* dx_TI, const float* dy_TO, const float* w_OI, std::int64_t T, std::int64_t I,
                           std::int64_t O, Write write) {
    parallel_blocks(T, kTokenBlock, [&](std::int64_t begin, std::int64_t end, int) {
        gemm(Transpose::no, Transpose::no, end - begin, I, O, dy_TO + begin * O, O, w_OI, I, beta_of(write),
             dx_TI + begin * I, I);
    });
}

void linear_backward_weight(float* dw_OI, const float* dy_TO, const float* x_TI, std::int64_t T, std::int64_t I,
                            std::int64_t O, Write write) {
    parallel_blocks(O, kOutputBlock, [&](std::int64_t begin, std::int64_t end, int) {
        gemm(Transpose::yes, Transpose::no, end - begin, I, T, dy_TO + begin, O, x_TI, I, beta_of(write),
             dw_OI + begin * I, I);
    });
}

}  // namespace moescope::kernels
