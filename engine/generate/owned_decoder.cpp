#include "engine/generate/owned_decoder.hpp"

#include <algorithm>

namespace moescope::engine {

OwnedDecoder::OwnedDecoder(std::shared_ptr<const LoadedModel> model, int sequences, int context)
    : model_(std::move(model)) {
    ModelConfig config = model_->config.model;
    config.context = std::min(config.context, context);
    Arena plan;
    DecoderState::place(plan, config, sequences);
    memory_ = Block(plan.used());
    Arena arena(memory_.data());
    decoder_ = std::make_unique<Decoder>(config, model_->layout, model_->parameters,
                                         DecoderState::place(arena, config, sequences));
}

}  // namespace moescope::engine
