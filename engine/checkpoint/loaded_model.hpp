// A checkpoint opened for reading only: what the runner wraps as a LanguageModel.
#pragma once

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "engine/error.hpp"
#include "engine/model/arena.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "engine/text/text_rules.hpp"
#include "engine/text/tokenizer.hpp"
#include "engine/text/vocabulary.hpp"

namespace moescope::engine {

/// Immutable after loading; may be shared by threads that each have their own decoder.
struct LoadedModel {
    RunConfig config;  ///< of a checkpoint with the live settings as they stood when it was saved
    ParameterLayout layout;
    Block memory;
    const float* parameters = nullptr;           ///< [layout.floats], inside memory
    std::vector<std::pair<int, int>> disabled;   ///< layer, expert: never chosen, as its run has them
    std::shared_ptr<const Tokenizer> tokenizer;  ///< null when the model has none of SentencePiece
    /// Of an import with a tokenizer.json, for libllama: without `tokenizer`, or beside one without a portable form.
    std::shared_ptr<const Vocabulary> vocabulary;
    TextRules text;          ///< of a model with one of the two
    Sentence no_tokenizer;   ///< why there is neither, when that is known
    std::uint64_t step = 0;  ///< optimizer steps behind it
};

/// Reads config.json, model.safetensors, tokenizer.model and state.json of a checkpoint folder (Trainer::save). Every
/// file is checked before it is used, also whether it is still as it was saved. Throws Error naming the file.
std::shared_ptr<const LoadedModel> load_model(const std::filesystem::path& checkpoint);

}  // namespace moescope::engine
