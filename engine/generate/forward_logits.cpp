#include "engine/generate/forward_logits.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/error.hpp"
#include "engine/model/step_part.hpp"
#include "engine/model/transformer.hpp"
#include "kernels/cpu/cpu_ops.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {
namespace {

void check_tokens(const ModelConfig& model, std::span<const std::int32_t> tokens) {
    if (tokens.empty()) {
        throw Error(say("there are no tokens to look at: give at least one"));
    }
    if (tokens.size() > static_cast<std::size_t>(model.context)) {
        throw Error(say("the text has {} tokens, but the model's context is {}: shorten the text", tokens.size(),
                        model.context));
    }
    for (const std::int32_t token : tokens) {
        if (token < 0 || token >= model.vocabulary) {
            throw Error(say("token {} is not in the vocabulary of {}: the tokens belong to another model", token,
                            model.vocabulary));
        }
    }
}

/// What every layer decided, K slots per token; -1 and 0 where a layer has no experts. When experts choose, a token may
/// have more: its K largest weights are given.
void collect_routing(const LoadedModel& model, const Activations& state, std::size_t tokens, ForwardRouting& routing) {
    const ModelConfig& config = model.config.model;
    const auto K = static_cast<std::size_t>(config.experts_per_token);
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(config.layers); ++layer) {
        const kernels::RouterOutput& routed = state.layers[layer].routed;
        const auto J = static_cast<std::size_t>(
            router_shape(config, {kernels::Balance::none, false}, layer, 1, static_cast<int>(tokens)).slots());
        for (std::size_t t = 0; t < tokens; ++t) {
            std::vector<std::pair<float, std::int32_t>> chosen;
            for (std::size_t j = 0; j < J && model.layout.layers[layer].has_experts(); ++j) {
                if (routed.kept_TJ[t * J + j] != 0) {
                    chosen.emplace_back(routed.w_TJ[t * J + j], routed.ids_TJ[t * J + j]);
                }
            }
            if (J > K) {
                std::stable_sort(chosen.begin(), chosen.end(),
                                 [](const auto& a, const auto& b) { return a.first > b.first; });
            }
            chosen.resize(K, {0.0f, -1});
            for (const auto& [weight, id] : chosen) {
                routing.ids.push_back(id);
                routing.weights.push_back(weight);
            }
        }
    }
}

}  // namespace

std::vector<float> forward_logits(const LoadedModel& model, std::span<const std::int32_t> tokens, int threads,
                                  ForwardRouting* routing) {
    const ModelConfig& config = model.config.model;
    check_tokens(config, tokens);
    const int length = static_cast<int>(tokens.size());
    const std::unique_ptr<kernels::Ops> ops = kernels::cpu_ops(threads > 0 ? threads : kernels::hardware_workers());
    ops->enter();
    const Mode mode =
        routing == nullptr ? Mode::inference : Mode::train;  // routing of every layer must still be there at the end
    Arena plan;
    Activations::place(plan, *ops, config, 1, length, mode);
    const Block memory(*ops, plan.used());
    Arena arena(memory.data());
    Activations state = Activations::place(arena, *ops, config, 1, length, mode);
    Transformer transformer(*ops, config, model.layout, state);
    RouterControls controls;
    controls.mode = {kernels::Balance::none, false};
    transformer.forward(model.parameters, tokens.data(), 1, length, controls, [](Part) {});
    if (routing != nullptr) {
        collect_routing(model, state, tokens.size(), *routing);
    }
    std::vector<float> logits(
        checked_product(tokens.size(), static_cast<std::uint64_t>(config.vocabulary), marked("the logits")));
    ops->linear_forward(logits.data(), state.final_TD, model.parameters + model.layout.head, nullptr, length,
                        config.width, config.vocabulary, kernels::Write::assign);
    return logits;
}

}  // namespace moescope::engine
