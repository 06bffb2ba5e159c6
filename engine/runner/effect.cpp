#include "engine/runner/effect.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "engine/error.hpp"
#include "engine/runner/distributions.hpp"
#include "engine/runner/routed_model.hpp"
#include "engine/runner/routed_tokens.hpp"
#include "engine/runner/side_by_side.hpp"
#include "routing/random_controls.hpp"

namespace moescope::engine {
namespace {

constexpr std::size_t kMostFloats = std::size_t{1} << 28;  // 1 GiB of logits

using Tokens = std::span<const std::int32_t>;

/// Counts tokens of all readings, whichever thread reads them.
class Progress {
 public:
    Progress(const EffectWatch& watch, std::uint64_t total) : watch_(watch), total_(total) {}
    void step() {
        if (watch_.progress) {
            const std::lock_guard lock(mutex_);
            watch_.progress(++done_, total_);
        }
    }

 private:
    const EffectWatch& watch_;
    const std::uint64_t total_;
    std::mutex mutex_;
    std::uint64_t done_ = 0;
};

struct Untouched {
    std::vector<float> logits;                            ///< [T][V]
    std::vector<double> sums;                             ///< [T], log sum exp of the logits
    std::vector<std::vector<routing::LayerDecision>> of;  ///< [T], ids alone
};

std::vector<routing::LayerDecision> ids_alone(const std::vector<routing::LayerDecision>& layers) {
    std::vector<routing::LayerDecision> ids(layers.size());
    for (std::size_t i = 0; i < layers.size(); ++i) {
        ids[i].layer = layers[i].layer;
        ids[i].ids = layers[i].ids;
    }
    return ids;
}

/// Compares a reading with the untouched one, token by token.
class Compared {
 public:
    Compared(const Untouched& untouched, const EffectRequest& request)
        : untouched_(untouched), text_(request.tokens), next_(request.changed.next) {}

    void add(std::size_t at, std::span<const float> logits) {
        const std::size_t V = logits.size();
        const std::span<const float> before(untouched_.logits.data() + at * V, V);
        const double sum = log_sum(logits), sum_before = untouched_.sums[at];
        shares_.resize(V);
        for (std::size_t v = 0; v < V; ++v) {
            shares_[v] = static_cast<float>(std::exp(before[v] - sum_before));
        }
        kl.push_back(divergence(shares_.data(), before.data(), sum_before, logits, sum));
        if (const auto follows = at + 1 < text_.size() ? text_[at + 1] : next_) {
            const auto next = static_cast<std::size_t>(*follows);
            log_probability.push_back((logits[next] - sum) - (before[next] - sum_before));
        }
    }
    base::Interval mean_kl() const { return base::of_positive_mean(kl); }
    base::Interval mean_loss() const {
        std::vector<double> losses = log_probability;
        for (double& one : losses) {
            one = -one;
        }
        return base::of_mean(losses);
    }

    std::vector<double> kl, log_probability;

