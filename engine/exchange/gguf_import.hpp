// Models from GGUF files with unquantised weights: F32, F16 and BF16.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/exchange/imported_model.hpp"

namespace moescope::engine {

struct GgufConfig {
    ModelType type = ModelType::qwen3_moe;
    ModelConfig model;
    int prediction_layers = 0;  ///< blocks behind the model's own
    std::vector<Sentence> notes;
};

/// What libllama would make of the metadata `values` (as read_gguf gives them) and of the tensors that `has` knows;
/// what it computes and we cannot is refused. `vocabulary`: rows of the embedding. Throws Error naming the key.
GgufConfig parse_gguf_config(const std::map<std::string, nlohmann::json>& values,
                             const std::function<bool(const std::string&)>& has, int vocabulary,
                             const std::string& source);

/// Reads a model of architecture qwen3moe, olmoe, llama (with experts), deepseek2 or gpt-oss. Everything is checked
/// before memory is taken. The tokenizer is there when Moescope wrote the file. Throws Error naming the file and the
/// key or tensor.
ImportedModel import_gguf(const std::filesystem::path& path);

/// Key under which export_gguf keeps the SentencePiece model, as bytes.
inline constexpr const char* kSentencePieceKey = "moescope.sentencepiece_model";

}  // namespace moescope::engine
