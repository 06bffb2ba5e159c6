#include "engine/generate/owned_decoder.hpp"

#include <algorithm>

#include "kernels/cpu/cpu_ops.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::engine {
namespace {

std::unique_ptr<kernels::Ops> or_processor(std::unique_ptr<kernels::Ops> ops) {
    return ops != nullptr ? std::move(ops) : kernels::cpu_ops(kernels::workers());
}

}  // namespace

OwnedDecoder::OwnedDecoder(std::shared_ptr<const LoadedModel> model, int sequences, int context,
                           std::unique_ptr<kernels::Ops> ops)
    : OwnedDecoder(std::make_shared<const PlacedModel>(std::move(model), or_processor(std::move(ops))), sequences,
                   context) {}

OwnedDecoder::OwnedDecoder(std::shared_ptr<const PlacedModel> model, int sequences, int context)
    : model_(std::move(model)) {
    const LoadedModel& loaded = model_->model();
    kernels::Ops& ops = model_->ops();
    ModelConfig config = loaded.config.model;
    config.context = std::min(config.context, context);
    Arena plan;
    DecoderState::place(plan, ops, config, sequences);
    memory_ = Block(ops, plan.used());
    Arena arena(memory_.data());
    decoder_ = std::make_unique<Decoder>(ops, config, loaded.layout, model_->parameters(),
                                         DecoderState::place(arena, ops, config, sequences));
    decoder_->set_disabled(model_->disabled_LE());
}

}  // namespace moescope::engine
