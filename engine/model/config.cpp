#include "engine/model/config.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <set>
#include <span>
#include <sstream>
#include <variant>

#include "base/settings.hpp"
#include "base/text.hpp"
#include "engine/error.hpp"
#include "engine/model/rank_work.hpp"
#include "kernels/devices.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;
using namespace rows;

std::string number(double value) {
    std::ostringstream out;
    out.precision(9);
    out << value;
    return out.str();
}

std::string shown(const Json& value) {
    constexpr std::size_t kMost = 60;
    return base::shortened(value.dump(-1, ' ', false, Json::error_handler_t::replace), kMost);
}

[[noreturn]] void refuse_range(const Sentence& where, const std::string& value, double low, double high) {
    throw Error(say("{} is {}, but must be from {} to {}", where, value, number(low), number(high)));
}

void read_int(const Json& value, const Sentence& where, int low, int high, int& into) {
    if (!value.is_number_integer()) {
        throw Error(
            say("{} is {}, but must be a whole number from {} to {}", where, shown(value), number(low), number(high)));
    }
    const bool fits = value.is_number_unsigned() ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(high)
                                                 : value.get<std::int64_t>() <= high;
    if (!fits || value.get<std::int64_t>() < low) {
        refuse_range(where, shown(value), low, high);
    }
    into = value.get<int>();
}

void check_real(double value, const Sentence& where, double low, double high) {
    if (!std::isfinite(value) || value < low || value > high) {
        refuse_range(where, number(value), low, high);
    }
}

void check_device(const Json& value, const Sentence& where) {
    if (!value.is_string() || !kernels::is_device_name(value.get_ref<const std::string&>())) {
        throw Error(say("{} is {}, but must be cpu, or cuda:0 and so on for a GPU", where, shown(value)));
    }
}

/// One function per type of member; std::visit picks it.
template <class... Functions>
struct Overloaded : Functions... {
    using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

void read(const Row& row, const Json& value, const Sentence& where, RunConfig& into) {
    std::visit(
        Overloaded{
            [&](Member<int> member) {
                read_int(value, where, static_cast<int>(row.low), static_cast<int>(row.high), member(into));
            },
            [&](Member<double> member) {
                if (!value.is_number()) {
                    throw Error(say("{} is {}, but must be a number from {} to {}", where, shown(value),
                                    number(row.low), number(row.high)));
                }
                member(into) = value.get<double>();
                check_real(member(into), where, row.low, row.high);
            },
            [&](Member<bool> member) {
                if (!value.is_boolean()) {
                    throw Error(say("{} is {}, but must be true or false", where, shown(value)));
                }
                member(into) = value.get<bool>();
            },
            [&](Member<std::uint64_t> member) {
                if (!value.is_number_unsigned()) {
                    throw Error(say("{} is {}, but must be a whole number from 0 to 18446744073709551615", where,
                                    shown(value)));
                }
                member(into) = value.get<std::uint64_t>();
            },
            [&](Member<std::string> member) {
                check_device(value, where);
                member(into) = value.get<std::string>();
            },
            [&](const Choices& choices) {
                const auto& names = choices.names;
                const auto found = value.is_string()
                                       ? std::find(names.begin(), names.end(), value.get_ref<const std::string&>())
                                       : names.end();
                if (found == names.end()) {
                    throw Error(say("{} is {}, but must be one of: {}", where, shown(value), base::joined(names)));
                }
                choices.choose(into, static_cast<int>(found - names.begin()));
            },
        },
        row.member);
}

Json value_of(const Row& row, RunConfig& config) {
    return std::visit(Overloaded{[&](const Choices& choices) {
                                     return Json(choices.names[static_cast<std::size_t>(choices.index(config))]);
                                 },
                                 [&](auto member) { return Json(member(config)); }},
                      row.member);
}

/// Also of configurations that were not read from JSON.
void check_range(const Row& row, RunConfig& config, const Sentence& where) {
    const Json value = value_of(row, config);
    if (value.is_number_float()) {
        check_real(value.get<double>(), where, row.low, row.high);
    } else if (value.is_number() && (value.get<double>() < row.low || value.get<double>() > row.high)) {
        refuse_range(where, shown(value), row.low, row.high);
    } else if (std::holds_alternative<Member<std::string>>(row.member)) {
        check_device(value, where);
    }
}

const Row* find_row(const std::string& section, const std::string& key) {
    const std::string name = base::current_setting(key);
    const auto found = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& row) {
        return (section.empty() || section == row.section) && name == row.key;
    });
    return found == std::end(kRows) ? nullptr : found;
}

