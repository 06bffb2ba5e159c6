#include "panels/runs/run_fields.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <fmt/format.h>
#include <iterator>

#include "base/json_fields.hpp"

namespace moescope::panels {
namespace {

using nlohmann::json;
using Type = ConfigField::Type;

constexpr std::size_t kLargestPaste = 1 << 20;

struct GroupRow {
    const char* name;
    Condition condition;
};
/// In the form's order.
constexpr GroupRow kGroups[] = {
    {"runs.group.size", {}},
    {"runs.group.attention", {}},
    {"runs.group.position", {}},
    {"runs.group.experts", {"dense_layers", "<", "layers"}},
    {"runs.group.router", {"dense_layers", "<", "layers"}},
    {"runs.group.balance", {}},
    {"runs.group.schedule", {}},
    {"runs.group.optimizer", {}},
    {"runs.group.saving", {}},
    {"runs.group.other", {}},
};
constexpr std::size_t kOther = std::size(kGroups) - 1;

struct FieldRow {
    const char* group;  ///< without "runs.group."
    const char* key;
    Condition condition = {};
};
/// In the form's order. A new key of the engine needs one line here, a label and a help text.
constexpr FieldRow kRows[] = {
    {"size", "layers"},
    {"size", "width"},
    {"size", "vocabulary"},
    {"size", "context"},
    {"size", "dense_layers"},
    {"size", "dense_width", {"dense_layers", ">", "0"}},
    {"size", "tied_head"},
    {"size", "rms_epsilon"},
    {"size", "prediction_depth"},
    {"attention", "attention"},
    {"attention", "heads"},
    {"attention", "kv_heads"},
    {"attention", "head_width", {"attention", "=", "grouped"}},
    {"attention", "head_norm"},
    {"attention", "sliding_layers"},
    {"attention", "sliding_window", {"sliding_layers", "!=", "none"}},
    {"attention", "attention_bias"},
    {"attention", "attention_sinks"},
    {"attention", "query_rank", {"attention", "=", "latent"}},
    {"attention", "kv_rank", {"attention", "=", "latent"}},
    {"attention", "nope_width", {"attention", "=", "latent"}},
    {"attention", "rope_width", {"attention", "=", "latent"}},
    {"attention", "value_width", {"attention", "=", "latent"}},
    {"position", "rope_theta"},
    {"position", "rope_order"},
    {"position", "yarn_factor"},
    {"position", "yarn_original_context", {"yarn_factor", ">", "1"}},
    {"position", "yarn_beta_fast", {"yarn_factor", ">", "1"}},
    {"position", "yarn_beta_slow", {"yarn_factor", ">", "1"}},
    {"position", "yarn_mscale", {"yarn_factor", ">", "1"}},
    {"position", "yarn_mscale_all_dim", {"yarn_factor", ">", "1"}},
    {"position", "yarn_truncate", {"yarn_factor", ">", "1"}},
    {"experts", "experts"},
    {"experts", "experts_per_token"},
    {"experts", "expert_width"},
    {"experts", "shared_experts"},
    {"experts", "activation"},
    {"experts", "expert_bias"},
    {"experts", "swiglu_alpha", {"activation", "=", "clamped_swiglu"}},
    {"experts", "swiglu_limit", {"activation", "=", "clamped_swiglu"}},
    {"router", "router_scoring"},
    {"router", "router_choice"},
    {"router", "normalise_weights"},
    {"router", "router_scale"},
    {"router", "router_groups"},
    {"router", "router_groups_kept", {"router_groups", ">", "1"}},
    {"router", "group_score", {"router_groups", ">", "1"}},
    {"router", "hash_layers"},
    {"router", "capacity_factor"},
    {"router", "drop", {"capacity_factor", ">", "0"}},
    {"router", "router_jitter"},
    {"router", "router_bias"},
    {"router", "selection_bias"},
    {"balance", "balance"},
    {"balance", "balance_coefficient", {"balance", "!=", "none"}},
    {"balance", "z_coefficient"},
    {"balance", "bias_speed", {"selection_bias", "=", "true"}},
    {"balance", "prediction_coefficient", {"prediction_depth", ">", "0"}},
    {"balance", "weight_decay"},
    {"balance", "gradient_clip"},
    {"balance", "norm_limit"},
    {"schedule", "steps"},
    {"schedule", "batch"},
    {"schedule", "accumulation"},
    {"schedule", "seed"},
    {"schedule", "schedule"},
    {"schedule", "warmup_steps"},
    {"schedule", "final_learning_rate_ratio"},
    {"schedule", "decay_fraction", {"schedule", "=", "warmup_stable_decay"}},
    {"schedule", "precision"},
    {"schedule", "threads"},
    {"optimizer", "optimizer"},
    {"optimizer", "learning_rate"},
    {"optimizer", "beta1"},
    {"optimizer", "beta2"},
    {"optimizer", "adam_epsilon"},
    {"optimizer", "muon_learning_rate", {"optimizer", "=", "muon"}},
    {"optimizer", "muon_momentum", {"optimizer", "=", "muon"}},
    {"saving", "evaluate_every"},
    {"saving", "sample_every"},
    {"saving", "checkpoint_every"},
};

std::size_t group_of(std::string_view name) {
    for (std::size_t i = 0; i < std::size(kGroups); ++i)
        if (std::string_view(kGroups[i].name).substr(sizeof("runs.group.") - 1) == name)
            return i;
    return kOther;
}

std::optional<ConfigField> field_of(const json& entry) {
    ConfigField field;
    field.section = base::text_of(entry, "section");
    field.key = base::text_of(entry, "key");
    const std::string type = base::text_of(entry, "type");
    if ((field.section != "model" && field.section != "train") || field.key.empty())
        return {};
    if (type == "integer" || type == "number")
        field.type = type == "integer" ? Type::integer : Type::number;
    else if (type == "flag" || type == "choice")
        field.type = type == "flag" ? Type::flag : Type::choice;
    else
        return {};
    field.low = base::number_of(entry, "low", 0);
    field.high = base::number_of(entry, "high", 0);
    field.standard = base::member(entry, "default");
    field.choices = base::texts_of(entry, "choices");
    field.label_key = "runs.field." + field.key;
    field.help_key = field.label_key + ".help";
    return field;
}

/// The number that a condition compares with: written out, or the value of another key.
std::optional<double> other_side(const char* value, const json& config) {
    if (const json* other = value_of(config, value))
        return other->is_number() ? std::optional<double>(other->get<double>()) : std::nullopt;
    const std::string_view text = value;
    double number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    return read.ec == std::errc() ? std::optional<double>(number) : std::nullopt;
}

template <class Number>
std::optional<Number> whole_text(std::string_view text) {
    Number number{};
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size())
        return {};
    return number;
}

const ConfigField* find_field(const std::vector<FieldGroup>& groups, const std::string& section,
                              const std::string& key) {
    for (const FieldGroup& group : groups)
        for (const ConfigField& field : group.fields)
            if (field.section == section && field.key == key)
                return &field;
    return nullptr;
}

PastedConfig refused(PastedConfig::Problem problem, std::string key = {}, std::string value = {},
                     const ConfigField* field = nullptr) {
    return {json(), problem, std::move(key), std::move(value), field};
}

/// A short form of a refused value.
std::string shown(const json& value) {
    std::string text = value.is_structured() ? (value.is_array() ? "[...]" : "{...}") : value_text(value);
    if (text.empty())
        text = value.is_string() ? "\"\"" : "null";
    constexpr std::size_t kMost = 60;
    if (text.size() <= kMost)
        return text;
    std::size_t end = kMost;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
        --end;  // not inside a character
    return text.substr(0, end) + "...";
}

/// Fills a configuration that has every key the node knows.
json complete(const std::vector<FieldGroup>& groups, const json& base, Lacking lacking) {
    json config = {{"name", ""}, {"model", json::object()}, {"train", json::object()}};
    for (const FieldGroup& group : groups)
        for (const ConfigField& field : group.fields) {
            const json* of_base = value_of(base, field.key);
            const bool take_base = of_base != nullptr && (lacking == Lacking::base || field.standard.is_null());
            if (take_base || !field.standard.is_null())
                config[field.section][field.key] = take_base ? *of_base : field.standard;
        }
    return config;
}

}  // namespace

