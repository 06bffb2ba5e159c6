// What each expert of a layer does: every one is knocked out alone, over a set of texts, and the model compared with
// itself. The same for every kind of model.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/intervals.hpp"
#include "engine/runner/language_model.hpp"

namespace moescope::engine {

struct SweepRequest {
    int layer = 0;
    std::vector<std::vector<std::int32_t>> texts;  ///< tokens; at least two each
};

/// One expert knocked out. Its effect on a text is a mean over its tokens, and each figure below a mean over texts with
/// Student's interval. Nats.
struct ExpertEffect {
    int expert = 0;
    std::uint64_t tokens = 0;  ///< that it was chosen for in the untouched model
    /// KL(untouched || changed) of the distribution of the next token; 0: nothing changed.
    base::Interval kl;
    base::Interval loss;  ///< change of -log p(next token); above 0: worse
    /// Its control of equal size, one expert of the layer that is drawn at random among the others: the mean over all
    /// draws, as every one of them is computed here anyway.
    base::Interval control_kl, control_loss;
    /// The two subtracted text by text: an effect whose interval holds 0 can't be told from that of any other expert.
    base::Interval above_kl, above_loss;
};

struct SweepResult {
    bool complete = false;  ///< false: cancelled, and the rest is empty
    std::uint64_t texts = 0, tokens = 0;
    base::Interval loss;                ///< of the untouched model, per text
    std::vector<ExpertEffect> experts;  ///< without those that are disabled in the model
};

/// `on_progress(done, total)` after each text with one expert knocked out: one call at a time, on any thread. Experts
/// are computed side by side, as many as the model has threads. Throws Error: no router in the layer, fewer than two
/// experts that could be told apart, no text, texts too short or too long, no memory for the untouched distributions.
SweepResult sweep_layer(LanguageModel& model, const SweepRequest& request,
                        const std::function<void(std::uint64_t, std::uint64_t)>& on_progress,
                        const std::atomic<bool>& cancel);

}  // namespace moescope::engine
