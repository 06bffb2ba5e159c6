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
void collect_routing(const PlacedModel& placed, const Activations& state, std::size_t tokens, ForwardRouting& routing) {
    const LoadedModel& model = placed.model();
    const ModelConfig& config = model.config.model;
    const auto K = static_cast<std::size_t>(config.experts_per_token);
    std::vector<std::uint8_t> kept;
    std::vector<float> weights;
    std::vector<std::int32_t> ids;
    const auto fetch = [&](auto& into, const auto* from, std::size_t count) {
        into.resize(count);
        placed.ops().download(into.data(), from, count * sizeof(*from));
    };
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(config.layers); ++layer) {
        const kernels::RouterOutput& routed = state.layers[layer].routed;
        const auto J = static_cast<std::size_t>(
            router_shape(config, {kernels::Balance::none, false}, layer, 1, static_cast<int>(tokens)).slots());
        const bool has_experts = model.layout.layers[layer].has_experts();
        if (has_experts) {
            fetch(kept, routed.kept_TJ, tokens * J);
            fetch(weights, routed.w_TJ, tokens * J);
            fetch(ids, routed.ids_TJ, tokens * J);
        }
        for (std::size_t t = 0; t < tokens; ++t) {
            std::vector<std::pair<float, std::int32_t>> chosen;
            for (std::size_t j = 0; j < J && has_experts; ++j) {
                if (kept[t * J + j] != 0) {
                    chosen.emplace_back(weights[t * J + j], ids[t * J + j]);
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
    const std::shared_ptr<const LoadedModel> of_caller(std::shared_ptr<const LoadedModel>(), &model);
    const PlacedModel placed(of_caller, kernels::cpu_ops(threads > 0 ? threads : kernels::hardware_workers()));
    return forward_logits(placed, tokens, routing);
}

std::vector<float> forward_logits(const PlacedModel& placed, std::span<const std::int32_t> tokens,
                                  ForwardRouting* routing) {
    const LoadedModel& model = placed.model();
    const ModelConfig& config = model.config.model;
    check_tokens(config, tokens);
    const int length = static_cast<int>(tokens.size());
    kernels::Ops& ops = placed.ops();
    ops.enter();
    const Mode mode =
        routing == nullptr ? Mode::inference : Mode::train;  // routing of every layer must still be there at the end
    const std::uint64_t count =
        checked_product(tokens.size(), static_cast<std::uint64_t>(config.vocabulary), marked("the logits"));
    const auto place = [&](Arena& arena, std::int32_t*& tokens_T, float*& logits) {
        tokens_T = arena.take<std::int32_t>(tokens.size());
        logits = arena.take<float>(ops.host_memory() ? 0 : count);
        return Activations::place(arena, ops, config, 1, length, mode);
    };
    std::int32_t* tokens_T = nullptr;
    float* logits_TV = nullptr;
    Arena plan;
    place(plan, tokens_T, logits_TV);
    const Block memory(ops, plan.used());
    Arena arena(memory.data());
    Activations state = place(arena, tokens_T, logits_TV);
    ops.upload(tokens_T, tokens.data(), tokens.size_bytes());
    Transformer transformer(ops, config, model.layout, state);
    RouterControls controls;
    controls.mode = {kernels::Balance::none, false};
    controls.disabled_LE = placed.disabled_LE();
    transformer.forward(placed.parameters(), tokens_T, 1, length, controls, [](Part) {});
    if (routing != nullptr) {
        collect_routing(placed, state, tokens.size(), *routing);
    }
    std::vector<float> logits(count);
    if (ops.host_memory()) {
        logits_TV = logits.data();
    }
    ops.linear_forward(logits_TV, state.final_TD, placed.parameters() + model.layout.head, nullptr, length,
                       config.width, config.vocabulary, kernels::Write::assign);
    if (logits_TV != logits.data()) {
        ops.download(logits.data(), logits_TV, count * sizeof(float));
    }
    return logits;
}

}  // namespace moescope::engine
