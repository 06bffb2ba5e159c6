#include "engine/runner/own_routing.hpp"

#include <algorithm>
#include <limits>

#include "engine/error.hpp"
#include "engine/generate/owned_decoder.hpp"
#include "kernels/cpu/parallel.hpp"
#include "routing/choice.hpp"

namespace moescope::engine {
namespace {

using routing::Detail;
using routing::LayerChange;
using routing::LayerDecision;

class OwnRouting final : public RoutedModel, private RouterTap {
 public:
    /// `placed`: the decoder's, where that is another device than the processor; else null.
    OwnRouting(const ModelConfig& config, routing::RouterSpec spec, int threads, OwnedDecoder decoder,
               std::shared_ptr<const PlacedModel> placed)
        : spec_(std::move(spec)),
          plan_({}, spec_),
          rule_(choice_rule(spec_)),
          by_logits_(kernels::formulas_of(config.router_scoring).of_logits),
          threads_(threads > 0 ? threads : kernels::hardware_workers()),
          vocabulary_(config.vocabulary),
          placed_(std::move(placed)),
          decoder_(std::move(decoder)) {
        decoder_->set_tap(this);
    }
    OwnRouting(const OwnRouting&) = delete;  // the decoder knows its address
    OwnRouting& operator=(const OwnRouting&) = delete;

    const routing::RouterSpec& spec() const override { return spec_; }
    void watch(Detail detail, const routing::Interventions& interventions) override {
        plan_ = routing::InterventionPlan(interventions, spec_);
        detail_ = detail;
    }
    const routing::InterventionPlan& plan() const override { return plan_; }
    int context_length() const override { return decoder_->context(); }
    int vocabulary() const override { return vocabulary_; }
    int most_tokens() const override { return decoder_->most_rows(); }
    void restart() override { decoder_->reset(); }
    std::span<const float> feed(std::span<const std::int32_t> tokens,
                                std::vector<std::vector<LayerDecision>>& decisions,
                                const std::atomic<bool>& cancel) override {
        if (cancel) {
            return {};
        }
        if (placed_ != nullptr) {
            placed_->ops().enter();
        } else {
            kernels::set_workers(threads_);
        }
        decisions.assign(tokens.size(), {});
        decisions_ = &decisions;
        const std::span<const float> logits = decoder_->read_each(0, tokens);
        decisions_ = nullptr;
        return logits;
    }

 private:
    bool choose(const RoutedRow& row) override {
        const LayerChange* change = plan_.layer(row.layer);
        const bool in_replay = plan_.replayed_places(row.position, row.layer) > 0;
        if (in_replay || detail_ == Detail::scores || (change != nullptr && change->of_choice())) {
            read_selection(row, change);
        }
        std::vector<std::int32_t> ids;
        if (in_replay) {
            ids = take_replayed(plan_, row.position, row.layer,
                                row.by_token ? std::span<const float>() : std::span<const float>(selection_), rule_);
        }
        replayed_ = !ids.empty();
        if (!replayed_) {
            if (change == nullptr || !change->of_choice()) {
                return false;
            }
            ids = row.by_token ? change->left_of(row.ids_K) : routing::choose(selection_, rule_, change).ids;
        }
        std::fill(row.ids_K.begin(), row.ids_K.end(), -1);
        std::copy_n(ids.begin(), std::min(ids.size(), row.ids_K.size()), row.ids_K.begin());
        return true;
    }

    void weighed(const RoutedRow& row) override {
        const LayerChange* change = plan_.layer(row.layer);
        LayerDecision decision;
        decision.layer = row.layer;
        decision.margin = decision.entropy = std::numeric_limits<float>::quiet_NaN();
        for (std::size_t k = 0; k < row.ids_K.size(); ++k) {
            if (row.ids_K[k] < 0) {
                continue;
            }
            if (change != nullptr && change->is_zero(static_cast<std::size_t>(row.ids_K[k]))) {
                row.weights_K[k] = 0;
            }
            decision.ids.push_back(row.ids_K[k]);
            if (detail_ != Detail::ids) {
                decision.weights.push_back(row.weights_K[k]);
            }
        }
        if (detail_ == Detail::scores) {
            decision.logits.assign(row.z_E.begin(), row.z_E.end());
            decision.scores.assign(row.s_E.begin(), row.s_E.end());
            decision.selection = selection_;
            complete(decision, rule_, change, !replayed_ && !row.by_token);
        }
        (*decisions_)[static_cast<std::size_t>(row.row)].push_back(std::move(decision));
    }

