// The fields of a training configuration, as the form of a new run shows them: what the node's catalogue tells of each
// key, in groups, with what has to hold for it to matter. Pure: no widget, no client.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moescope::panels {

/// What has to hold so that a key has an effect: "attention = latent", "yarn_factor > 1", "dense_layers < layers".
struct Condition {
    const char* key = nullptr;    ///< null: always
    const char* relation = "";    ///< "=", "!=", ">" or "<"
    const char* value = nullptr;  ///< as in JSON without quotes, or for "<" and ">" also another key
};

struct ConfigField {
    enum class Type { integer, number, flag, choice };
    std::string section, key;  ///< config[section][key]
    Type type = Type::integer;
    double low = 0, high = 0;          ///< integer and number, both included
    std::vector<std::string> choices;  ///< choice
    nlohmann::json standard;           ///< what a configuration without the key means; null when the node does not tell
    Condition condition;
    std::string label_key, help_key;  ///< runs.field.<key>, runs.field.<key>.help
};

struct FieldGroup {
    const char* name;  ///< language key
    Condition condition;
    std::vector<ConfigField> fields;
};

/// The catalogue's "config_fields" in the form's order. A key that this program does not know is in the last group,
/// runs.group.other; an entry without section, key or type is left out.
std::vector<FieldGroup> field_groups(const nlohmann::json& catalogue);

/// The value of `key` in the section "model" or "train", or null.
const nlohmann::json* value_of(const nlohmann::json& config, std::string_view key);
/// True also where the configuration lacks a key of the condition.
bool holds(const Condition& condition, const nlohmann::json& config);
/// "attention = latent"
std::string condition_text(const Condition& condition);

/// Right type and within the field's range or choices.
bool fits(const ConfigField& field, const nlohmann::json& value);
/// The number that a person has typed for an integer or number; nothing when it is none or out of range.
std::optional<nlohmann::json> read_number(const ConfigField& field, std::string_view text);
/// A value as a person would type it: "0.003", "latent", "true"; empty for null.
std::string value_text(const nlohmann::json& value);

/// What a pasted text says, checked key by key.
struct PastedConfig {
    nlohmann::json config;  ///< null when the text is refused
    enum class Problem { none, no_json, no_config, unknown_key, value } problem = Problem::none;
    std::string key, value;              ///< of the last two problems
    const ConfigField* field = nullptr;  ///< of `value`, in `groups`
};
/// What a key gets that a pasted text lacks: the value that the node would give it, or that of `base`. Where one of the
/// two is not told, the other.
enum class Lacking { standard, base };
/// `text` is a configuration, or a run's manifest that holds one.
PastedConfig read_pasted(std::string_view text, const std::vector<FieldGroup>& groups, const nlohmann::json& base,
                         Lacking lacking = Lacking::standard);
/// The configuration as text for a file, keys in the form's order.
std::string config_text(const nlohmann::json& config, const std::vector<FieldGroup>& groups);

}  // namespace moescope::panels
