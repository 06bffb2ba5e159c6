// The Newton-Schulz iteration of Muon (muon.hpp) in numbers; the same on every device.
#pragma once

namespace moescope::kernels::newton_schulz {

inline constexpr int kIterations = 5;
inline constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;

}  // namespace moescope::kernels::newton_schulz
