// Ranges of what a command of the protocol and an option of the command line may ask of a model.
#pragma once

#include <cstdint>

namespace moescope::node {

inline constexpr int kMostAnswerTokens = 1 << 20;
inline constexpr int kMostProbeTokens = 1 << 16;  ///< of one answer of a probe
inline constexpr int kMostAlternatives = 20;
inline constexpr int kMostThreads = 1024;
inline constexpr int kMostTopK = 1 << 20;
inline constexpr double kMostTemperature = 100;
inline constexpr std::int64_t kMostSteps = 100'000'000;  ///< of a training run
inline constexpr int kMostItems = 100'000;               ///< of a probe set

}  // namespace moescope::node
