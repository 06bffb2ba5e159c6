// Ranges of what a command of the protocol and an option of the command line may ask of a model.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moescope::node {

inline constexpr std::size_t kLongestPrompt = 60000;  ///< bytes; fits a control frame
inline constexpr int kMostAnswerTokens = 1 << 20;
inline constexpr int kMostProbeTokens = 1 << 16;  ///< of one answer of a probe
inline constexpr int kMostAlternatives = 20;
inline constexpr int kMostThreads = 1024;
inline constexpr int kMostTopK = 1 << 20;
inline constexpr double kMostTemperature = 100;
inline constexpr std::int64_t kMostSteps = 100'000'000;  ///< of a training run
inline constexpr int kMostItems = 100'000;               ///< of a probe set

inline constexpr std::size_t kMostChanges = 1000;            ///< to routers, in one set
inline constexpr std::size_t kMostSets = 1000;               ///< of changes that a session keeps
inline constexpr int kMostControls = 64;                     ///< of an effect
inline constexpr std::int64_t kMostReadTokens = 20'000'000;  ///< of a corpus
inline constexpr std::int64_t kUsualReadTokens = 20'000;     ///< unless told

}  // namespace moescope::node