std::vector<FieldGroup> field_groups(const json& catalogue) {
    std::vector<FieldGroup> groups;
    for (const GroupRow& row : kGroups)
        groups.push_back({row.name, row.condition, {}});
    std::vector<ConfigField> told;
    for (const json& entry : base::member(catalogue, "config_fields"))
        if (std::optional<ConfigField> field = field_of(entry))
            told.push_back(std::move(*field));
    for (const FieldRow& row : kRows) {
        const auto field =
            std::find_if(told.begin(), told.end(), [&](const ConfigField& one) { return one.key == row.key; });
        if (field == told.end())
            continue;
        field->condition = row.condition;
        groups[group_of(row.group)].fields.push_back(std::move(*field));
        told.erase(field);
    }
    std::move(told.begin(), told.end(), std::back_inserter(groups[kOther].fields));
    return groups;
}

const json* value_of(const json& config, std::string_view key) {
    if (!config.is_object())
        return nullptr;
    for (const char* name : {"model", "train"}) {
        const auto section = config.find(name);
        if (section == config.end() || !section->is_object())
            continue;
        if (const auto value = section->find(key); value != section->end())
            return &*value;
    }
    return nullptr;
}

bool holds(const Condition& condition, const json& config) {
    const json* value = condition.key == nullptr ? nullptr : value_of(config, condition.key);
    if (value == nullptr)
        return true;
    const std::string_view relation = condition.relation;
    if (relation == "=" || relation == "!=")
        return (value_text(*value) == condition.value) == (relation == "=");
    const std::optional<double> other = other_side(condition.value, config);
    if (!other || !value->is_number())
        return true;
    return relation == ">" ? value->get<double>() > *other : value->get<double>() < *other;
}

