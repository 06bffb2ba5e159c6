// Checkpoints of our own engine as a LanguageModel.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/runner/language_model.hpp"

namespace moescope::engine {

/// `folder` is a finished checkpoint. `threads` 0: as many as the machine has. Throws Error.
std::unique_ptr<LanguageModel> open_own_model(const std::filesystem::path& folder, int threads);

}  // namespace moescope::engine
