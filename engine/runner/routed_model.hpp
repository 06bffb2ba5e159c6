// A model whose routers are watched, and changed: what libllama's tapped context and our own decoder have in common.
#pragma once

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

}  // namespace moescope::engine
