#include "panels/runs/run_fields.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <fmt/format.h>
#include <iterator>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/settings.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

namespace moescope::panels {
namespace {

using nlohmann::json;
using Type = ConfigField::Type;

constexpr std::size_t kLargestPaste = 1 << 20;
constexpr std::size_t kLongestDevice = 64;

/// Those with a name in the languages, in the form's order.
constexpr const char* kGroups[] = {"size",    "attention", "position",  "experts", "router",
                                   "balance", "schedule",  "optimizer", "saving",  "other"};
constexpr std::size_t kOther = std::size(kGroups) - 1;

std::size_t group_of(const std::string& name) {
    return static_cast<std::size_t>(std::find(std::begin(kGroups), std::end(kGroups) - 1, name) - std::begin(kGroups));
}

std::optional<ConfigField> field_of(const json& entry) {
    ConfigField field;
    field.section = base::text_of(entry, "section");
    field.key = base::text_of(entry, "key");
    const std::string type = base::text_of(entry, "type");
    if ((field.section != "model" && field.section != "train") || field.key.empty()) {
        return {};
    }
    if (type == "integer" || type == "number") {
        field.type = type == "integer" ? Type::integer : Type::number;
    } else if (type == "flag" || type == "choice") {
        field.type = type == "flag" ? Type::flag : Type::choice;
    } else if (type == "device") {
        field.type = Type::device;
    } else {
        return {};
    }
    field.low = base::number_of(entry, "low", 0);
    field.high = base::number_of(entry, "high", 0);
    field.standard = base::member(entry, "default");
    field.choices = base::texts_of(entry, "choices");
    field.condition = base::text_of(entry, "when");
    field.fork = field.section == "train" || base::flag_of(entry, "fork");
    if (const json& live = base::member(entry, "live"); live.is_object()) {
        field.live = {base::number_of(live, "low", field.low), base::as_number(base::member(live, "high")),
                      base::text_of(live, "when")};
    }
    field.label_key = "runs.field." + field.key;
    field.help_key = field.label_key + ".help";
    return field;
}

/// The catalogue's fields with the names of their groups.
std::vector<std::pair<ConfigField, std::string>> told_fields(const json& catalogue) {
    std::vector<std::pair<ConfigField, std::string>> told;
    for (const json& entry : base::member(catalogue, "config_fields")) {
        if (std::optional<ConfigField> field = field_of(entry)) {
            told.emplace_back(std::move(*field), base::text_of(entry, "group"));
        }
    }
    return told;
}

/// Moves the clauses that all fields share to the group.
void share_condition(FieldGroup& group) {
    if (group.fields.empty()) {
        return;
    }
    const auto has = [](const ConfigField& field, const std::string& clause) {
        const auto all = base::clauses(field.condition);
        return std::find(all.begin(), all.end(), clause) != all.end();
    };
    for (const std::string& clause : base::clauses(group.fields.front().condition)) {
        if (std::all_of(group.fields.begin(), group.fields.end(),
                        [&](const ConfigField& field) { return has(field, clause); })) {
            group.condition = base::both(group.condition, clause);
        }
    }
    const auto shared = base::clauses(group.condition);
    for (ConfigField& field : group.fields) {
        std::string own;
        for (const std::string& clause : base::clauses(field.condition)) {
            if (std::find(shared.begin(), shared.end(), clause) == shared.end()) {
                own = base::both(own, clause);
            }
        }
        field.condition = own;
    }
}

template <class Number>
std::optional<Number> whole_text(std::string_view text) {
    Number number{};
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) {
        return {};
    }
    return number;
}

const ConfigField* find_field(const std::vector<FieldGroup>& groups, const std::string& section,
                              const std::string& key) {
    for (const FieldGroup& group : groups) {
        for (const ConfigField& field : group.fields) {
            if (field.section == section && field.key == key) {
                return &field;
            }
        }
    }
    return nullptr;
}

PastedConfig refused(PastedConfig::Problem problem, std::string key = {}, std::string value = {},
                     const ConfigField* field = nullptr) {
    return {json(), problem, std::move(key), std::move(value), field};
}

/// A short form of a refused value.
std::string shown(const json& value) {
    std::string text = value.is_structured() ? (value.is_array() ? "[...]" : "{...}") : base::setting_text(value);
    if (text.empty()) {
        text = value.is_string() ? "\"\"" : "null";
    }
    constexpr std::size_t kMost = 60;
    return base::shortened(std::move(text), kMost);
}

/// Fills a configuration that has every key the node knows.
json complete(const std::vector<FieldGroup>& groups, const json& start, Lacking lacking) {
    json config = {{"name", ""}, {"model", json::object()}, {"train", json::object()}};
    for (const FieldGroup& group : groups) {
        for (const ConfigField& field : group.fields) {
            const json* of_base = base::setting(start, field.key);
            const bool take_base = of_base != nullptr && (lacking == Lacking::base || field.standard.is_null());
            if (take_base || !field.standard.is_null()) {
                config[field.section][field.key] = take_base ? *of_base : field.standard;
            }
        }
    }
    return config;
}

}  // namespace

