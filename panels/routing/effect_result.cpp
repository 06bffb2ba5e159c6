#include "panels/routing/effect_result.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <map>
#include <numeric>

#include "base/csv.hpp"
#include "base/json_fields.hpp"
#include "routing/random_controls.hpp"

namespace moescope::panels {
namespace {

using nlohmann::json;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

Estimate estimate_in(const json& value, const char* key) {
    const json& there = base::member(value, key);
    if (const auto number = base::as_number(there)) {
        return {*number};
    }
    return {base::number_of(there, "mean"), base::number_of(there, "low"), base::number_of(there, "high")};
}

/// A divergence is never below 0, and neither is what its interval says of it: Student's is symmetric and would go
/// there.
Estimate divergence_in(const json& value, const char* key) {
    Estimate estimate = estimate_in(value, key);
    if (estimate.has_interval()) {
        estimate.low = std::max(0.0, estimate.low);
    }
    return estimate;
}

std::vector<double> numbers_in(const json& value, const char* key) {
    std::vector<double> numbers;
    const json& there = base::member(value, key);
    if (there.is_array()) {
        for (const json& one : there) {
            numbers.push_back(base::as_number(one).value_or(kNone));
        }
    }
    return numbers;
}

std::string field(double value) {
    return std::isfinite(value) ? fmt::format("{}", value) : std::string();
}

std::string fields(const Estimate& estimate) {
    return field(estimate.value) + "," + field(estimate.low) + "," + field(estimate.high);
}

double value_in(const SweepResult::Expert& one, SweepColumn column) {
    switch (column) {
        case SweepColumn::expert:
            return one.expert;
        case SweepColumn::tokens:
            return static_cast<double>(one.tokens);
        case SweepColumn::kl:
            return one.kl.value;
        case SweepColumn::loss:
            return one.loss.value;
        case SweepColumn::control:
            return one.control_kl.value;
        case SweepColumn::above:
            return one.above_kl.value;
    }
    return kNone;
}

void put_rank(EffectResult& effect) {
    std::vector<double> kl;
    bool known = std::isfinite(effect.mean_kl.value);
    for (const EffectResult::Control& control : effect.controls) {
        kl.push_back(control.mean_kl);
        known = known && std::isfinite(control.mean_kl);
    }
    if (kl.empty() || !known) {
        return;
    }
    const routing::ControlRank among = routing::rank_among(effect.mean_kl.value, kl);
    effect.rank = among.rank;
    effect.ties = among.ties;
    effect.of = kl.size() + 1;
}

std::string count_text(const ui::Language& text, std::size_t count) {
    return text.number(std::uint64_t{count});
}

std::string joined(const ui::Language& text, const std::string& first, const std::string& then) {
    return first.empty() || then.empty() ? first + then
                                         : text.format("effect.sentences", {{"first", first}, {"then", then}});
}

/// Of changes that moved no prediction.
std::string nothing_sentence(const ui::Language& text, const EffectResult& effect, const std::vector<Change>& changes) {
    const std::string all = text.number(effect.decisions);
    std::string sentence = effect.decisions == 0 ? std::string(text("effect.nothing.kl"))
                           : effect.altered == 0 ? text.format("effect.nothing", {{"n", all}})
                                                 : text.format("effect.nothing.altered",
                                                               {{"n", all}, {"altered", text.number(effect.altered)}});
    for (int i = 0; effect.decisions > 0 && effect.altered == 0 && i < kChangeKinds; ++i) {
        const auto kind = static_cast<Change::Kind>(i);
        if (std::any_of(changes.begin(), changes.end(), [&](const Change& change) { return change.kind == kind; })) {
            sentence = joined(text, sentence, text(std::string("effect.nothing.") + change_kind_name(kind)));
        }
    }
    if (effect.rank == 0) {
        return joined(text, sentence, text("effect.control.none"));
    }
    const std::string n = count_text(text, effect.controls.size());
    return joined(
        text, sentence,
        effect.ties == effect.controls.size()
            ? text.format("effect.nothing.controls.none", {{"n", n}})
            : text.format("effect.nothing.controls", {{"n", n},
                                                      {"above", count_text(text, effect.controls.size() - effect.ties)},
                                                      {"ties", count_text(text, effect.ties)}}));
}

/// The changes under which an answer was written: as its routing says, else its manifest.
std::vector<Change> changes_of(const client::Snapshot& snapshot, const history::RunHeader& run) {
    if (const auto routing = snapshot.routing.find(run.id); routing != snapshot.routing.end() &&
                                                            routing->second->interventions.is_array() &&
                                                            !routing->second->interventions.empty()) {
        return changes_or_none(routing->second->interventions);
    }
    return changes_or_none(base::member(run.manifest, "interventions"));
}

/// The model that was changed, without the name of the set that its own may end with.
std::string without_set(const Trial& trial) {
    const std::string end = "|" + trial.set;
    return !trial.set.empty() && trial.model.ends_with(end) ? trial.model.substr(0, trial.model.size() - end.size())
                                                            : trial.model;
}

}  // namespace

std::optional<EffectResult> read_effect(const json& result) {
    if (!result.is_object() || !base::member(result, "kl").is_array()) {
        return {};
    }
    EffectResult effect;
    effect.base =
        base::integer_of(result, "base") > 0 ? static_cast<std::uint32_t>(base::integer_of(result, "base")) : 0;
    effect.set = base::text_of(result, "set");
    effect.kl = numbers_in(result, "kl");
    effect.log_probability = numbers_in(result, "log_probability");
    effect.mean_kl = divergence_in(result, "mean_kl");
    effect.mean_loss = estimate_in(result, "mean_loss");
    for (const json& one : base::member(result, "shift")) {
        effect.shift.push_back({base::integer_of(one, "layer", -1), base::number_of(one, "changed")});
    }
    for (const json& one : base::member(result, "controls")) {
        effect.controls.push_back({changes_or_none(base::member(one, "items")), estimate_in(one, "mean_kl").value,
                                   estimate_in(one, "mean_loss").value});
    }
    effect.asked = static_cast<std::size_t>(base::count_of(result, "controls_asked"));
    effect.control_kl = divergence_in(result, "control_kl");
    effect.control_loss = estimate_in(result, "control_loss");
    put_rank(effect);
    effect.decisions = base::count_of(result, "decisions");
    effect.altered = base::count_of(result, "altered");
    return effect;
}

std::string estimate_text(const ui::Language& text, const Estimate& estimate) {
    const std::string mean = text.format("effect.nats", {{"n", text.number(estimate.value, 3)}});
    if (!estimate.has_interval()) {
        return mean;
    }
    return text.format(
        "effect.interval",
        {{"mean", mean}, {"low", text.number(estimate.low, 3)}, {"high", text.number(estimate.high, 3)}});
}

std::string control_sentence(const ui::Language& text, const EffectResult& effect, const std::vector<Change>& changes) {
    const bool nothing = effect.mean_kl.value == 0;
    if (effect.rank == 0) {
        return nothing ? nothing_sentence(text, effect, changes) : std::string(text("effect.control.none"));
    }
    const std::string n = count_text(text, effect.controls.size()), of = count_text(text, effect.of);
    const std::string sentence = nothing ? nothing_sentence(text, effect, changes)
                                 : effect.rank == 1
                                     ? text.format("effect.control.first", {{"n", n}, {"of", of}})
                                     : text.format(effect.ties == 0 ? "effect.control.rank" : "effect.control.ties",
                                                   {{"n", n},
                                                    {"of", of},
                                                    {"rank", count_text(text, effect.rank)},
                                                    {"above", count_text(text, effect.rank - 1 - effect.ties)},
                                                    {"ties", count_text(text, effect.ties)}});
    if (effect.asked <= effect.controls.size()) {
        return sentence;
    }
    return text.format("effect.control.fewer",
                       {{"sentence", sentence}, {"n", n}, {"asked", count_text(text, effect.asked)}});
}

std::string altered_sentence(const ui::Language& text, const EffectResult& effect) {
    return effect.decisions == 0 ? std::string()
                                 : text.format("effect.altered", {{"altered", text.number(effect.altered)},
                                                                  {"n", text.number(effect.decisions)}});
}

std::string effect_csv(const EffectResult& effect, const std::vector<std::string>& pieces) {
    // The values at a place are about the token that follows it: a row is a token with what was changed about it.
    std::string csv = "token,text,KL (nats),log-probability changed minus untouched (nats)\r\n";
    const std::size_t rows = std::max(pieces.size(), effect.kl.size());
    for (std::size_t at = 0; at < rows; ++at) {
        const auto before = [&](const std::vector<double>& values) {
            return at > 0 && at - 1 < values.size() ? field(values[at - 1]) : std::string();
        };
        fmt::format_to(std::back_inserter(csv), "{},{},{},{}\r\n", at,
                       at < pieces.size() ? base::csv_text(pieces[at]) : std::string(), before(effect.kl),
                       before(effect.log_probability));
    }
    return csv;
}

std::optional<SweepResult> read_sweep(const json& result) {
    if (!result.is_object() || !base::member(result, "experts").is_array()) {
        return {};
    }
    SweepResult sweep;
    sweep.layer = base::integer_of(result, "layer", -1);
    sweep.texts = base::count_of(result, "texts");
    sweep.tokens = base::count_of(result, "tokens");
    sweep.loss = estimate_in(result, "loss");
    for (const json& one : base::member(result, "experts")) {
        sweep.experts.push_back({base::integer_of(one, "expert", -1), base::count_of(one, "tokens"),
                                 divergence_in(one, "kl"), estimate_in(one, "loss"), divergence_in(one, "control_kl"),
                                 estimate_in(one, "control_loss"), estimate_in(one, "above_kl"),
                                 estimate_in(one, "above_loss")});
    }
    std::stable_sort(sweep.experts.begin(), sweep.experts.end(),
                     [](const auto& a, const auto& b) { return a.expert < b.expert; });
    return sweep;
}

std::string sweep_csv(const SweepResult& sweep) {
    std::string csv = "layer,expert,tokens";
    for (const char* figure : {"KL", "loss", "control KL", "control loss", "KL above control", "loss above control"}) {
        fmt::format_to(std::back_inserter(csv), ",{0} (nats),{0} low,{0} high", figure);
    }
    csv += "\r\n";
    for (const SweepResult::Expert& one : sweep.experts) {
        fmt::format_to(std::back_inserter(csv), "{},{},{},{},{},{},{},{},{}\r\n", sweep.layer, one.expert, one.tokens,
                       fields(one.kl), fields(one.loss), fields(one.control_kl), fields(one.control_loss),
                       fields(one.above_kl), fields(one.above_loss));
    }
    return csv;
}

std::vector<std::size_t> sorted_sweep(const SweepResult& sweep, SweepColumn by, bool descending) {
    std::vector<std::size_t> order(sweep.experts.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const double x = value_in(sweep.experts[a], by), y = value_in(sweep.experts[b], by);
        if (std::isnan(x) || std::isnan(y)) {
            return !std::isnan(x) && std::isnan(y);
        }
        return descending ? x > y : x < y;
    });
    return order;
}

