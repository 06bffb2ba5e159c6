// The experts on rows sorted by expert: y = (silu(x Wg^T) * (x Wu^T)) Wd^T, each row with the matrices of its expert.
// Shapes: R rows (tokens x chosen), E experts, D width, F expert width. x_RD, y_RD [R,D]; gu_R2F [R,2F] gate then up;
// h_RF [R,F]; gate_up_E2FD [E,2F,D] gate rows first; down_EDF [E,D,F]; offsets_E1 from dispatch_plan.
#pragma once

#include <cstdint>

namespace moescope::kernels {

struct ExpertShape {
    std::int64_t E = 0, D = 0, F = 0;
};

/// Writes gu_R2F, h_RF and y_RD.
void experts_forward(float* y_RD, float* gu_R2F, float* h_RF, const float* x_RD, const float* gate_up_E2FD,
                     const float* down_EDF, const std::int32_t* offsets_E1, const ExpertShape& shape);
/// Writes dx_RD, dgate_up_E2FD and ddown_EDF (zero for experts without rows); dh_RF and dgu_R2F are scratch.
void experts_backward(float* dx_RD, float* dgate_up_E2FD, float* ddown_EDF, float* dgu_R2F, float* dh_RF,
                      const float* dy_RD, const float* x_RD, const float* gu_R2F, const float* h_RF,
                      const float* gate_up_E2FD, const float* down_EDF, const std::int32_t* offsets_E1,
                      const ExpertShape& shape);

/// h_F = silu(gate) * up of one row, gu = gate then up.
void swiglu_row(float* h_F, const float* gu_2F, std::int64_t F);

namespace reference {
void experts_forward(float* y_RD, const float* x_RD, const float* gate_up_E2FD, const float* down_EDF,
                     const std::int32_t* offsets_E1, const ExpertShape& shape);
}  // namespace reference

}  // namespace moescope::kernels
