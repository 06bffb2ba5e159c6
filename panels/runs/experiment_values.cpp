#include "panels/runs/experiment_values.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/json_fields.hpp"
#include "base/settings.hpp"
#include "base/text.hpp"
#include "nodes/history/experiments.hpp"
#include "panels/runs/run_tools.hpp"

namespace moescope::panels {
namespace {

using nlohmann::json;
using Type = ConfigField::Type;

constexpr const char* kBalance = "balance";
/// Ticked at first: the ones that a first look at balancing is about.
constexpr std::array<std::string_view, 5> kFirstBalancings = {"none", "switch", "loss_free", "expert_choice",
                                                              "quantile"};

std::string balancing_label(const ui::Language& text, const std::string& name) {
    return text.named("runs.balancing.", name);
}

std::vector<OfferedValue> balancings(const ui::Language& text, const json& catalogue) {
    std::vector<OfferedValue> offered;
    for (const json& entry : base::member(catalogue, "balancings")) {
        const std::string name = base::text_of(entry, "name"), source = base::text_of(entry, "source");
        if (name.empty()) {
            continue;
        }
        std::string help = text.has("runs.balancing." + name + ".help") ? text("runs.balancing." + name + ".help") : "";
        help += help.empty() || source.empty() ? source : "\n" + source;
        const bool first = std::find(kFirstBalancings.begin(), kFirstBalancings.end(), name) != kFirstBalancings.end();
        offered.push_back({name, balancing_label(text, name), std::move(help), first});
    }
    return offered;
}

}  // namespace

std::vector<OfferedValue> offered_values(const ui::Language& text, const json& catalogue, const ConfigField& field) {
    std::vector<OfferedValue> offered;
    if (field.key == kBalance) {
        offered = balancings(text, catalogue);
    }
    if (offered.empty()) {
        for (const std::string& choice : field.choices) {
            const std::string help = "runs.choice." + field.key + "." + choice + ".help";
            offered.push_back({choice, choice_label(text, field.key, choice), text.has(help) ? text(help) : "", true});
        }
    }
    if (field.type == Type::flag) {
        for (const bool on : {false, true}) {
            offered.push_back({on, value_label(text, field.key, on), "", true});
        }
    }
    return offered;
}

TypedValues read_values(const ConfigField& field, std::string_view text) {
    // The comma of a Chinese keyboard is three bytes.
    std::string plain(text);
    for (const std::string_view comma : {"\uff0c", "\u3001", "\uff1b"}) {
        for (std::size_t at = plain.find(comma); at != std::string::npos; at = plain.find(comma, at)) {
            plain.replace(at, comma.size(), ",");
        }
    }
    TypedValues typed;
    for (std::size_t at = 0; at < plain.size();) {
        const std::size_t end = std::min(plain.find_first_of(",; \t\n", at), plain.size());
        const std::string part(base::trimmed(std::string_view(plain).substr(at, end - at)));
        at = end + 1;
        if (part.empty()) {
            continue;
        }
        std::optional<json> number = read_number(field, part);
        if (!number) {
            typed.refused.push_back(part);
        } else if (std::find(typed.values.begin(), typed.values.end(), *number) == typed.values.end()) {
            typed.values.push_back(std::move(*number));
        }
    }
    return typed;
}

std::string proposed_values(const ConfigField& field, const json& now) {
    const double value = base::as_number(now).value_or(field.low);
    std::vector<double> wanted = {value / 2, value, value * 2};
    if (field.key == "seed") {
        wanted = {1, 2, 3};
    } else if (value == 0) {
        wanted = field.type == Type::integer ? std::vector<double>{0, 1, 2} : std::vector<double>{0, 0.01, 0.1};
    }
    std::string list;
    std::vector<json> seen;
    for (const double one : wanted) {
        const json exact = field.type == Type::integer ? json(static_cast<std::int64_t>(one)) : json(one);
        if (fits(field, exact) && std::find(seen.begin(), seen.end(), exact) == seen.end()) {
            seen.push_back(exact);
            base::append_to_list(list, base::setting_text(exact));
        }
    }
    return list;
}

std::string experiment_value_label(const ui::Language& text, const std::string& key, const json& value) {
    if (value.is_object()) {
        std::string list;
        for (const auto& [name, setting] : value.items()) {
            base::append_to_list(list,
                                 text.format("runs.experiment.setting", {{"setting", setting_label(text, name)},
                                                                         {"value", value_label(text, name, setting)}}),
                                 text("common.comma"));
        }
        return list;
    }
    if (key == kBalance && value.is_string()) {
        return balancing_label(text, value.get<std::string>());
    }
    return value_label(text, key, value);
}

std::string experiment_key_label(const ui::Language& text, const std::string& key) {
    return key == kBalance ? text("runs.experiment.balance") : setting_label(text, key);
}

std::string run_title(const ui::Language& text, const history::TrainingRun& run) {
    const history::ExperimentPlace place = history::experiment_place(run.manifest);
    if (place.number == 0 || place.name.empty() || !run.name.starts_with(place.name + ':')) {
        return run.name;
    }
    return place.name + text("common.colon") + experiment_value_label(text, place.key, place.value);
}

namespace {

/// On which a run with this configuration computes.
std::string device_of(const json& config) {
    const json* device = base::setting(config, "device");
    return device == nullptr ? "cpu" : base::setting_text(*device);
}

}  // namespace

std::optional<double> run_seconds(const client::Snapshot& snapshot, const json& plan, const json& config) {
    const double flops = base::number_of(plan, "flops_per_token");
    double tokens = 1;
    for (const char* key : {"steps", "batch", "accumulation", "context"}) {
        const json* value = base::setting(config, key);
        tokens *= value == nullptr ? std::nan("") : base::as_number(*value).value_or(std::nan(""));
    }
    constexpr std::size_t kMeasured = 20;  // steps; the first of a run are slower
    const std::string device = device_of(config);
    for (auto entry = snapshot.training.rbegin(); entry != snapshot.training.rend(); ++entry) {
        const history::TrainingRun& run = *entry->second;
        if (device_of(base::member(run.manifest, "config")) != device) {
            continue;
        }
        const history::Column& speed = run[&base::StepValues::tokens_per_second];
        const double of_run = base::number_of(base::member(run.manifest, "plan"), "flops_per_token");
        double sum = 0, count = 0;
        for (std::size_t i = speed.size(); i > 0 && speed.size() - i < kMeasured; --i) {
            sum += std::isnan(speed[i - 1]) ? 0 : speed[i - 1];
            count += std::isnan(speed[i - 1]) ? 0 : 1;
        }
        const double seconds = tokens * flops / (sum / count * of_run);
        if (count >= 3 && std::isfinite(seconds) && seconds >= 0) {
            return seconds;
        }
    }
    return {};
}

}  // namespace moescope::panels
