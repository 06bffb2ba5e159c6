// Linear layer: y = x W^T, with b added when there is a bias.
// Shapes: T tokens, I inputs, O outputs. x_TI [T,I], w_OI [O,I] (as Hugging Face stores it), b_O [O], y_TO [T,O]; all
// dense row-major.
#pragma once

#include <cstdint>

namespace moescope::kernels {

enum class Write { assign, add };

/// y_TO = (or +=) x_TI w_OI^T.
void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, std::int64_t T, std::int64_t I, std::int64_t O,
                    Write write);
/// y_TO = (or +=) x_TI w_OI^T + b_O. b_O may be null.
void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, const float* b_O, std::int64_t T, std::int64_t I,
                    std::int64_t O, Write write);
/// dx_TI = (or +=) dy_TO w_OI.
void linear_backward_input(float* dx_TI, const float* dy_TO, const float* w_OI, std::int64_t T, std::int64_t I,
                           std::int64_t O, Write write);
/// dw_OI = (or +=) dy_TO^T x_TI.
void linear_backward_weight(float* dw_OI, const float* dy_TO, const float* x_TI, std::int64_t T, std::int64_t I,
                            std::int64_t O, Write write);
/// db_O = (or +=) sum over tokens of dy_TO. Nothing when db_O is null.
void linear_backward_bias(float* db_O, const float* dy_TO, std::int64_t T, std::int64_t O, Write write);

/// sum_N[i] = (or +=) sum over `rows` of x[row stride + i], i < n, in a fixed order, on the calling thread.
void column_sums(float* sum_N, const float* x, std::int64_t rows, std::int64_t stride, std::int64_t n, Write write);

namespace reference {
void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, std::int64_t T, std::int64_t I, std::int64_t O,
                    Write write);
}  // namespace reference

}  // namespace moescope::kernels