std::vector<FieldGroup> field_groups(const json& catalogue) {
    std::vector<FieldGroup> groups;
    for (const char* name : kGroups) {
        groups.push_back({fmt::format("runs.group.{}", name), {}, {}});
    }
    for (auto& [field, group] : told_fields(catalogue)) {
        groups[group_of(group)].fields.push_back(std::move(field));
    }
    for (FieldGroup& group : groups) {
        share_condition(group);
    }
    return groups;
}

std::vector<LiveField> live_fields(const json& catalogue, const json& config) {
    std::vector<LiveField> fields;
    for (auto& [field, group] : told_fields(catalogue)) {
        const json* configured = base::setting(config, field.key);
        if (!field.live || configured == nullptr || !configured->is_number() ||
            !base::holds(field.live->condition, config)) {
            continue;
        }
        const double low = field.live->low, high = field.live->high.value_or(configured->get<double>());
        if (low < high) {  // else there is nothing to choose
            fields.push_back({std::move(field), low, high});
        }
    }
    return fields;
}

bool fits(const ConfigField& field, const json& value) {
    switch (field.type) {
        case Type::flag:
            return value.is_boolean();
        case Type::choice:
            for (const std::string& choice : field.choices) {
                if (value == choice) {
                    return true;
                }
            }
            return false;
        case Type::device:  // which there are only the node knows
            return value.is_string() && !value.get_ref<const std::string&>().empty() &&
                   value.get_ref<const std::string&>().size() <= kLongestDevice;
        case Type::integer:
            if (!value.is_number_integer()) {
                return false;
            }
            break;
        case Type::number:
            if (!value.is_number()) {
                return false;
            }
            break;
    }
    const double number = value.get<double>();
    return std::isfinite(number) && number >= field.low && number <= field.high;
}

std::optional<json> read_number(const ConfigField& field, std::string_view text) {
    while (!text.empty() && text.front() == ' ') {
        text.remove_prefix(1);
    }
    while (!text.empty() && text.back() == ' ') {
        text.remove_suffix(1);
    }
    json value;
    // A seed needs all 64 bits; everything below zero fits the signed type.
    if (field.type == Type::integer) {
        if (const auto natural = whole_text<std::uint64_t>(text)) {
            value = *natural;
        } else if (const auto negative = whole_text<std::int64_t>(text)) {
            value = *negative;
        }
    } else if (const auto real = whole_text<double>(text)) {
        value = *real;
    }
    return fits(field, value) ? std::optional<json>(std::move(value)) : std::nullopt;
}

PastedConfig read_pasted(std::string_view text, const std::vector<FieldGroup>& groups, const json& start,
                         Lacking lacking) {
    using Problem = PastedConfig::Problem;
    const json pasted = base::read_json(text, kLargestPaste).value.value_or(json());
    if (!pasted.is_object()) {
        return refused(Problem::no_json);
    }
    json config = base::member(pasted, "config").is_object() ? pasted["config"] : pasted;
    base::rename_settings(config);
    if (!base::member(config, "model").is_object() && !base::member(config, "train").is_object()) {
        return refused(Problem::no_config);
    }
    PastedConfig result{complete(groups, start, lacking), Problem::none, {}, {}, nullptr};
    for (const auto& [section, part] : config.items()) {
        if (section == "name" && part.is_string()) {
            result.config["name"] = part;
            continue;
        }
        if (section != "model" && section != "train") {
            return refused(Problem::unknown_key, section);
        }
        for (const auto& [key, value] : part.items()) {
            const std::string path = fmt::format("{}.{}", section, key);
            const ConfigField* field = find_field(groups, section, key);
            if (field == nullptr) {
                return refused(Problem::unknown_key, path);
            }
            if (!fits(*field, value)) {
                return refused(Problem::value, path, shown(value), field);
            }
            result.config[section][key] = value;
        }
    }
    return result;
}

std::string config_text(const json& config, const std::vector<FieldGroup>& groups) {
    nlohmann::ordered_json ordered = {{"name", base::text_of(config, "name")},
                                      {"model", nlohmann::ordered_json::object()},
                                      {"train", nlohmann::ordered_json::object()}};
    for (const FieldGroup& group : groups) {
        for (const ConfigField& field : group.fields) {
            if (const json* value = base::setting(config, field.key)) {
                ordered[field.section][field.key] = *value;
            }
        }
    }
    return ordered.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace moescope::panels
