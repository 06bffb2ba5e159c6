// A checkpoint opened for reading only: what the runner wraps as a LanguageModel.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/generate/decoder.hpp"
#include "engine/model/arena.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "engine/text/tokenizer.hpp"

namespace moescope::engine {

/// Immutable after loading; may be shared by threads that each have their own decoder.
struct LoadedModel {
    RunConfig config;
    ParameterLayout layout;
    Block memory;
    const float* parameters = nullptr;           ///< [layout.floats], inside memory
    std::shared_ptr<const Tokenizer> tokenizer;  ///< null when the checkpoint has none
    std::uint64_t step = 0;                      ///< optimizer steps behind it
};

/// Reads config.json, model.safetensors, tokenizer.model and state.json of a checkpoint folder (Trainer::save). Every
/// file is checked before it is used. Throws Error naming the file.
std::shared_ptr<const LoadedModel> load_model(const std::filesystem::path& checkpoint);

/// A decoder with its own memory.
class OwnedDecoder {
 public:
    explicit OwnedDecoder(std::shared_ptr<const LoadedModel> model, int sequences = 1)
        : OwnedDecoder(model, sequences, model->config.model.context) {}
    /// For texts of at most `context` tokens, no more than the model's own context.
    OwnedDecoder(std::shared_ptr<const LoadedModel> model, int sequences, int context);
    Decoder& operator*() { return *decoder_; }
    Decoder* operator->() { return decoder_.get(); }

 private:
    std::shared_ptr<const LoadedModel> model_;
    Block memory_;
    std::unique_ptr<Decoder> decoder_;
};

}  // namespace moescope::engine
