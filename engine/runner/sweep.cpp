#include "engine/runner/sweep.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>

#include "engine/error.hpp"
#include "engine/runner/distributions.hpp"
#include "engine/runner/routed_model.hpp"
#include "engine/runner/side_by_side.hpp"

namespace moescope::engine {
namespace {

constexpr std::size_t kMostFloats = std::size_t{1} << 28;  // 1 GiB: probabilities and logits of one text

using Tokens = std::span<const std::int32_t>;

/// The untouched model on one text.
struct Untouched {
    std::vector<float> logits, shares;  ///< [T][V]; shares: softmax of the logits
    std::vector<double> sums;           ///< [T], log sum exp of the logits
    std::vector<std::uint64_t> uses;    ///< [E], tokens that chose the expert
    double loss = 0;                    ///< mean of -log p(next)
};

/// As log p of a text's tokens from the second on; the last has no successor.
double mean_loss(double sum_of_logs, Tokens text) {
    return -sum_of_logs / static_cast<double>(text.size() - 1);
}

bool read_untouched(RoutedModel& model, int layer, Tokens text, const std::atomic<bool>& cancel, Untouched& out) {
    const auto V = static_cast<std::size_t>(model.vocabulary());
    out = {};
    out.uses.assign(static_cast<std::size_t>(model.spec().experts), 0);
    out.logits.reserve(text.size() * V);
    out.shares.reserve(text.size() * V);
    double log_probabilities = 0;
    const bool done =
        read_text(model, text, cancel, [&](std::size_t t, std::span<const float> logits, const auto& layers) {
            const double sum = log_sum(logits);
            out.sums.push_back(sum);
            out.logits.insert(out.logits.end(), logits.begin(), logits.end());
            for (const float logit : logits) {
                out.shares.push_back(static_cast<float>(std::exp(logit - sum)));
            }
            if (t + 1 < text.size()) {
                log_probabilities += logits[static_cast<std::size_t>(text[t + 1])] - sum;
            }
            for (const routing::LayerDecision& one : layers) {
                for (std::size_t i = 0; one.layer == layer && i < one.ids.size(); ++i) {
                    ++out.uses[static_cast<std::size_t>(one.ids[i])];
                }
            }
        });
    out.loss = mean_loss(log_probabilities, text);
    return done;
}

struct Effect {
    double kl = 0, loss = 0;
};

bool read_changed(RoutedModel& model, Tokens text, const std::atomic<bool>& cancel, const Untouched& untouched,
                  Effect& effect) {
    const auto V = static_cast<std::size_t>(model.vocabulary());
    double kl = 0, log_probabilities = 0;
    const bool done = read_text(model, text, cancel, [&](std::size_t t, std::span<const float> logits, const auto&) {
        const double sum = log_sum(logits);
        kl += divergence(untouched.shares.data() + t * V, untouched.logits.data() + t * V, untouched.sums[t], logits,
                         sum);
        if (t + 1 < text.size()) {
            log_probabilities += logits[static_cast<std::size_t>(text[t + 1])] - sum;
        }
    });
    effect.kl = kl / static_cast<double>(text.size());
    effect.loss = mean_loss(log_probabilities, text) - untouched.loss;
    return done;
}

/// Experts of the layer that are never chosen.
std::set<std::size_t> disabled_in(const routing::RouterSpec& spec, int layer) {
    std::set<std::size_t> experts;
    for (const auto& [of_layer, expert] : spec.disabled) {
        if (of_layer == layer) {
            experts.insert(static_cast<std::size_t>(expert));
        }
    }
    return experts;
}

void check(const SweepRequest& request, const routing::RouterSpec& spec, const ModelInfo& info) {
    if (!std::binary_search(spec.routed_layers.begin(), spec.routed_layers.end(), request.layer)) {
        throw Error(say("layer {} of {} has no router; those with one are {} to {}", request.layer, spec.model,
                        spec.routed_layers.front(), spec.routed_layers.back()));
    }
    const int enabled = spec.experts - static_cast<int>(disabled_in(spec, request.layer).size());
    if (enabled < spec.experts && enabled <= spec.experts_per_token) {
        throw Error(say("layer {} of {} chooses all of its {} enabled experts; none can be knocked out alone",
                        request.layer, spec.model, enabled));
    }
    if (spec.experts <= spec.experts_per_token || spec.experts < 2) {
        throw Error(say("{} chooses all of its {} experts; none can be knocked out alone", spec.model, spec.experts));
    }
    if (request.texts.empty()) {
        throw Error(say("there is no text to measure with"));
    }
    for (std::size_t i = 0; i < request.texts.size(); ++i) {
        const std::size_t length = request.texts[i].size(), most = static_cast<std::size_t>(info.context);
        if (length < 2 || length > most) {
            throw Error(say("text {} has {} tokens; it takes 2 to {}", i + 1, length, most));
        }
        if (2 * length > kMostFloats / static_cast<std::size_t>(info.vocabulary)) {
            throw Error(
                say("text {} has {} tokens, whose distributions over {} tokens take too much memory; shorten it", i + 1,
                    length, info.vocabulary));
        }
        for (const std::int32_t token : request.texts[i]) {
            if (token < 0 || token >= info.vocabulary) {
                throw Error(say("the token {} is not in this model's vocabulary of {}", token, info.vocabulary));
            }
        }
    }
}

/// Means over the texts, of those that are not disabled; effects [E][texts].
std::vector<ExpertEffect> summed_up(const std::vector<std::vector<Effect>>& effects,
                                    const std::vector<std::uint64_t>& uses, const std::set<std::size_t>& disabled) {
    std::vector<ExpertEffect> experts;
    const std::size_t E = effects.size(), N = effects[0].size();
    const auto others = static_cast<double>(E - disabled.size() - 1);
    for (std::size_t e = 0; e < E; ++e) {
        if (disabled.contains(e)) {
            continue;
        }
        std::vector<double> kl(N), loss(N), control_kl(N), control_loss(N), above_kl(N), above_loss(N);
        for (std::size_t n = 0; n < N; ++n) {
            kl[n] = effects[e][n].kl;
            loss[n] = effects[e][n].loss;
            for (std::size_t other = 0; other < E; ++other) {
                control_kl[n] += other == e ? 0.0 : effects[other][n].kl / others;
                control_loss[n] += other == e ? 0.0 : effects[other][n].loss / others;
            }
            above_kl[n] = kl[n] - control_kl[n];
            above_loss[n] = loss[n] - control_loss[n];
        }
        ExpertEffect one;
        one.expert = static_cast<int>(e);
        one.tokens = uses[e];
        one.kl = base::of_positive_mean(kl);
        one.loss = base::of_mean(loss);
        one.control_kl = base::of_positive_mean(control_kl);
        one.control_loss = base::of_mean(control_loss);
        one.above_kl = base::of_mean(above_kl);
        one.above_loss = base::of_mean(above_loss);
        experts.push_back(one);
    }
    return experts;
}

/// One text with each expert of a layer knocked out. False when it was cancelled. Throws Error.
bool sweep_text(const std::vector<std::unique_ptr<RoutedModel>>& copies, int layer, Tokens text,
                const std::function<void()>& on_progress, const std::atomic<bool>& cancel, Untouched& untouched,
                std::vector<Effect>& effects) {
    RoutedModel& first = *copies.front();
    first.watch(routing::Detail::ids, {});
    if (!read_untouched(first, layer, text, cancel, untouched)) {
        return false;
    }
    effects.assign(untouched.uses.size(), {});
    std::mutex mutex;
    return side_by_side(copies, effects.size(), cancel, [&](RoutedModel& model, std::size_t e) {
        // Nobody misses an expert that was not chosen, unless it counts for its group.
        if (untouched.uses[e] > 0 || model.spec().groups > 1) {
            routing::Interventions out;
            out.knocked_out = {{layer, static_cast<int>(e)}};
            model.watch(routing::Detail::ids, out);
            if (!read_changed(model, text, cancel, untouched, effects[e])) {
                return;
            }
        }
        const std::lock_guard lock(mutex);
        on_progress();
    });
}

}  // namespace

SweepResult sweep_layer(LanguageModel& model, const SweepRequest& request,
                        const std::function<void(std::uint64_t, std::uint64_t)>& on_progress,
                        const std::atomic<bool>& cancel) {
    const routing::RouterSpec spec = model.router_spec();
    check(request, spec, model.info());
    std::size_t longest = 0;
    for (const auto& text : request.texts) {
        longest = std::max(longest, text.size());
    }
    const auto E = static_cast<std::size_t>(spec.experts);
    const auto copies = model.routed_copies(spec.experts, static_cast<int>(longest));
    std::vector<std::vector<Effect>> effects(E);
    std::vector<std::uint64_t> uses(E, 0);
    std::vector<double> losses;
    std::uint64_t done = 0, tokens = 0;
    const std::function<void()> progressed = [&] { on_progress(++done, E * request.texts.size()); };
    for (const auto& text : request.texts) {  // one after the other: the distributions of one are in memory
        Untouched untouched;
        std::vector<Effect> of_text;
        if (!sweep_text(copies, request.layer, text, progressed, cancel, untouched, of_text)) {
            return {};
        }
        losses.push_back(untouched.loss);
        tokens += text.size();
        for (std::size_t e = 0; e < E; ++e) {
            effects[e].push_back(of_text[e]);
            uses[e] += untouched.uses[e];
        }
    }
    return {true, request.texts.size(), tokens, base::of_mean(losses),
            summed_up(effects, uses, disabled_in(spec, request.layer))};
}

}  // namespace moescope::engine
