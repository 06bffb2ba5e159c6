// A decoder with its own memory, for a model that was opened for reading.
#pragma once

#include <memory>

#include "engine/checkpoint/loaded_model.hpp"
#include "engine/generate/decoder.hpp"
#include "engine/generate/placed_model.hpp"
#include "engine/model/arena.hpp"

namespace moescope::engine {

/// The experts that are disabled in the model are never chosen.
class OwnedDecoder {
 public:
    explicit OwnedDecoder(std::shared_ptr<const LoadedModel> model, int sequences = 1)
        : OwnedDecoder(model, sequences, model->config.model.context) {}
    /// For texts of at most `context` tokens, no more than the model's own context. Without operations the CPU's, with
    /// the settings of the calling thread.
    OwnedDecoder(std::shared_ptr<const LoadedModel> model, int sequences, int context,
                 std::unique_ptr<kernels::Ops> ops = nullptr);
    /// The same with others on one device.
    OwnedDecoder(std::shared_ptr<const PlacedModel> model, int sequences, int context);
    Decoder& operator*() { return *decoder_; }
    Decoder* operator->() { return decoder_.get(); }
    const Decoder* operator->() const { return decoder_.get(); }

 private:
    std::shared_ptr<const PlacedModel> model_;
    Block memory_;
    std::unique_ptr<Decoder> decoder_;
};

}  // namespace moescope::engine
