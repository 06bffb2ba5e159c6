// What stands in the place of a library of attention (attention_library.hpp): the processor's attention on the numbers
// that bfloat16 operands hold. What cuDNN forbids, and would not notice, throws std::logic_error.
#pragma once

#include <memory>

#include "kernels/cuda/attention_library.hpp"

namespace moescope::kernels::cuda {

std::unique_ptr<AttentionLibrary> emulated_attention();

}  // namespace moescope::kernels::cuda
