#include "engine/checkpoint/loaded_model.hpp"

#include <map>
#include <set>

#include "engine/checkpoint/checkpoint.hpp"

namespace moescope::engine {
namespace {

/// Throws Error unless the disabled experts are there, and enough others for each token.
void check_disabled(const LoadedModel& model, const std::filesystem::path& file) {
    const ModelConfig& config = model.config.model;
    std::map<int, std::set<int>> disabled;
    for (const auto& [layer, expert] : model.disabled) {
        const bool there = layer >= 0 && layer < config.layers && expert >= 0 && expert < config.experts &&
                           model.layout.layers[static_cast<std::size_t>(layer)].has_experts();
        if (!there) {
            throw Error(
                say("{}: says that expert {} of layer {} is disabled, which the model does not have; the "
                    "checkpoint is damaged, use another one",
                    file, expert, layer));
        }
        disabled[layer].insert(expert);
    }
    for (const auto& [layer, experts] : disabled) {
        if (const int left = config.experts - static_cast<int>(experts.size()); left < config.experts_per_token) {
            throw Error(
                say("{}: leaves {} experts in layer {}, but each token goes to {}; the checkpoint is damaged, "
                    "use another one",
                    file, left, layer, config.experts_per_token));
        }
    }
}

}  // namespace

std::shared_ptr<const LoadedModel> load_model(const std::filesystem::path& checkpoint) {
    check_as_saved(checkpoint);
    auto model = std::make_shared<LoadedModel>();
    const RunConfig planned = read_checkpoint_config(checkpoint);
    const CheckpointState state = read_checkpoint_state(checkpoint);
    model->config = planned;
    take_live(model->config, planned, state);
    model->layout = make_layout(model->config.model);
    model->step = state.step;
    model->disabled = state.disabled;
    check_disabled(*model, checkpoint / kStateFile);
    // The header is compared with the configuration before memory is asked for: a small file cannot make us allocate
    // much.
    const CheckpointTensors tensors(checkpoint / kModelFile, model->config.model, model->layout, {""});
    model->memory = Block(checked_product(model->layout.floats, sizeof(float), marked("the parameters")));
    auto* parameters = reinterpret_cast<float*>(model->memory.data());
    tensors.read("", parameters);
    model->parameters = parameters;
    model->tokenizer = read_checkpoint_tokenizer(checkpoint);
    if (model->tokenizer) {
        // In training every document follows an end of text.
        model->text.begin = model->text.ends.emplace_back(model->tokenizer->end_token());
    }
    return model;
}

}  // namespace moescope::engine