    /// What the largest are taken of.
    void read_selection(const RoutedRow& row, const LayerChange* change) {
        const std::span<const float> from = by_logits_ ? row.z_E : row.s_E;
        selection_.assign(from.begin(), from.end());
        for (std::size_t e = 0; e < row.bias_E.size(); ++e) {
            selection_[e] += row.bias_E[e];
        }
        add_bias(selection_, change);
    }

    routing::RouterSpec spec_;
    routing::InterventionPlan plan_;
    routing::ChoiceRule rule_;
    Detail detail_ = Detail::weights;
    bool by_logits_ = false;  ///< the choice is by logits, not by scores
    int threads_ = 1, vocabulary_ = 0;
    std::shared_ptr<const PlacedModel> placed_;
    OwnedDecoder decoder_;
    std::vector<float> selection_;                                  ///< [E], of the row in progress
    bool replayed_ = false;                                         ///< the row in progress
    std::vector<std::vector<LayerDecision>>* decisions_ = nullptr;  ///< of the call in progress
};

/// Training looks at the whole batch where a decoder has one token at a time.
void put_doubts(const ModelConfig& config, routing::RouterSpec& spec) {
    switch (config.router_choice) {
        case Choice::token:
        case Choice::hash:
            break;
        case Choice::expert:
            spec.doubts.push_back(
                say("in training its experts choose their tokens from the whole batch; here every token chooses its {} "
                    "best experts, so that the routing differs from training",
                    config.experts_per_token));
            break;
        case Choice::sinkhorn:
        case Choice::quantile:
            spec.doubts.push_back(
                say("in training its router balances over the whole batch; here every token is routed by its scores "
                    "alone, so that the routing differs from training"));
            break;
    }
}

}  // namespace

routing::RouterSpec own_router_spec(const LoadedModel& model, std::string_view name, std::string_view architecture) {
    const ModelConfig& config = model.config.model;
    routing::RouterSpec spec;
    spec.model = name;
    spec.architecture = architecture;
    spec.layers = config.layers;
    spec.experts = config.experts;
    spec.experts_per_token = config.experts_per_token;
    spec.shared_experts = config.shared_experts;
    for (int layer = 0; layer < config.layers; ++layer) {
        if (model.layout.layers[static_cast<std::size_t>(layer)].has_experts()) {
            spec.routed_layers.push_back(layer);
            spec.hash_layers += layer < config.hash_layers || config.router_choice == Choice::hash ? 1 : 0;
        }
    }
    if (spec.routed_layers.empty()) {
        throw Error(say("{} has no experts: it is a dense model, and there is no routing to see", spec.model));
    }
    spec.scoring = kernels::kScoringNames[static_cast<std::size_t>(config.router_scoring)];
    spec.groups = config.router_groups;
    spec.groups_kept = config.router_groups_kept;
    if (spec.groups > 1) {
        spec.group_score = config.group_score == GroupScore::max ? "max" : "top2";
    }
    spec.selection_bias = config.selection_bias;
    spec.disabled = model.disabled;
    // A softmax of the chosen logits has the sum 1 by itself.
    spec.normalise = config.normalise_weights && !kernels::formulas_of(config.router_scoring).of_logits;
    spec.scale = config.router_scale;
    put_doubts(config, spec);
    return spec;
}

std::unique_ptr<RoutedModel> open_own_routing(std::shared_ptr<const LoadedModel> model, routing::RouterSpec spec,
                                              int context, int threads) {
    const ModelConfig& config = model->config.model;
    return std::make_unique<OwnRouting>(config, std::move(spec), threads, OwnedDecoder(model, 1, context), nullptr);
}

std::unique_ptr<RoutedModel> open_own_routing(std::shared_ptr<const PlacedModel> model, routing::RouterSpec spec,
                                              int context) {
    const ModelConfig& config = model->model().config.model;
    return std::make_unique<OwnRouting>(config, std::move(spec), 1, OwnedDecoder(model, 1, context), model);
}

}  // namespace moescope::engine
