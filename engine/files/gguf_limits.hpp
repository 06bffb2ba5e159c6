// What libllama checks with an assertion, which would end the process, is checked here first, with a sentence.
#pragma once

#include <filesystem>

#include "engine/files/gguf.hpp"

namespace moescope::engine {

/// `path`: the first file of the model; `header`: what read_gguf_model said of it. Numbers are those of the pinned
/// llama.cpp (llama-hparams.h, llama-model.cpp, llama-vocab.cpp). Throws Error, which does not name the file.
void check_limits_of_libllama(const std::filesystem::path& path, const GgufHeader& header);

}  // namespace moescope::engine
