// Folders in the format of Hugging Face: config.json with safetensors weights.
#pragma once

#include <filesystem>

#include "engine/exchange/imported_model.hpp"

namespace moescope::engine {

/// Reads a model of type qwen3_moe, olmoe, mixtral, deepseek_v3 or gpt_oss with F32, F16, BF16 or F64 weights, in one
/// file or in shards, experts by themselves or fused. Everything is checked before memory is taken. The tokenizer is
/// read when the folder has a SentencePiece tokenizer.model. Throws Error naming the file, the key or the tensor.
ImportedModel import_hugging_face(const std::filesystem::path& folder);

}  // namespace moescope::engine
