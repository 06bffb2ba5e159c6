// Ranges that the parser and the live knobs of a run share.
#pragma once

#include <string>

#include "engine/model/config.hpp"

namespace moescope::engine {

inline constexpr double kMaxLearningRate = 1.0;
inline constexpr double kMaxCoefficient = 10.0;
inline constexpr double kMaxBiasSpeed = 1.0;

/// Throws Error naming the key, the value and the range. Also for configurations that were not read from JSON.
void validate(const RunConfig& config, const std::string& source);

}  // namespace moescope::engine