 private:
    const Untouched& untouched_;
    const Tokens text_;
    const std::optional<std::int32_t> next_;  ///< after the last of the text
    std::vector<float> shares_;
};

bool read_untouched(LanguageModel& model, const EffectRequest& request, const EffectWatch& watch, Progress& progress,
                    const std::atomic<bool>& cancel, Untouched& out) {
    RoutedModel& routed = model.routed({request.changed.detail, {}});
    out.logits.reserve(request.tokens.size() * static_cast<std::size_t>(routed.vocabulary()));
    return read_decisions(model, routed, request.tokens, request.changed.next, cancel,
                          [&](routing::TokenDecisions& token, std::span<const float> logits) {
                              out.logits.insert(out.logits.end(), logits.begin(), logits.end());
                              out.sums.push_back(log_sum(logits));
                              out.of.push_back(ids_alone(token.layers));
                              if (watch.untouched) {
                                  watch.untouched(token);
                              }
                              progress.step();
                          });
}

/// Slots of each layer, and those whose expert is gone.
struct Slots {
    int layer = 0;
    std::uint64_t all = 0, flipped = 0;
};

/// Whether the changed decision is another one: other experts, or a chosen one whose weight is set to zero.
bool is_altered(const std::vector<std::int32_t>& before, const std::vector<std::int32_t>& after,
                const routing::LayerChange* change) {
    const bool zeroed = change != nullptr && std::any_of(after.begin(), after.end(), [&](std::int32_t id) {
                            return change->is_zero(static_cast<std::size_t>(id));
                        });
    return zeroed || !std::is_permutation(before.begin(), before.end(), after.begin(), after.end());
}

void count_flips(const std::vector<routing::LayerDecision>& before, const std::vector<routing::LayerDecision>& after,
                 const routing::InterventionPlan& plan, std::vector<Slots>& slots, EffectResult& result) {
    for (std::size_t i = 0, j = 0; i < before.size(); ++i) {
        while (j < after.size() && after[j].layer < before[i].layer) {
            ++j;
        }
        if (j == after.size() || after[j].layer != before[i].layer) {
            continue;
        }
        const auto of_layer =
            std::find_if(slots.begin(), slots.end(), [&](const Slots& one) { return one.layer == before[i].layer; });
        const auto& left = after[j].ids;
        ++result.decisions;
        result.altered += is_altered(before[i].ids, left, plan.layer(before[i].layer)) ? 1 : 0;
        for (const std::int32_t id : before[i].ids) {
            ++of_layer->all;
            of_layer->flipped += std::find(left.begin(), left.end(), id) == left.end() ? 1 : 0;
        }
    }
}

bool read_changed(LanguageModel& model, const EffectRequest& request, const EffectWatch& watch, Progress& progress,
                  const std::atomic<bool>& cancel, const Untouched& untouched, EffectResult& result) {
    RoutedModel& routed = model.routed(request.changed);
    Compared compared(untouched, request);
    std::vector<Slots> slots;
    for (const int layer : routed.spec().routed_layers) {
        slots.push_back({layer, 0, 0});
    }
    std::size_t at = 0;
    const bool done = read_decisions(model, routed, request.tokens, request.changed.next, cancel,
                                     [&](routing::TokenDecisions& token, std::span<const float> logits) {
                                         compared.add(at, logits);
                                         count_flips(untouched.of[at++], token.layers, routed.plan(), slots, result);
                                         if (watch.changed) {
                                             watch.changed(token);
                                         }
                                         progress.step();
                                     });
    result.mean_kl = compared.mean_kl();
    result.mean_loss = compared.mean_loss();
    result.kl = std::move(compared.kl);
    result.log_probability = std::move(compared.log_probability);
    for (const Slots& one : slots) {
        result.shift.push_back(
            {one.layer, one.all > 0 ? static_cast<double>(one.flipped) / static_cast<double>(one.all) : 0.0});
    }
    return done;
}

/// False when it was cancelled. Throws Error.
bool read_controls(const std::vector<std::unique_ptr<RoutedModel>>& copies, const Untouched& untouched,
                   const EffectRequest& request, Progress& progress, const std::atomic<bool>& cancel,
                   std::vector<EffectResult::Control>& controls) {
    return side_by_side(copies, controls.size(), cancel, [&](RoutedModel& model, std::size_t i) {
        EffectResult::Control& control = controls[i];
        model.watch(routing::Detail::ids, control.changes);
        Compared compared(untouched, request);
        read_text(model, request.tokens, cancel, [&](std::size_t at, std::span<const float> logits, const auto&) {
            compared.add(at, logits);
            progress.step();
        });
        control.mean_kl = compared.mean_kl().estimate;
        control.mean_loss = compared.mean_loss().estimate;
    });
}

void sum_up_controls(EffectResult& result) {
    std::vector<double> kl, loss;
    for (const EffectResult::Control& control : result.controls) {
        kl.push_back(control.mean_kl);
        loss.push_back(control.mean_loss);
    }
    result.control_kl = base::of_positive_mean(kl);
    result.control_loss = base::of_mean(loss);
    if (!kl.empty()) {
        const routing::ControlRank among = routing::rank_among(result.mean_kl.estimate, kl);
        result.rank = among.rank;
        result.ties = among.ties;
    }
}

/// What is done to which expert, with every layer by itself and in an order of its own: two that say the same are the
/// same change. What names no expert is the same in all controls and left out but for all experts of a layer.
using Sameness = std::vector<std::tuple<int, int, int, float>>;

Sameness sameness_of(const routing::Interventions& changes, const routing::RouterSpec& spec) {
    Sameness same;
    const auto add = [&](int kind, const routing::ExpertPlace& place, float value) {
        const std::vector<int> one{place.layer};
        for (const int layer : place.layer == routing::kEvery ? spec.routed_layers : one) {
            same.emplace_back(kind, layer, place.expert, value);
        }
    };
    for (const auto& place : changes.knocked_out) {
        add(0, place, 0);
    }
    for (const auto& place : changes.forced) {
        add(1, place, 0);
    }
    for (const auto& place : changes.zeroed) {
        add(2, place, 0);
    }
    for (const auto& bias : changes.biases) {
        add(3, bias.place, bias.value);
    }
    std::sort(same.begin(), same.end());
    return same;
}

/// At most `count`, each another one and none the change itself: one that counts twice would make the rank among them
/// say more than was measured. Throws Error as random_controls.
std::vector<routing::Interventions> different_controls(const routing::Interventions& changes,
                                                       const routing::RouterSpec& spec, int count, std::uint64_t seed) {
    constexpr int kMostDraws = 64;  // for each: then it's next to certain that one that is missing does not exist
    const auto wanted = static_cast<std::size_t>(std::max(count, 0));
    std::vector<routing::Interventions> controls;
    std::set<Sameness> known{sameness_of(changes, spec)};
    std::size_t seen = 0;
    for (int draws = 1; draws <= kMostDraws && controls.size() < wanted; draws *= 4) {
        std::vector<routing::Interventions> drawn;
        try {
            drawn = routing::random_controls(changes, spec, count * draws, seed);  // begins with those of the last time
        } catch (const base::Error&) {
            if (controls.empty()) {
                throw;
            }
            break;
        }
        for (; seen < drawn.size() && controls.size() < wanted; ++seen) {
            if (known.insert(sameness_of(drawn[seen], spec)).second) {
                controls.push_back(std::move(drawn[seen]));
            }
        }
    }
    return controls;
}

void check(const EffectRequest& request, LanguageModel& model) {
    if (request.changed.interventions.empty()) {
        throw Error(say("nothing is changed in the routers, so there is no effect to measure"));
    }
    RoutedModel& routed = model.routed(request.changed);  // refuses what does not fit the router
    check_text(routed, request.tokens, request.changed.next);
    const std::size_t tokens = request.tokens.size(), vocabulary = static_cast<std::size_t>(routed.vocabulary());
    if (tokens < 2 && !request.changed.next) {
        throw Error(say("a text of one token has no next token to compare; give a longer one"));
    }
    if (tokens > kMostFloats / vocabulary) {
        throw Error(
            say("the distributions of {} tokens over a vocabulary of {} take too much memory; take a text of {} "
                "tokens at most",
                tokens, vocabulary, kMostFloats / vocabulary));
    }
}

}  // namespace

EffectResult measure_effect(LanguageModel& model, const EffectRequest& request, const EffectWatch& watch,
                            const std::atomic<bool>& cancel) {
    check(request, model);
    EffectResult result;
    for (routing::Interventions& changes :
         different_controls(request.changed.interventions, model.router_spec(), request.controls, request.seed)) {
        result.controls.push_back({std::move(changes), 0, 0});
    }
    const std::size_t tokens = request.tokens.size();
    Progress progress(watch, tokens * (2 + result.controls.size()));
    Untouched untouched;
    if (!read_untouched(model, request, watch, progress, cancel, untouched) ||
        !read_changed(model, request, watch, progress, cancel, untouched, result)) {
        return {};
    }
    if (!result.controls.empty()) {
        const auto copies = model.routed_copies(static_cast<int>(result.controls.size()), static_cast<int>(tokens));
        if (!read_controls(copies, untouched, request, progress, cancel, result.controls)) {
            return {};
        }
    }
    sum_up_controls(result);
    result.complete = true;
    return result;
}

}  // namespace moescope::engine