std::string condition_text(const Condition& condition) {
    return condition.key == nullptr ? ""
                                    : std::string(condition.key) + " " + condition.relation + " " + condition.value;
}

bool fits(const ConfigField& field, const json& value) {
    switch (field.type) {
        case Type::flag:
            return value.is_boolean();
        case Type::choice:
            for (const std::string& choice : field.choices)
                if (value == choice)
                    return true;
            return false;
        case Type::integer:
            if (!value.is_number_integer())
                return false;
            break;
        case Type::number:
            if (!value.is_number())
                return false;
            break;
    }
    const double number = value.get<double>();
    return std::isfinite(number) && number >= field.low && number <= field.high;
}

std::optional<json> read_number(const ConfigField& field, std::string_view text) {
    while (!text.empty() && text.front() == ' ')
        text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ')
        text.remove_suffix(1);
    json value;
    // A seed needs all 64 bits; everything below zero fits the signed type.
    if (field.type == Type::integer) {
        if (const auto natural = whole_text<std::uint64_t>(text))
            value = *natural;
        else if (const auto negative = whole_text<std::int64_t>(text))
            value = *negative;
    } else if (const auto real = whole_text<double>(text)) {
        value = *real;
    }
    return fits(field, value) ? std::optional<json>(std::move(value)) : std::nullopt;
}

std::string value_text(const json& value) {
    if (value.is_string())
        return value.get<std::string>();
    if (value.is_number_float())
        return fmt::format("{}", value.get<double>());  // the shortest text that reads back as the same
    return value.is_null() ? std::string() : value.dump();
}

PastedConfig read_pasted(std::string_view text, const std::vector<FieldGroup>& groups, const json& base,
                         Lacking lacking) {
    using Problem = PastedConfig::Problem;
    const json pasted = text.size() > kLargestPaste ? json() : json::parse(text, nullptr, false);
    if (!pasted.is_object())
        return refused(Problem::no_json);
    const json& config = base::member(pasted, "config").is_object() ? pasted["config"] : pasted;
    if (!base::member(config, "model").is_object() && !base::member(config, "train").is_object())
        return refused(Problem::no_config);
    PastedConfig result{complete(groups, base, lacking), Problem::none, {}, {}, nullptr};
    for (const auto& [section, part] : config.items()) {
        if (section == "name" && part.is_string()) {
            result.config["name"] = part;
            continue;
        }
        if (section != "model" && section != "train")
            return refused(Problem::unknown_key, section);
        for (const auto& [key, value] : part.items()) {
            const std::string path = fmt::format("{}.{}", section, key);
            const ConfigField* field = find_field(groups, section, key);
            if (field == nullptr)
                return refused(Problem::unknown_key, path);
            if (!fits(*field, value))
                return refused(Problem::value, path, shown(value), field);
            result.config[section][key] = value;
        }
    }
    return result;
}

std::string config_text(const json& config, const std::vector<FieldGroup>& groups) {
    nlohmann::ordered_json ordered = {{"name", base::text_of(config, "name")},
                                      {"model", nlohmann::ordered_json::object()},
                                      {"train", nlohmann::ordered_json::object()}};
    for (const FieldGroup& group : groups)
        for (const ConfigField& field : group.fields)
            if (const json* value = value_of(config, field.key))
                ordered[field.section][field.key] = *value;
    return ordered.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace moescope::panels
