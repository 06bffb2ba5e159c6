// Embedding: a row of the table per token. Shapes: T tokens, V vocabulary, D width. Token ids must be below V (the
// caller checks).
#pragma once

#include <cstdint>

namespace moescope::kernels {

void embedding_forward(float* x_TD, const float* table_VD, const std::int32_t* tokens_T, std::int64_t T,
                       std::int64_t D);
/// Adds to dtable_VD, in token order.
void embedding_backward(float* dtable_VD, const float* dx_TD, const std::int32_t* tokens_T, std::int64_t T,
                        std::int64_t D);

}  // namespace moescope::kernels
