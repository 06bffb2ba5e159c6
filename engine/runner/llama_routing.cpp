#include "engine/runner/llama_routing.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "engine/error.hpp"

namespace moescope::engine {
namespace {

/// A whole number among the values of the file, by its key without the name of the architecture.
std::optional<int> number_of(const llama_model* model, const std::string& architecture, const char* key) {
    std::array<char, 32> text{};
    const std::int32_t length =
        llama_model_meta_val_str(model, (architecture + "." + key).c_str(), text.data(), text.size());
    int value = 0;
    if (length < 0 || std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
        return {};
    }
    return value;
}

/// Architectures for which libllama takes a scoring of its own where the file does not say which.
constexpr std::array kGuessed = {"afmoe",   "cohere2moe", "deepseek2",    "deepseek2-ocr", "dots1",
                                 "glm-dsa", "glm4moe",    "glm5-next",    "hy_v3",         "hy_v4",
                                 "laguna",  "minimax-m2", "smallthinker", "step35"};

}  // namespace

LlamaRouting::LlamaRouting(const llama_model* model, const std::string& name, const ModelInfo& info,
                           const std::function<LlamaContext(const LlamaHooks&)>& make_context)
    : info_(info), context_(make_context({LlamaTap::evaluate, &tap_, &cancel_})) {
    learn();
    describe(model, name);
    put_doubts(model);
    watch(routing::Detail::weights, {});
}

void LlamaRouting::learn() {
    tap_.learn();
    const std::int32_t token = 0;
    decode(context_.get(), batch_.fill(std::span(&token, 1), 0));
    tap_.rest();
    restart();
}

void LlamaRouting::describe(const llama_model* model, const std::string& name) {
    spec_.model = name;
    spec_.architecture = info_.architecture;
    spec_.layers = info_.layers;
    spec_.device = info_.device;
    bool by_scores = false;
    for (const MoeGraph& graph : tap_.graph()) {
        if (!graph.has(MoeNode::topk) || graph.twice()) {
            continue;
        }
        spec_.routed_layers.push_back(graph.layer);
        by_scores = by_scores || graph.has(MoeNode::argsort);
        spec_.hash_layers += by_scores ? 0 : 1;
        spec_.experts = std::max(spec_.experts, graph.experts);
        spec_.experts_per_token = std::max(spec_.experts_per_token, graph.chosen);
        spec_.groups_kept = std::max(spec_.groups_kept, graph.groups_kept);
        spec_.scoring = graph.scoring;
        spec_.selection_bias = spec_.selection_bias || graph.has(MoeNode::probs_biased);
        spec_.normalise = graph.has(MoeNode::weights_norm);
        spec_.scale = graph.scale;
        if (graph.has(MoeNode::group_topk)) {
            spec_.groups = number_of(model, info_.architecture, "expert_group_count").value_or(1);
            spec_.group_score = "top2";
        }
    }
    if (spec_.routed_layers.empty() || spec_.routed_layers.size() != tap_.graph().size()) {
        throw Error(info_.experts > 0
                        ? say("libllama computes the experts of {} in a way that this program does not know", name)
                        : say("{} has no experts: it is a dense model, and there is no routing to see", name));
    }
    spec_.shared_experts = number_of(model, info_.architecture, "expert_shared_count").value_or(0);
}

void LlamaRouting::put_doubts(const llama_model* model) {
    const std::string& kind = info_.architecture;
    const bool deepseek = kind == "deepseek2" || kind == "deepseek32";
    const bool no_groups = !number_of(model, kind, "expert_group_count");
    // V2 has 160 experts and V3 and R1 256, in 8 groups; converters wrote the keys from autumn 2025 on.
    if (deepseek && no_groups && (spec_.experts == 160 || spec_.experts == 256)) {
        spec_.doubts.push_back(
            say("the file does not say how its {} experts are grouped, so they are chosen without groups; the original "
                "model may choose others",
                spec_.experts));
    }
    if (deepseek && spec_.groups > 1 && spec_.scoring == "softmax") {
        spec_.doubts.push_back(say(
            "libllama scores groups by the sum of their two best experts; DeepSeek-V2 takes the best alone, and may "
            "choose others"));
    }
    const bool guessed = std::find(kGuessed.begin(), kGuessed.end(), kind) != kGuessed.end();
    if (guessed && number_of(model, kind, "expert_gating_func").value_or(0) == 0) {
        spec_.doubts.push_back(
            say("the file does not say how scores are made of logits; libllama took {}", spec_.scoring));
    }
}

void LlamaRouting::watch(routing::Detail detail, const routing::Interventions& interventions) {
    plan_ = routing::InterventionPlan(interventions, spec_);
    tap_.watch(detail, plan_, choice_rule(spec_));
}

void LlamaRouting::restart() {
    llama_memory_clear(llama_get_memory(context_.get()), false);
    position_ = 0;
}

std::span<const float> LlamaRouting::feed(std::span<const std::int32_t> tokens,
                                          std::vector<std::vector<routing::LayerDecision>>& decisions,
                                          const std::atomic<bool>& cancel) {
    if (cancel || tokens.empty()) {
        return {};
    }
    tap_.begin(static_cast<int>(position_), tokens.size());
    const CancelScope scope(cancel_, cancel);
    if (!decode(context_.get(), batch_.fill(tokens, position_))) {
        return {};
    }
    tap_.take(decisions);
    position_ += tokens.size();
    logits_.clear();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const auto row = logits_of(context_.get(), static_cast<std::int32_t>(i), info_.vocabulary);
        logits_.insert(logits_.end(), row.begin(), row.end());
    }
    return logits_;
}

}  // namespace moescope::engine
