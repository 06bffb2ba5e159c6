// What a fork starts from and what it may change. No tensor is read for it.
#pragma once

#include <filesystem>

#include "engine/model/config.hpp"

namespace moescope::engine {

/// What a fork of this checkpoint begins with while nothing is changed: the settings of its run, the live ones as they
/// stood when it was saved. Throws Error.
RunConfig checkpoint_settings(const std::filesystem::path& checkpoint);
/// Throws what Trainer::load(checkpoint, ..., &changed) would throw of the settings: a fork may change everything but
/// the tensors, and the experts that are enabled in the checkpoint must be enough for each token.
void check_fork(const std::filesystem::path& checkpoint, const RunConfig& changed);

}  // namespace moescope::engine
