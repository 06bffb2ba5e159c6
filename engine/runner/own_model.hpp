// Models that our own engine computes as a LanguageModel: its checkpoints, and folders of Hugging Face.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/files/inspect.hpp"
#include "engine/runner/language_model.hpp"

namespace moescope::engine {

/// `folder` is a finished checkpoint, or a Hugging Face folder of a type that we import; `report` is what inspect_file
/// said about it, and it is safe. Without a tokenizer that we can run it gives logits of token ids only. `threads` 0:
/// as many as the machine has; `device` as of open_model(). Throws Error.
std::unique_ptr<LanguageModel> open_own_model(const std::filesystem::path& folder, const FileReport& report,
                                              int threads, const ModelDevice& device = {});

}  // namespace moescope::engine