std::string live_condition(const Row& row) {
    return base::both(row.more.when, row.more.live_when);
}

/// Throws Error.
const Row& live_row(const std::string& key) {
    const Row* row = find_row("", key);
    if (row == nullptr || row->more.live == Live::no) {
        throw Error(say("{} cannot be changed during a run", key));
    }
    return *row;
}

ConfigField field_of(const Row& row) {
    ConfigField field{row.section,
                      row.group,
                      row.key,
                      "",
                      row.low,
                      row.high,
                      {},
                      row.more.unit,
                      row.more.when,
                      row.more.live,
                      row.more.live_when,
                      row.more.fork || row.section == std::string_view("train"),
                      base::old_settings(row.key)};
    field.type = std::visit(Overloaded{[](Member<double>) { return "number"; }, [](Member<bool>) { return "flag"; },
                                       [](Member<std::string>) { return "device"; },
                                       [](const Choices&) { return "choice"; }, [](auto) { return "integer"; }},
                            row.member);
    if (const auto* choices = std::get_if<Choices>(&row.member)) {
        field.choices.assign(choices->names.begin(), choices->names.end());
    }
    return field;
}

[[noreturn]] void refuse_key(const Sentence& where, const std::string& key) {
    throw Error(say("{} has the unknown key \"{}\": check the spelling or remove it", where, key));
}

const Json& object(const Json& value, const Sentence& where) {
    if (!value.is_object()) {
        throw Error(say("{} is {}, but must be a JSON object", where, shown(value)));
    }
    return value;
}

/// `key` says both values when `wrong`.
void refuse_if(bool wrong, const Sentence& source, const Sentence& sentence) {
    if (wrong) {
        throw Error(say("{}: {}", source, sentence));
    }
}

Sentence named(const char* key) {
    return base::setting_path("model", key);
}
Sentence named(const char* key, int value) {
    return say("{} ({})", named(key), value);
}

void check_attention(const ModelConfig& m, const Sentence& source) {
    refuse_if(m.yarn_factor > 1 && m.rope_theta <= 1, source,
              say("{} needs {} of more than 1: with 1 all frequencies are the same", named("yarn_factor"),
                  named("rope_theta")));
    if (m.attention == AttentionKind::latent) {
        refuse_if(m.kv_heads != m.heads, source,
                  say("{} must equal {} with latent attention, where every head has its own keys",
                      named("kv_heads", m.kv_heads), named("heads", m.heads)));
        refuse_if(m.rope_width % 2 != 0, source,
                  say("{} must be even, because RoPE turns pairs", named("rope_width", m.rope_width)));
        refuse_if(m.nope_width + m.rope_width > 512, source,
                  say("{} and {} must not be more than 512 together", named("nope_width", m.nope_width),
                      named("rope_width", m.rope_width)));
        refuse_if(m.qk_norm != QkNorm::none, source,
                  say("{} must be none with latent attention, which norms its latents instead", named("qk_norm")));
        refuse_if(m.attention_bias || m.attention_sinks, source,
                  say("{} and {} need grouped attention", named("attention_bias"), named("attention_sinks")));
        return;
    }
    refuse_if(m.heads % m.kv_heads != 0, source,
              say("{} must be a multiple of {}", named("heads", m.heads), named("kv_heads", m.kv_heads)));
    refuse_if(m.head_width % 2 != 0, source,
              say("{} must be even, because RoPE turns pairs", named("head_width", m.head_width)));
    refuse_if(m.sliding_layers != SlidingLayers::none && m.sliding_window == 0, source,
              say("{} needs {} of at least 1", named("sliding_layers"), named("sliding_window")));
}

