// Rounding of whole arrays to bfloat16 (base/half_floats.hpp); denormals may become 0 where the processor rounds.
#pragma once

#include <cstdint>

#include "base/half_floats.hpp"

namespace moescope::kernels {

void to_bfloat16(std::uint16_t* to, const float* from, std::int64_t count);

}  // namespace moescope::kernels
