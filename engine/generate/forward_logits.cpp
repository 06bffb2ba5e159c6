#include "engine/generate/forward_logits.hpp"

#include <string>

#include "engine/error.hpp"
#include "engine/model/transformer.hpp"
#include "engine/train/trainer.hpp"
#include "kernels/cpu/linear.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::engine {
namespace {

void check_tokens(const ModelConfig& model, std::span<const std::int32_t> tokens) {
    if (tokens.empty()) {
        throw Error("There are no tokens to look at: give at least one.");
    }
    if (tokens.size() > static_cast<std::size_t>(model.context)) {
        throw Error("The text has " + std::to_string(tokens.size()) + " tokens, but the model's context is " +
                    std::to_string(model.context) + ": shorten the text.");
    }
    for (const std::int32_t token : tokens) {
        if (token < 0 || token >= model.vocabulary) {
            throw Error("Token " + std::to_string(token) + " is not in the vocabulary of " +
                        std::to_string(model.vocabulary) + ": the tokens belong to another model.");
        }
    }
}

}  // namespace

std::vector<float> forward_logits(const LoadedModel& model, std::span<const std::int32_t> tokens, int threads,
                                  ForwardRouting* routing) {
    const ModelConfig& config = model.config.model;
    check_tokens(config, tokens);
    const int length = static_cast<int>(tokens.size());
    kernels::set_workers(threads > 0 ? threads : kernels::hardware_workers());
    const int workers = kernels::workers();
    const Mode mode =
        routing == nullptr ? Mode::inference : Mode::train;  // routing of every layer must still be there at the end
    Arena plan;
    ModelState::place(plan, config, 1, length, workers, mode);
    const Block memory(plan.used());
    Arena arena(memory.data());
    ModelState state = ModelState::place(arena, config, 1, length, workers, mode);
    Transformer transformer(config, model.layout, state);
    std::vector<kernels::RouterLosses> losses(state.layers.size());
    transformer.forward(model.parameters, tokens.data(), 1, length, losses, [](Part) {});
    if (routing != nullptr) {
        const std::size_t slots = tokens.size() * static_cast<std::size_t>(config.experts_per_token);
        for (const LayerState& layer : state.layers) {
            routing->ids.insert(routing->ids.end(), layer.ids_TK, layer.ids_TK + slots);
            routing->weights.insert(routing->weights.end(), layer.w_TK, layer.w_TK + slots);
        }
    }
    std::vector<float> logits(
        checked_product(tokens.size(), static_cast<std::uint64_t>(config.vocabulary), "the logits"));
    kernels::linear_forward(logits.data(), state.final_TD, model.parameters + model.layout.head, length, config.width,
                            config.vocabulary, kernels::Write::assign);
    return logits;
}

}  // namespace moescope::engine
