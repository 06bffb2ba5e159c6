#include "routing/choice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace moescope::routing {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

/// Ids of `scores` with the largest first.
struct Better {
    std::span<const float> scores;
    bool operator()(std::int32_t a, std::int32_t b) const {
        const float x = scores[static_cast<std::size_t>(a)], y = scores[static_cast<std::size_t>(b)];
        if (std::isnan(x) || std::isnan(y)) {
            return std::isnan(x) == std::isnan(y) ? a < b : std::isnan(y);
        }
        return x != y ? x > y : a < b;
    }
};

/// The best `count` of ids, best first.
void keep_best(std::vector<std::int32_t>& ids, std::size_t count, std::span<const float> scores) {
    count = std::min(count, ids.size());
    std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end(), Better{scores});
    ids.resize(count);
}

bool allowed(const LayerChange* change, std::int32_t expert) {
    return change == nullptr || !change->is_out(static_cast<std::size_t>(expert));
}

/// What each group counts, and which stay.
void choose_groups(Choice& choice, std::span<const float> selection, const ChoiceRule& rule, std::size_t wanted,
                   const LayerChange* change) {
    const auto groups = static_cast<std::size_t>(rule.groups), width = selection.size() / groups;
    std::vector<std::size_t> members(groups, 0);
    std::vector<std::int32_t> order;
    for (std::size_t group = 0; group < groups; ++group) {
        std::vector<std::int32_t> best;
        for (std::size_t i = 0; i < width; ++i) {
            if (const auto expert = static_cast<std::int32_t>(group * width + i); allowed(change, expert)) {
                best.push_back(expert);
            }
        }
        members[group] = best.size();
        keep_best(best, rule.group_max ? 1 : 2, selection);
        float score = best.empty() ? -std::numeric_limits<float>::infinity() : 0.0f;
        for (const std::int32_t expert : best) {
            score += selection[static_cast<std::size_t>(expert)];
        }
        choice.group_scores.push_back(score);
        if (!best.empty()) {
            order.push_back(static_cast<std::int32_t>(group));
        }
    }
    keep_best(order, order.size(), choice.group_scores);
    std::size_t held = 0;
    for (const std::int32_t group : order) {
        const bool enough = choice.groups_kept.size() >= static_cast<std::size_t>(std::max(1, rule.groups_kept));
        if (enough && held >= wanted) {
            break;
        }
        choice.groups_kept.push_back(group);
        held += members[static_cast<std::size_t>(group)];
    }
}

/// Whether an expert is in one of the kept groups; all are when there is one group.
bool in_groups(std::int32_t expert, std::size_t experts, std::span<const std::int32_t> kept, int groups) {
    if (kept.empty() || groups <= 1) {
        return true;
    }
    const auto width = static_cast<std::int32_t>(experts / static_cast<std::size_t>(groups));
    return width < 1 || std::find(kept.begin(), kept.end(), expert / width) != kept.end();
}

}  // namespace

ChoiceRule choice_rule(const RouterSpec& spec) {
    return {spec.experts_per_token, spec.groups, spec.groups_kept, spec.group_score == "max"};
}

void add_bias(std::span<float> selection, const LayerChange* change) {
    if (change == nullptr) {
        return;
    }
    for (std::size_t expert = 0; expert < std::min(selection.size(), change->bias.size()); ++expert) {
        selection[expert] += change->bias[expert];
    }
}

Choice choose(std::span<const float> selection, const ChoiceRule& rule, const LayerChange* change) {
    Choice choice;
    const int limit = change != nullptr && change->experts > 0 ? change->experts : rule.experts_per_token;
    const auto wanted = static_cast<std::size_t>(std::max(0, limit));
    const bool grouped = rule.groups > 1 && selection.size() % static_cast<std::size_t>(rule.groups) == 0;
    if (grouped) {
        choose_groups(choice, selection, rule, wanted, change);
    }
    std::vector<std::int32_t> forced;
    for (const std::int32_t id : change != nullptr ? change->forced : std::vector<std::int32_t>()) {
        if (id >= 0 && static_cast<std::size_t>(id) < selection.size()) {
            forced.push_back(id);
        }
    }
    std::vector<std::int32_t> others;
    for (std::size_t i = 0; i < selection.size(); ++i) {
        const auto expert = static_cast<std::int32_t>(i);
        if (allowed(change, expert) && in_groups(expert, selection.size(), choice.groups_kept, rule.groups) &&
            std::find(forced.begin(), forced.end(), expert) == forced.end()) {
            others.push_back(expert);
        }
    }
    keep_best(others, wanted - std::min(wanted, forced.size()), selection);
    choice.ids = std::move(forced);
    choice.ids.insert(choice.ids.end(), others.begin(), others.end());
    const bool by_score = choice.ids.size() == others.size();
    keep_best(choice.ids, wanted, selection);
    choice.margin = by_score ? margin_of(selection, choice.ids, choice.groups_kept, rule.groups, change) : kNone;
    return choice;
}