void check_groups(const ModelConfig& m, const Sentence& source) {
    refuse_if(m.experts % m.router_groups != 0, source,
              say("{} must be a multiple of {}", named("experts", m.experts), named("router_groups", m.router_groups)));
    refuse_if(m.router_groups_kept > m.router_groups, source,
              say("{} must not be more than {}", named("router_groups_kept", m.router_groups_kept),
                  named("router_groups", m.router_groups)));
    const int size = m.experts / m.router_groups;
    refuse_if(m.router_groups > 1 && m.group_score == GroupScore::top2 && size < 2, source,
              say("{} top2 needs at least two experts in each group", named("group_score")));
    refuse_if(
        m.router_groups_kept * size < m.experts_per_token, source,
        say("{} leaves {} experts to choose from, fewer than {}", named("router_groups_kept", m.router_groups_kept),
            m.router_groups_kept * size, named("experts_per_token", m.experts_per_token)));
}

void check_router(const RunConfig& config, const Sentence& source) {
    const ModelConfig& m = config.model;
    refuse_if(m.experts_per_token > m.experts, source,
              say("{} must not be more than {}", named("experts_per_token", m.experts_per_token),
                  named("experts", m.experts)));
    check_groups(m, source);
    const bool special = m.router_choice != Choice::token;
    refuse_if(special && m.router_groups > 1, source,
              say("{} needs {} token: groups limit what a token chooses by its scores", named("router_groups"),
                  named("router_choice")));
    refuse_if(special && m.selection_bias, source,
              say("{} needs {} token: other choices balance the load by themselves", named("selection_bias"),
                  named("router_choice")));
    refuse_if(
        m.router_choice == Choice::expert && m.capacity_factor <= 0, source,
        say("{} expert needs {}: how many tokens each expert takes", named("router_choice"), named("capacity_factor")));
    refuse_if(m.router_choice == Choice::expert && m.router_scoring == Scoring::softmax_after_top_k, source,
              say("{} expert has no top k of a token, so softmax_after_top_k makes no sense", named("router_choice")));
    refuse_if(m.router_choice == Choice::expert && m.normalise_weights, source,
              say("{} expert uses the scores as they are: set {} to false", named("router_choice"),
                  named("normalise_weights")));
    refuse_if(m.router_choice == Choice::expert && config.train.balance != Balance::none, source,
              say("{} expert is balanced by construction: set {} to none", named("router_choice"),
                  base::setting_path("train", "balance")));
    refuse_if(m.hash_layers > m.layers, source,
              say("{} must not be more than {}", named("hash_layers", m.hash_layers), named("layers", m.layers)));
    refuse_if(m.dense_layers > m.layers, source,
              say("{} must not be more than {}", named("dense_layers", m.dense_layers), named("layers", m.layers)));
}

/// What no single range can say.
void check_together(const RunConfig& config, const Sentence& source) {
    const ModelConfig& m = config.model;
    check_attention(m, source);
    check_router(config, source);
    const std::int64_t slots = m.router_choice == Choice::expert ? m.experts : m.experts_per_token;
    const std::int64_t rows = static_cast<std::int64_t>(config.train.batch) * m.context * slots;
    if (rows > std::numeric_limits<std::int32_t>::max()) {
        throw Error(say("{}: {} x {} x {} is {}, more than 2147483647: choose a smaller batch or context", source,
                        base::setting_path("train", "batch"), named("context"), named("experts_per_token"), rows));
    }
    refuse_if(m.prediction_depth > 0 && m.context < 3, source,
              say("{} needs {} of at least 3, because it looks two tokens ahead", named("prediction_depth"),
                  named("context")));
    refuse_if(config.train.precision == Precision::fp8 && m.dense_layers == m.layers, source,
              say("{} fp8 is for the products of experts, and this model has none: choose bf16 or f32",
                  base::setting_path("train", "precision")));
    refuse_if(config.train.attention_precision != Precision::f32 && config.train.precision == Precision::f32, source,
              say("{} bf16 goes with {} bf16 or fp8, not f32", base::setting_path("train", "attention_precision"),
                  base::setting_path("train", "precision")));
    if (config.train.processes > 1) {
        check_ranks(config, shape_of(config.train), config.train.processes);
    }
}

