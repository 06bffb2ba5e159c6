// What a set of changes to the routers does to a text: the model is read untouched and changed, and then with changes
// at random of equal size. The same for every kind of model.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/intervals.hpp"
#include "engine/runner/language_model.hpp"

namespace moescope::engine {

struct EffectRequest {
    std::vector<std::int32_t> tokens;  ///< T, at least two with the one that follows them
    RouteRequest changed;              ///< what is changed, and what of either reading is told
    int controls = 8;                  ///< at most; as many as there are different ones
    std::uint64_t seed = 1;            ///< of the controls
};

/// Who watches; each may be empty. One call at a time.
struct EffectWatch {
    OnDecisions untouched, changed;  ///< all tokens of the one, then all of the other
    /// Tokens read so far, and in all readings together. On any thread.
    std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

/// Nats.
struct EffectResult {
    bool complete = false;  ///< false: cancelled, and the rest is empty
    /// KL(untouched || changed) of the distribution of the token after each, [T].
    std::vector<double> kl;
    /// log p(next token) changed minus untouched, [T-1]; [T] when it is known what follows the text.
    std::vector<double> log_probability;
    /// Means over tokens with Student's interval; loss: change of -log p(next token), above 0 is worse. Neighbouring
    /// tokens are alike, so that the intervals are rather too narrow.
    base::Interval mean_kl, mean_loss;
    struct Shift {
        int layer = 0;
        double changed = 0;  ///< share of slots (token, rank) whose expert is not chosen any more
    };
    std::vector<Shift> shift;  ///< of every routed layer
    /// Decisions (a token in a layer) of the text, and those of them with other experts than untouched, or with an
    /// expert whose weight is set to zero: by the change, or because what it changed is read by later layers.
    std::uint64_t decisions = 0, altered = 0;
    struct Control {
        routing::Interventions changes;
        double mean_kl = 0, mean_loss = 0;
    };
    /// See routing/random_controls.hpp; each another one, and none the change itself. Fewer than were asked for where
    /// the layers have no more (one expert of 16 has 15), none when the changes name no expert. The first of a seed
    /// are the same however many are asked for.
    std::vector<Control> controls;
    base::Interval control_kl, control_loss;  ///< over controls; NaN without any
    /// By KL, see routing::ControlRank; both 0 without controls.
    std::size_t rank = 0, ties = 0;
};

/// Throws Error: no router, changes that change nothing or don't fit it, tokens as for LanguageModel::route, no memory
/// for the untouched distributions.
EffectResult measure_effect(LanguageModel& model, const EffectRequest& request, const EffectWatch& watch,
                            const std::atomic<bool>& cancel);

}  // namespace moescope::engine