std::vector<Trial> trials_of(const client::Snapshot& snapshot) {
    std::map<std::string, Trial> groups;
    const auto trial_of = [&](const std::string& group, std::uint32_t run) -> Trial& {
        Trial& trial = groups[group];
        trial.group = group;
        trial.first_run = trial.first_run == 0 ? run : std::min(trial.first_run, run);
        return trial;
    };
    for (const auto& [id, run] : snapshot.routes) {
        // Of the two runs of an effect the one that has the result, or will.
        if (run->what != history::RouteRun::What::effect) {
            continue;
        }
        Trial& trial = trial_of(run->group.empty() ? "run " + std::to_string(id) : run->group, id);
        trial.effect = run;
        trial.changes = changes_of(snapshot, *run);
        trial.set = base::text_of(run->manifest, "set");
        trial.model = run->model;
    }
    for (const auto& [id, answer] : snapshot.generations) {
        if (answer->group.empty()) {
            continue;
        }
        const std::vector<Change> changes = changes_of(snapshot, *answer);
        if (changes.empty()) {
            continue;
        }
        Trial& trial = trial_of(answer->group, id);
        trial.changed = answer;
        trial.changes = changes;
        if (const auto routing = snapshot.routing.find(id); routing != snapshot.routing.end()) {
            trial.set = routing->second->set;
        }
        if (trial.set.empty()) {
            trial.set = base::text_of(answer->manifest, "set");
        }
        trial.model = answer->model;
    }
    for (const auto& [id, answer] : snapshot.generations) {
        const auto trial = groups.find(answer->group);
        if (!answer->group.empty() && trial != groups.end() && trial->second.changed != answer &&
            (trial->second.model.empty() || without_set(trial->second) == answer->model)) {
            trial->second.untouched = answer;
            trial->second.first_run = std::min(trial->second.first_run, id);
        }
    }
    std::vector<Trial> trials;
    for (auto& [group, trial] : groups) {
        trial.model = without_set(trial);
        // A comparison of other models with one that was changed is none.
        if (trial.effect || (trial.changed && trial.untouched)) {
            trials.push_back(std::move(trial));
        }
    }
    std::sort(trials.begin(), trials.end(), [](const Trial& a, const Trial& b) { return a.first_run > b.first_run; });
    return trials;
}

}  // namespace moescope::panels
