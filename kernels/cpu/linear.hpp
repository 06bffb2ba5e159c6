// Linear layer without bias: y = x W^T.
// Shapes: T tokens, I inputs, O outputs. x_TI [T,I], w_OI [O,I] (as Hugging Face stores it), y_TO [T,O]; all dense
// row-major.
#pragma once

#include <cstdint>

namespace moescope::kernels {

enum class Write { assign, add };

/// y_TO = (or +=) x_TI w_OI^T.
void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, std::int64_t T, std::int64_t I, std::int64_t O,
                    Write write);
/// dx_TI = (or +=) dy_TO w_OI.
void linear_backward_input(float* dx_TI, const float* dy_TO, const float* w_OI, std::int64_t T, std::int64_t I,
                           std::int64_t O, Write write);
/// dw_OI = (or +=) dy_TO^T x_TI.
void linear_backward_weight(float* dw_OI, const float* dy_TO, const float* x_TI, std::int64_t T, std::int64_t I,
                            std::int64_t O, Write write);

namespace reference {
void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, std::int64_t T, std::int64_t I, std::int64_t O,
                    Write write);
}  // namespace reference

}  // namespace moescope::kernels
