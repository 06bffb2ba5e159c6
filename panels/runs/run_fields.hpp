// The fields of a training configuration, as the form of a new run shows them: what the node's catalogue tells of each
// key, in groups, with what has to hold for it to matter. Pure: no widget, no client.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moescope::panels {

struct ConfigField {
    enum class Type { integer, number, flag, choice, device };
    /// How a run that goes on may change it.
    struct Live {
        double low = 0;
        std::optional<double> high;  ///< nothing: what the run was configured with
        std::string condition;       ///< of the run's configuration; see base/settings.hpp
    };
    std::string section, key;  ///< config[section][key]
    Type type = Type::integer;
    double low = 0, high = 0;          ///< integer and number, both included
    std::vector<std::string> choices;  ///< choice
    nlohmann::json standard;           ///< what a configuration without the key means; null when the node does not tell
    std::string condition;             ///< what has to hold for it to have an effect, besides its group's
    std::optional<Live> live;
    bool fork = true;                 ///< may be another in a fork
    std::string label_key, help_key;  ///< runs.field.<key>, runs.field.<key>.help
};

struct FieldGroup {
    std::string name;       ///< language key
    std::string condition;  ///< the clauses that all its fields share
    std::vector<ConfigField> fields;
};

/// The catalogue's "config_fields" in its order, by group. A field of a group that this program has no name for is in
/// the last one, runs.group.other; an entry without section, key or type is left out.
std::vector<FieldGroup> field_groups(const nlohmann::json& catalogue);

/// Those of the catalogue's fields that this run lets change while it goes on, in the catalogue's order. `config`: the
/// one that the run was started with.
struct LiveField {
    ConfigField field;
    double low = 0, high = 0;
};
std::vector<LiveField> live_fields(const nlohmann::json& catalogue, const nlohmann::json& config);

/// Right type and within the field's range or choices.
bool fits(const ConfigField& field, const nlohmann::json& value);
/// The number that a person has typed for an integer or number; nothing when it is none or out of range.
std::optional<nlohmann::json> read_number(const ConfigField& field, std::string_view text);

/// What a pasted text says, checked key by key.
struct PastedConfig {
    nlohmann::json config;  ///< null when the text is refused
    enum class Problem { none, no_json, no_config, unknown_key, value } problem = Problem::none;
    std::string key, value;              ///< of the last two problems
    const ConfigField* field = nullptr;  ///< of `value`, in `groups`
};
/// What a key gets that a pasted text lacks: the value that the node would give it, or that of `start`. Where one of
/// the two is not told, the other.
enum class Lacking { standard, base };
/// `text` is a configuration, or a run's manifest that holds one.
PastedConfig read_pasted(std::string_view text, const std::vector<FieldGroup>& groups, const nlohmann::json& start,
                         Lacking lacking = Lacking::standard);
/// The configuration as text for a file, keys in the form's order.
std::string config_text(const nlohmann::json& config, const std::vector<FieldGroup>& groups);

}  // namespace moescope::panels
