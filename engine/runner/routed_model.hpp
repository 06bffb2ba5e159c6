// A model whose routers are watched, and changed: what libllama's tapped context and our own decoder have in common.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "routing/decision.hpp"
#include "routing/intervention_plan.hpp"

namespace moescope::engine {

class RoutedModel {
 public:
    virtual ~RoutedModel() = default;
    virtual const routing::RouterSpec& spec() const = 0;
    /// What is watched and changed from now on. Throws Error when an intervention does not fit the router, and leaves
    /// things as they are.
    virtual void watch(routing::Detail detail, const routing::Interventions& interventions) = 0;
    virtual const routing::InterventionPlan& plan() const = 0;
    virtual int context_length() const = 0;
    virtual int vocabulary() const = 0;
    /// Tokens that feed() takes at once.
    virtual int most_tokens() const = 0;
    /// Forgets all tokens.
    virtual void restart() = 0;
    /// Appends 1 to most_tokens() tokens. Gives the logits of each, [tokens.size()][V], and puts what its routers
    /// decided into `decisions` [tokens.size()], layers ascending; both until the next call. Nothing when `cancel`
    /// turned true meanwhile. Throws Error.
    virtual std::span<const float> feed(std::span<const std::int32_t> tokens,
                                        std::vector<std::vector<routing::LayerDecision>>& decisions,
                                        const std::atomic<bool>& cancel) = 0;
};

/// Appends tokens block by block: before(i), i the first of a block, while the logits of the block before still stand,
/// then look(i, logits [V], layers) for each of its tokens, where `layers` may be taken. False when `cancel` turned
/// true meanwhile. Throws Error.
template <class Before, class Look>
bool read_on(RoutedModel& model, std::span<const std::int32_t> tokens, const std::atomic<bool>& cancel,
             const Before& before, const Look& look) {
    const auto step = static_cast<std::size_t>(model.most_tokens()), V = static_cast<std::size_t>(model.vocabulary());
    std::vector<std::vector<routing::LayerDecision>> layers;
    for (std::size_t start = 0; start < tokens.size(); start += step) {
        const auto part = tokens.subspan(start, std::min(step, tokens.size() - start));
        before(start);
        const std::span<const float> logits = cancel ? std::span<const float>() : model.feed(part, layers, cancel);
        if (logits.empty()) {
            return false;
        }
        for (std::size_t i = 0; i < part.size(); ++i) {
            look(start + i, logits.subspan(i * V, V), layers[i]);
        }
    }
    return true;
}

/// The same for a text from its beginning.
template <class Look>
bool read_text(RoutedModel& model, std::span<const std::int32_t> text, const std::atomic<bool>& cancel,
               const Look& look) {
    model.restart();
    return read_on(
        model, text, cancel, [](std::size_t /*first*/) {}, look);
}

}  // namespace moescope::engine
