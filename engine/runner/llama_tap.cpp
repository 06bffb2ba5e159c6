#include "engine/runner/llama_tap.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <ggml-backend.h>
#include <ggml.h>
#include <limits>
#include <optional>
#include <string_view>

#include "engine/error.hpp"

namespace moescope::engine {
namespace {

using routing::Detail;
using routing::LayerChange;
using routing::LayerDecision;

constexpr std::array<std::string_view, kMoeNodes> kNames = {
    "logits", "logits_biased", "probs",           "probs_biased", "group_topk",     "argsort",
    "topk",   "weights",       "weights_softmax", "weights_norm", "weights_scaled",
};

struct Named {
    MoeNode kind = MoeNode::logits;
    int layer = 0;
};

/// "ffn_moe_topk-3". Reshapes and views of a node have its name with something after it, and are none.
std::optional<Named> named(const char* name) {
    constexpr std::string_view kPrefix = "ffn_moe_";
    if (std::strncmp(name, kPrefix.data(), kPrefix.size()) != 0) {
        return {};
    }
    const std::string_view rest = std::string_view(name).substr(kPrefix.size());
    const std::size_t dash = rest.rfind('-');
    if (dash == std::string_view::npos) {
        return {};
    }
    const auto found = std::find(kNames.begin(), kNames.end(), rest.substr(0, dash));
    Named one;
    const auto [end, error] = std::from_chars(rest.data() + dash + 1, rest.data() + rest.size(), one.layer);
    if (found == kNames.end() || error != std::errc() || end != rest.data() + rest.size()) {
        return {};
    }
    one.kind = static_cast<MoeNode>(found - kNames.begin());
    return one;
}

[[noreturn]] void throw_unknown(const ggml_tensor& node) {
    throw Error(say("libllama computes {} in a way that this program does not know; its routing cannot be seen",
                    std::string(node.name)));
}

/// Rows of `tokens` tokens, without gaps.
std::vector<float> floats(const ggml_tensor& node, std::size_t tokens, std::size_t width) {
    if (node.type != GGML_TYPE_F32 || !ggml_is_contiguous(&node) ||
        static_cast<std::size_t>(ggml_nelements(&node)) != tokens * width) {
        throw_unknown(node);
    }
    std::vector<float> values(tokens * width);
    ggml_backend_tensor_get(&node, values.data(), 0, values.size() * sizeof(float));
    return values;
}

/// The first `width` of each row of ids; rows may lie apart.
std::vector<std::int32_t> ids_of(const ggml_tensor& node, std::size_t tokens, std::size_t width) {
    if (node.type != GGML_TYPE_I32 || node.nb[0] != sizeof(std::int32_t) ||
        static_cast<std::size_t>(node.ne[0]) != width || static_cast<std::size_t>(node.ne[1]) != tokens ||
        node.ne[2] != 1 || node.ne[3] != 1) {
        throw_unknown(node);
    }
    std::vector<std::int32_t> values(tokens * width);
    for (std::size_t t = 0; t < tokens; ++t) {
        ggml_backend_tensor_get(&node, values.data() + t * width, t * node.nb[1], width * sizeof(std::int32_t));
    }
    return values;
}

std::string scoring_of(const MoeGraph& graph, const ggml_tensor& probs) {
    if (graph.has(MoeNode::weights_softmax)) {
        return "softmax_after_top_k";
    }
    switch (probs.op) {
        case GGML_OP_SOFT_MAX:
            return "softmax";
        case GGML_OP_UNARY:
            return ggml_get_unary_op(&probs) == GGML_UNARY_OP_SIGMOID ? "sigmoid" : "";
        case GGML_OP_SQRT:
            return "sqrt_softplus";
        default:
            return "";
    }
}

template <class T>
std::span<const T> row(const std::vector<T>& values, std::size_t token, std::size_t width) {
    return std::span(values).subspan(token * width, width);
}

/// In double: z may be large.
std::vector<float> softmax(std::span<const float> z) {
    const float largest = *std::max_element(z.begin(), z.end());
    double sum = 0;
    for (const float one : z) {
        sum += std::exp(static_cast<double>(one) - largest);
    }
    std::vector<float> shares;
    for (const float one : z) {
        shares.push_back(static_cast<float>(std::exp(static_cast<double>(one) - largest) / sum));
    }
    return shares;
}

}  // namespace

MoeNode MoeGraph::logits() const {
    if (scoring == "softmax_after_top_k") {
        return MoeNode::probs;
    }
    return has(MoeNode::logits_biased) ? MoeNode::logits_biased : MoeNode::logits;
}

MoeNode MoeGraph::last_weights() const {
    MoeNode last = MoeNode::weights;
    for (const MoeNode node : {MoeNode::weights_softmax, MoeNode::weights_norm, MoeNode::weights_scaled}) {
        last = has(node) ? node : last;
    }
    return last;
}

bool LlamaTap::evaluate(ggml_tensor* node, bool ask, void* tap) {
    auto& self = *static_cast<LlamaTap*>(tap);
    if (self.mode_ == Mode::rest) {
        return !ask;
    }
    const std::optional<Named> what = named(node->name);
    if (!what) {
        return !ask;
    }
    try {
        if (self.mode_ == Mode::learn) {
            if (ask) {
                self.note(what->kind, what->layer, *node);
            }
            return !ask;
        }
        const std::size_t index = self.index_of(what->layer);
        if (index == self.graph_.size()) {
            return !ask;
        }
        if (!ask) {
            if (self.problem_ == nullptr) {
                self.show(what->kind, index, *node);
            }
            return true;
        }
        if (what->kind == MoeNode::topk) {
            self.layers_[index].topk = node;
        }
        return self.problem_ == nullptr && self.wants(what->kind, index);
    } catch (...) {  // libllama is C++ that does not expect one here: it is thrown again by take()
        self.problem_ = std::current_exception();
        return !ask;
    }
}

void LlamaTap::learn() {
    mode_ = Mode::learn;
    graph_.clear();
    problem_ = nullptr;
}

void LlamaTap::note(MoeNode kind, int layer, const ggml_tensor& node) {
    std::size_t index = index_of(layer);
    if (index == graph_.size()) {
        const auto after =
            std::find_if(graph_.begin(), graph_.end(), [&](const MoeGraph& g) { return g.layer > layer; });
        index = static_cast<std::size_t>(after - graph_.begin());
        graph_.insert(after, MoeGraph())->layer = layer;
    }
    MoeGraph& graph = graph_[index];
    ++graph.nodes[static_cast<std::size_t>(kind)];
    switch (kind) {
        case MoeNode::probs:
            graph.experts = static_cast<int>(node.ne[0]);
            graph.scoring = scoring_of(graph, node);
            break;
        case MoeNode::probs_biased:
            graph.selection = MoeNode::probs_biased;
            break;
        case MoeNode::group_topk:
            graph.groups_kept = static_cast<int>(node.ne[0]);
            break;
        case MoeNode::argsort:
            // Llama 4 chooses by the logits.
            if (const auto from = named(node.src[0]->name); from && from->kind == MoeNode::logits) {
                graph.selection = MoeNode::logits;
            }
            break;
        case MoeNode::topk:
            graph.chosen = static_cast<int>(node.ne[0]);
            break;
        case MoeNode::weights_softmax:
            graph.scoring = "softmax_after_top_k";
            break;
        case MoeNode::weights_scaled:
            if (node.op == GGML_OP_SCALE) {
                std::memcpy(&graph.scale, node.op_params, sizeof graph.scale);
            }
            break;
        case MoeNode::logits:
        case MoeNode::logits_biased:
        case MoeNode::weights:
        case MoeNode::weights_norm:
            break;
    }
}

std::size_t LlamaTap::index_of(int layer) const {
    const auto found = std::find_if(graph_.begin(), graph_.end(), [&](const MoeGraph& g) { return g.layer == layer; });
    return static_cast<std::size_t>(found - graph_.begin());
}

void LlamaTap::watch(Detail detail, const routing::InterventionPlan& plan, const routing::ChoiceRule& rule) {
    mode_ = Mode::watch;
    detail_ = detail;
    plan_ = &plan;
    rule_ = rule;
}

void LlamaTap::begin(int first_position, std::size_t tokens) {
    first_ = first_position;
    tokens_ = tokens;
    layers_.assign(graph_.size(), {});
    problem_ = nullptr;
}

bool LlamaTap::changes_choice(std::size_t index) const {
    const LayerChange* change = plan_->layer(graph_[index].layer);
    return plan_->replays() || (change != nullptr && change->of_choice());
}

bool LlamaTap::wants(MoeNode kind, std::size_t index) const {
    const MoeGraph& graph = graph_[index];
    const bool scores = detail_ == Detail::scores;
    if (kind == graph.last_weights()) {  // the ids are read here too: one cut of the graph instead of two
        return true;
    }
    if (kind == MoeNode::topk) {
        return changes_choice(index);
    }
    if (kind == graph.selection && changes_choice(index)) {
        return true;
    }
    return scores &&
           (kind == graph.logits() || kind == MoeNode::probs || kind == graph.selection || kind == MoeNode::group_topk);
}

void LlamaTap::show(MoeNode kind, std::size_t index, ggml_tensor& node) {
    const MoeGraph& graph = graph_[index];
    Layer& layer = layers_[index];
    const auto E = static_cast<std::size_t>(graph.experts);
    if (kind == MoeNode::topk) {
        change_choice(index, node);
    } else if (kind == graph.last_weights()) {
        change_weights(index, node);
    } else if (kind == MoeNode::group_topk) {
        layer.groups = ids_of(node, tokens_, static_cast<std::size_t>(graph.groups_kept));
    } else {
        std::vector<float> values = floats(node, tokens_, E);
        if (kind == graph.logits()) {
            layer.logits = values;
        }
        if (kind == graph.selection) {
            layer.selection = values;
        }
        if (kind == MoeNode::probs) {
            layer.probs = std::move(values);
        }
    }
}

void LlamaTap::change_choice(std::size_t index, ggml_tensor& topk) {
    const MoeGraph& graph = graph_[index];
    Layer& layer = layers_[index];
    const auto E = static_cast<std::size_t>(graph.experts), K = static_cast<std::size_t>(graph.chosen);
    const LayerChange* change = plan_->layer(graph.layer);
    std::vector<std::int32_t> chosen = ids_of(topk, tokens_, K);
    if (graph.has(MoeNode::argsort) && layer.selection.size() != tokens_ * E) {
        throw_unknown(topk);
    }
    routing::ChoiceRule rule = rule_;
    rule.experts_per_token = graph.chosen;
    for (std::size_t t = 0; t < tokens_; ++t) {
        std::vector<float> selection;  // empty: the token alone decides
        if (change != nullptr && change->of_choice() && graph.has(MoeNode::argsort)) {
            selection.assign(layer.selection.begin() + static_cast<std::ptrdiff_t>(t * E),
                             layer.selection.begin() + static_cast<std::ptrdiff_t>((t + 1) * E));
            add_bias(selection, change);
        }
        std::vector<std::int32_t> ids =
            routing::take_replayed(*plan_, first_ + static_cast<int>(t), graph.layer, selection, rule);
        const bool replayed = !ids.empty();
        if (!replayed && change != nullptr && change->of_choice()) {
            ids = selection.empty() ? change->left_of(row(chosen, t, K))
                                    : routing::choose(selection, rule, change).ids;
        } else if (!replayed) {
            const auto own = row(chosen, t, K);
            ids.assign(own.begin(), own.end());
        }
        ids.resize(std::min(ids.size(), K));
        layer.used.push_back(ids.size());
        layer.by_scores.push_back(!replayed);
        // The graph computes K experts whatever we want; in places that do not count any expert does, with weight 0.
        for (std::int32_t id = 0; ids.size() < K && id < graph.experts; ++id) {
            if (std::find(ids.begin(), ids.end(), id) == ids.end()) {
                ids.push_back(id);
            }
        }
        ggml_backend_tensor_set(&topk, ids.data(), t * topk.nb[1], ids.size() * sizeof(std::int32_t));
    }
}

void LlamaTap::change_weights(std::size_t index, ggml_tensor& weights) {
    const MoeGraph& graph = graph_[index];
    Layer& layer = layers_[index];
    const auto K = static_cast<std::size_t>(graph.chosen);
    if (layer.topk == nullptr) {
        throw_unknown(weights);
    }
    layer.ids = ids_of(*layer.topk, tokens_, K);
    layer.weights = floats(weights, tokens_, K);
    if (layer.used.empty()) {
        layer.used.assign(tokens_, K);
        layer.by_scores.assign(tokens_, true);
    }
    const LayerChange* change = plan_->layer(graph.layer);
    bool changed = false;
    for (std::size_t t = 0; t < tokens_; ++t) {
        float* w = layer.weights.data() + t * K;
        if (const std::size_t used = layer.used[t]; used < K) {
            // What the places that do not count got is shared out again where weights have a fixed sum.
            double all = 0, kept = 0;
            for (std::size_t k = 0; k < K; ++k) {
                all += w[k];
                kept += k < used ? w[k] : 0.0f;
            }
            const double factor = graph.normalises() && kept > 0 ? all / kept : 1.0;
            for (std::size_t k = 0; k < K; ++k) {
                w[k] = k < used ? static_cast<float>(w[k] * factor) : 0.0f;
            }
            changed = true;
        }
        for (std::size_t k = 0; change != nullptr && k < K; ++k) {
            if (change->is_zero(static_cast<std::size_t>(layer.ids[t * K + k]))) {
                w[k] = 0;
                changed = true;
            }
        }
    }
    if (changed) {
        ggml_backend_tensor_set(&weights, layer.weights.data(), 0, layer.weights.size() * sizeof(float));
    }
    layer.complete = true;
}

LayerDecision LlamaTap::decision(std::size_t index, std::size_t token) const {
    const Layer& layer = layers_[index];
    const auto K = static_cast<std::size_t>(graph_[index].chosen);
    LayerDecision one;
    one.layer = graph_[index].layer;
    one.margin = one.entropy = std::numeric_limits<float>::quiet_NaN();
    const auto ids = row(layer.ids, token, K).first(layer.used[token]);
    one.ids.assign(ids.begin(), ids.end());
    if (detail_ != Detail::ids) {
        const auto weights = row(layer.weights, token, K).first(layer.used[token]);
        one.weights.assign(weights.begin(), weights.end());
    }
    if (detail_ == Detail::scores) {
        put_scores(one, index, token);
    }
    return one;
}

void LlamaTap::put_scores(LayerDecision& one, std::size_t index, std::size_t token) const {
    const MoeGraph& graph = graph_[index];
    const Layer& layer = layers_[index];
    const auto E = static_cast<std::size_t>(graph.experts);
    const LayerChange* change = plan_->layer(graph.layer);
    const auto copy = [&](std::vector<float>& into, const std::vector<float>& from) {
        if (!from.empty()) {  // a router whose logits come from elsewhere has no node for them
            const auto values = row(from, token, E);
            into.assign(values.begin(), values.end());
        }
    };
    copy(one.logits, layer.logits);
    copy(one.selection, layer.selection);
    if (graph.scoring == "softmax_after_top_k") {
        one.scores = softmax(row(layer.probs, token, E));
    } else {
        copy(one.scores, layer.probs);
    }
    add_bias(one.selection, change);
    if (!layer.groups.empty() && (change == nullptr || !change->of_choice())) {
        const auto groups = row(layer.groups, token, static_cast<std::size_t>(graph.groups_kept));
        one.groups_kept.assign(groups.begin(), groups.end());
    }
    complete(one, rule_, change, layer.by_scores[token] && graph.has(MoeNode::argsort));
}

void LlamaTap::take(std::vector<std::vector<LayerDecision>>& decisions) {
    if (problem_ != nullptr) {
        std::rethrow_exception(problem_);
    }
    decisions.assign(tokens_, {});
    for (std::size_t index = 0; index < graph_.size(); ++index) {
        if (!layers_[index].complete) {
            throw Error(say("libllama left out layer {}; its routing cannot be seen", graph_[index].layer));
        }
        for (std::size_t token = 0; token < tokens_; ++token) {
            decisions[token].push_back(decision(index, token));
        }
    }
}

}  // namespace moescope::engine
