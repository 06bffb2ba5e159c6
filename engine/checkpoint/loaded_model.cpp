#include "engine/checkpoint/loaded_model.hpp"

#include "engine/checkpoint/checkpoint.hpp"

namespace moescope::engine {

std::shared_ptr<const LoadedModel> load_model(const std::filesystem::path& checkpoint) {
    check_as_saved(checkpoint);
    auto model = std::make_shared<LoadedModel>();
    model->config = read_checkpoint_config(checkpoint);
    model->layout = make_layout(model->config.model);
    model->step = read_checkpoint_state(checkpoint).step;
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
