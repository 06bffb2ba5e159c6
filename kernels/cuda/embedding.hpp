// Embedding on a GPU; see kernels/cpu/embedding.hpp. The gradient of a row is summed in token order, without atomics.
#pragma once

#include <cstdint>

#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

void embedding_forward(simt::Stream stream, float* x_TD, const float* table_VD, const std::int32_t* tokens_T,
                       std::int64_t T, std::int64_t D);
/// Adds to dtable_VD.
void embedding_backward(simt::Stream stream, float* dtable_VD, const float* dx_TD, const std::int32_t* tokens_T,
                        std::int64_t T, std::int64_t D);

}  // namespace moescope::kernels::cuda