/// Reads one of the two objects.
void read_section(const std::string& name, const Json& value, const Sentence& source, RunConfig& into) {
    const Sentence where = say("{}: {}", source, name);
    std::set<const Row*> read_rows;
    for (const auto& [key, field] : object(value, where).items()) {
        const Row* row = find_row(name, key);
        if (row == nullptr) {
            refuse_key(where, key);
        }
        if (!read_rows.insert(row).second) {
            throw Error(say("{} has {} twice, also under an older name: remove one", where, row->key));
        }
        read(*row, field, say("{}.{}", where, key), into);
    }
}

}  // namespace

void validate(const RunConfig& config, const Sentence& source) {
    RunConfig copy = config;
    for (const Row& row : kRows) {
        check_range(row, copy, say("{}: {}", source, base::setting_path(row.section, row.key)));
    }
    check_together(config, source);
}

Sentence title_of(const RunConfig& config) {
    return config.name.empty() ? say("configuration") : Sentence::verbatim(config.name);
}

RunConfig parse_run_config(const Json& value, const Sentence& source) {
    RunConfig config;
    for (const auto& [key, part] : object(value, source).items()) {
        if (key == "name") {
            if (!part.is_string() || part.get_ref<const std::string&>().size() > 200) {
                throw Error(say("{}: name is {}, but must be a text of at most 200 bytes", source, shown(part)));
            }
            config.name = part.get<std::string>();
        } else if (key == "model" || key == "train") {
            read_section(key, part, source, config);
        } else {
            refuse_key(source, key);
        }
    }
    validate(config, source);
    return config;
}

Json to_json(const RunConfig& config) {
    Json value = {{"name", config.name}, {"model", Json::object()}, {"train", Json::object()}};
    RunConfig copy = config;
    for (const Row& row : kRows) {
        value[row.section][row.key] = value_of(row, copy);
    }
    return value;
}

const std::vector<ConfigField>& config_fields() {
    static const std::vector<ConfigField> fields = [] {
        std::vector<ConfigField> list;
        std::transform(std::begin(kRows), std::end(kRows), std::back_inserter(list), field_of);
        return list;
    }();
    return fields;
}

bool may_change(const RunConfig& configured, const std::string& key) {
    const Row* row = find_row("", key);
    return row != nullptr && row->more.live != Live::no && base::holds(live_condition(*row), to_json(configured));
}

double live_value(const RunConfig& now, const std::string& key) {
    RunConfig copy = now;
    return value_of(live_row(key), copy).get<double>();
}

void set_live(RunConfig& now, const RunConfig& configured, const std::string& key, double value) {
    const Row& row = live_row(key);
    if (!may_change(configured, key)) {
        throw Error(say("{} cannot be changed in this run: that needs {}", row.key, live_condition(row)));
    }
    double high = row.high;
    if (row.more.live == Live::up_to_configured) {
        high = live_value(configured, key);
        value = value == 0 ? high : value;
    }
    if (row.more.live == Live::up_to_configured && value > high) {
        throw Error(
            say("{} is {}, but must be from {} to the {} that the run was planned for; fork the run to use more",
                row.key, number(value), number(row.low), number(high)));
    }
    check_real(value, Sentence::verbatim(row.key), row.low, high);
    if (const auto* whole = std::get_if<Member<int>>(&row.member)) {
        if (value != std::floor(value)) {
            throw Error(say("{} is {}, but must be a whole number from {} to {}", row.key, number(value),
                            number(row.low), number(high)));
        }
        (*whole)(now) = static_cast<int>(value);
    } else {
        std::get<Member<double>>(row.member)(now) = value;
    }
}

}  // namespace moescope::engine
