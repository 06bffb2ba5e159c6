// Writing a model as a GGUF file that llama.cpp, and programs built on it, open as it is.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "engine/exchange/hugging_face_export.hpp"
#include "engine/exchange/model_types.hpp"
#include "engine/files/gguf_write.hpp"

namespace moescope::engine {

struct GgufExportOptions {
    GgufFloat type = GgufFloat::f32;              ///< of the matrices; vectors and routers are always f32
    std::string name = "moescope";                ///< general.name
    std::map<std::string, std::string> metadata;  ///< further text values, whole keys
    const Vocabulary* vocabulary = nullptr;       ///< where the tokenizer is null or has no portable form
    TextRules rules;                              ///< of the vocabulary
};

/// The architecture is the one in which libllama computes exactly what the configuration says: qwen3moe, olmoe, llama,
/// deepseek2 or gpt-oss. `tokenizer` may be null. Throws Error, naming the settings that no architecture can express.
ExportReport export_gguf(const std::filesystem::path& path, const ModelConfig& model, const ParameterLayout& layout,
                         const float* parameters, const Tokenizer* tokenizer, const GgufExportOptions& options = {});

/// Metadata of the model itself, without the tokenizer.
GgufValues gguf_model_values(ModelType type, const ModelConfig& model);
/// Metadata of the tokenizer: a unigram model with byte fallback, which llama.cpp knows as plamo2. `vocabulary` may be
/// larger than the tokenizer: the rest are unused tokens. Throws Error when the tokenizer has no portable form.
GgufValues gguf_tokenizer_values(const Tokenizer& tokenizer, int vocabulary);

}  // namespace moescope::engine
