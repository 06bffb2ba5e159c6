// GGUF models through libllama. llama.h is included by llama_model.cpp alone.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/files/inspect.hpp"
#include "engine/runner/language_model.hpp"

namespace moescope::engine {

/// `report` is what inspect_file said about `path`, and it is safe. `threads` 0: as many as the machine has. No
/// device, or "cpu": the processor; a GPU takes as many layers as have room there. Throws Error, also with the reason
/// that libllama logged.
std::unique_ptr<LanguageModel> open_llama_model(const std::filesystem::path& path, const FileReport& report,
                                                int threads, const ModelDevice& device);

}  // namespace moescope::engine
