#include "engine/generate/owned_decoder.hpp"

#include <algorithm>

#include "kernels/cpu/cpu_ops.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::engine {

OwnedDecoder::OwnedDecoder(std::shared_ptr<const LoadedModel> model, int sequences, int context,
                           std::unique_ptr<kernels::Ops> ops)
    : model_(std::move(model)), ops_(ops != nullptr ? std::move(ops) : kernels::cpu_ops(kernels::workers())) {
    ModelConfig config = model_->config.model;
    config.context = std::min(config.context, context);
    const float* parameters = model_->parameters;
    if (!ops_->host_memory()) {
        const std::uint64_t bytes = model_->layout.floats * sizeof(float);
        parameters_ = Block(*ops_, bytes);
        ops_->upload(parameters_.data(), parameters, bytes);
        parameters = reinterpret_cast<const float*>(parameters_.data());
    }
    Arena plan;
    DecoderState::place(plan, *ops_, config, sequences);
    memory_ = Block(*ops_, plan.used());
    Arena arena(memory_.data());
    decoder_ = std::make_unique<Decoder>(*ops_, config, model_->layout, parameters,
                                         DecoderState::place(arena, *ops_, config, sequences));
}

}  // namespace moescope::engine