std::vector<std::int32_t> take_replayed(const InterventionPlan& plan, int position, int layer,
                                        std::span<const float> selection, const ChoiceRule& rule) {
    std::vector<std::int32_t> ids = plan.replayed(position, layer);
    const std::size_t places = plan.replayed_places(position, layer);
    const LayerChange* change = plan.layer(layer);
    if (ids.empty() || ids.size() >= places || selection.empty() || change == nullptr) {
        return ids;
    }
    LayerChange rest = *change;
    rest.forced = ids;
    rest.experts = static_cast<int>(places);
    for (const std::int32_t id : choose(selection, rule, &rest).ids) {
        if (std::find(rest.forced.begin(), rest.forced.end(), id) == rest.forced.end()) {
            ids.push_back(id);
        }
    }
    return ids;
}

float margin_of(std::span<const float> selection, std::span<const std::int32_t> ids,
                std::span<const std::int32_t> groups_kept, int groups, const LayerChange* change) {
    if (ids.empty() || ids.back() < 0 || static_cast<std::size_t>(ids.back()) >= selection.size()) {
        return kNone;
    }
    float best = kNone;
    for (std::size_t i = 0; i < selection.size(); ++i) {
        const auto expert = static_cast<std::int32_t>(i);
        if (!allowed(change, expert) || !in_groups(expert, selection.size(), groups_kept, groups) ||
            std::find(ids.begin(), ids.end(), expert) != ids.end()) {
            continue;
        }
        best = std::isnan(best) || selection[i] > best ? selection[i] : best;
    }
    return selection[static_cast<std::size_t>(ids.back())] - best;
}

float entropy_of(std::span<const float> scores) {
    double sum = 0;
    bool shares = true;
    for (const float score : scores) {
        sum += score;
        shares = shares && !(score < 0);
    }
    if (!shares || !(sum > 0)) {
        return kNone;
    }
    double entropy = 0;
    for (const float score : scores) {
        const double share = score / sum;
        entropy -= share > 0 ? share * std::log(share) : 0.0;
    }
    return static_cast<float>(entropy);
}

void complete(LayerDecision& decision, const ChoiceRule& rule, const LayerChange* change, bool by_scores) {
    decision.entropy = entropy_of(decision.scores);
    if (rule.groups > 1) {
        Choice choice = choose(decision.selection, rule, change);
        decision.group_scores = std::move(choice.group_scores);
        if (decision.groups_kept.empty()) {
            decision.groups_kept = std::move(choice.groups_kept);
        }
    }
    const bool forced = change != nullptr && !change->forced.empty();
    decision.margin = by_scores && !forced
                          ? margin_of(decision.selection, decision.ids, decision.groups_kept, rule.groups, change)
                          : kNone;
}

void count_agreement(Agreement& agreement, const TokenDecisions& token, const RouterSpec& spec,
                     const InterventionPlan& plan) {
    for (const LayerDecision& layer : token.layers) {
        if (layer.selection.empty() || chooses_by_token(spec, layer.layer) ||
            (plan.replays() && !plan.replayed(token.position, layer.layer).empty())) {
            continue;
        }
        std::vector<std::int32_t> wanted = choose(layer.selection, choice_rule(spec), plan.layer(layer.layer)).ids;
        std::vector<std::int32_t> executed = layer.ids;
        std::sort(wanted.begin(), wanted.end());
        std::sort(executed.begin(), executed.end());
        ++agreement.decisions;
        agreement.equal += wanted == executed ? 1 : 0;
    }
}

}  // namespace moescope::routing
