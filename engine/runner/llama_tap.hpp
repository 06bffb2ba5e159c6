// Sees and changes what libllama's MoE block computes, between the nodes of its graph. The nodes are those of
// llm_graph_context::build_moe_ffn (llama.cpp), named "ffn_moe_<what>-<layer>".
//
// Changes are made in two places only. The choice: other ids are written into `topk`, chosen by our own rule from the
// scores that the graph chose by; its own weights are then gathered for them, from scores that nobody touched. (An edit
// of the scores would change the weights wherever they are made of the same tensor: softmax without a bias.) The
// weights: those of places that are not used, and of experts that are set to zero, in the last node that holds them.
//
// What has to be known of libllama: `topk` is a view of `argsort`, so its rows are n_expert apart; with a softmax after
// the choice `logits_biased` is renamed to `probs`; of the several nodes with weights the last that is there is
// applied; memory of a node may be used again once its last reader has run, so data is copied when it is shown; a
// callback that answers false does not stop anything but leaves old logits behind, so this one never does.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "routing/choice.hpp"
#include "routing/decision.hpp"
#include "routing/intervention_plan.hpp"

struct ggml_tensor;

namespace moescope::engine {

/// In the order of the graph.
enum class MoeNode {
    logits,
    logits_biased,
    probs,
    probs_biased,
    group_topk,
    argsort,
    topk,
    weights,
    weights_softmax,
    weights_norm,
    weights_scaled
};
inline constexpr std::size_t kMoeNodes = 11;

/// How one layer routes, as the nodes of its graph tell.
struct MoeGraph {
    int layer = 0;
    int experts = 0, chosen = 0, groups_kept = 0;
    std::string scoring;                 ///< as RouterSpec has it; empty: none that is known
    float scale = 1;                     ///< of the applied weights
    MoeNode selection = MoeNode::probs;  ///< what the choice is by, before groups are masked
    std::array<int, kMoeNodes> nodes{};  ///< how many of each

    bool has(MoeNode node) const { return nodes[static_cast<std::size_t>(node)] > 0; }
    /// The block stands more than once in a layer (GroveMoE): nodes cannot be told apart.
    bool twice() const { return nodes[static_cast<std::size_t>(MoeNode::topk)] > 1; }
    /// The node with the logits of the router, its bias included.
    MoeNode logits() const;
    MoeNode last_weights() const;
    bool normalises() const { return has(MoeNode::weights_norm) || has(MoeNode::weights_softmax); }
};

/// The callback of one context. Not thread safe. The context must not outlive it.
class LlamaTap {
 public:
    /// cb_eval; `tap` is a LlamaTap. Never throws and never answers false to data.
    static bool evaluate(ggml_tensor* node, bool ask, void* tap);

    /// Of the next batch only the structure is looked at, as long as no other function is called.
    void learn();
    /// Layers with a router, ascending; after a batch with learn().
    const std::vector<MoeGraph>& graph() const { return graph_; }
    /// Asks for nothing at all from now on.
    void rest() { mode_ = Mode::rest; }
    /// What is wanted and changed from now on. `plan` outlives the use.
    void watch(routing::Detail detail, const routing::InterventionPlan& plan, const routing::ChoiceRule& rule);
    /// Before each batch: its first position in the text, and its tokens, of which all give logits.
    void begin(int first_position, std::size_t tokens);
    /// After it: the decisions of every token. Throws what happened in the callback, and Error when the graph was
    /// another than learned.
    void take(std::vector<std::vector<routing::LayerDecision>>& decisions);

 private:
    enum class Mode { rest, learn, watch };
    /// What one layer showed in the current batch; T tokens, K chosen.
    struct Layer {
        std::vector<float> logits, probs, selection, weights;  ///< [T][E], weights [T][K]
        std::vector<std::int32_t> ids, groups;                 ///< [T][K], [T][groups kept]
        std::vector<std::size_t> used;                         ///< [T], places of K that count
        std::vector<bool> by_scores;                           ///< [T]
        ggml_tensor* topk = nullptr;
        bool complete = false;
    };

    void note(MoeNode kind, int layer, const ggml_tensor& node);
    std::size_t index_of(int layer) const;  ///< in graph_; its size when it is not there
    bool wants(MoeNode kind, std::size_t index) const;
    bool changes_choice(std::size_t index) const;
    void show(MoeNode kind, std::size_t index, ggml_tensor& node);
    void change_choice(std::size_t index, ggml_tensor& topk);
    void change_weights(std::size_t index, ggml_tensor& weights);
    routing::LayerDecision decision(std::size_t index, std::size_t token) const;
    void put_scores(routing::LayerDecision& decision, std::size_t index, std::size_t token) const;

    Mode mode_ = Mode::rest;
    std::vector<MoeGraph> graph_;
    routing::Detail detail_ = routing::Detail::ids;
    const routing::InterventionPlan* plan_ = nullptr;
    routing::ChoiceRule rule_;
    int first_ = 0;
    std::size_t tokens_ = 0;
    std::vector<Layer> layers_;  ///< as graph_
    std::exception_ptr problem_;
};

}  // namespace moescope::engine
