// Writing a model as a Hugging Face folder that transformers, and programs that read its folders, open as it is.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/error.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "engine/text/text_rules.hpp"
#include "engine/text/tokenizer.hpp"
#include "engine/text/vocabulary.hpp"

namespace moescope::engine {

struct ExportReport {
    std::string type;                ///< "qwen3_moe", ... or the GGUF architecture
    std::vector<std::string> files;  ///< names in the folder, or the file's
    std::vector<Sentence> notes;     ///< what the reader should know, one sentence each; also in the folder's README.md
};

inline constexpr std::uint64_t kMaxShardBytes = 4'000'000'000;

/// Writes config.json, generation_config.json, the weights in F32 (shards when they are larger than `shard_bytes`), the
/// tokenizer and a README.md into `folder`, which must not exist or be empty; it appears whole or not at all. The type
/// is the one that expresses the configuration exactly. `tokenizer` may be null; the files of `vocabulary`, with what
/// `rules` say of its tokens, are then written as they were read. `metadata` goes into the headers of the weights.
/// Throws Error, naming the settings that no type can express.
ExportReport export_hugging_face(const std::filesystem::path& folder, const ModelConfig& model,
                                 const ParameterLayout& layout, const float* parameters, const Tokenizer* tokenizer,
                                 const std::map<std::string, std::string>& metadata = {},
                                 std::uint64_t shard_bytes = kMaxShardBytes, const Vocabulary* vocabulary = nullptr,
                                 const TextRules& rules = {});

}  // namespace moescope::engine
