#include "engine/model/config.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <limits>
#include <set>
#include <span>
#include <sstream>
#include <variant>

#include "base/settings.hpp"
#include "base/text.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;

constexpr const char* kAttentions[] = {"grouped", "latent"};
constexpr const char* kQkNorms[] = {"none", "head", "full"};
constexpr const char* kRopeOrders[] = {"half", "interleaved"};
constexpr const char* kSliding[] = {"none", "even", "all"};
constexpr const char* kGroupScores[] = {"max", "top2"};
constexpr const char* kChoices[] = {"token", "expert", "hash", "sinkhorn", "quantile"};
constexpr const char* kDrops[] = {"probability", "position"};
constexpr const char* kActivations[] = {"swiglu", "clamped_swiglu"};
constexpr const char* kBalances[] = {"none", "batch", "sequence", "global"};
constexpr const char* kOptimizers[] = {"adamw", "muon"};
constexpr const char* kSchedules[] = {"cosine", "warmup_stable_decay"};
constexpr const char* kPrecisions[] = {"f32", "bf16"};

/// Reaches a member through the whole configuration.
template <auto Member>
struct Reach;
template <class Value, Value ModelConfig::*Member>
struct Reach<Member> {
    static constexpr const char* kSection = "model";
    static Value& of(RunConfig& config) { return config.model.*Member; }
    static int index(RunConfig& config) { return static_cast<int>(of(config)); }
    static void choose(RunConfig& config, int index) { of(config) = static_cast<Value>(index); }
};
template <class Value, Value TrainConfig::*Member>
struct Reach<Member> {
    static constexpr const char* kSection = "train";
    static Value& of(RunConfig& config) { return config.train.*Member; }
    static int index(RunConfig& config) { return static_cast<int>(of(config)); }
    static void choose(RunConfig& config, int index) { of(config) = static_cast<Value>(index); }
};

/// An enumeration's member by its place among the names.
struct Choices {
    std::span<const char* const> names;  ///< in the order of the enumeration
    int (*index)(RunConfig&);
    void (*choose)(RunConfig&, int);
};
template <class Value>
using Member = Value& (*)(RunConfig&);
using AnyMember = std::variant<Member<int>, Member<double>, Member<bool>, Member<std::uint64_t>, Choices>;

/// What a setting may have besides its name and range; see ConfigField.
struct More {
    const char* unit = "";
    const char* when = "";
    Live live = Live::no;
    const char* live_when = "";
    bool fork = false;
};
struct Row {
    const char *section, *group, *key;
    AnyMember member;
    double low = 0, high = 0;
    More more;
};

template <auto Member>
constexpr Row number_row(const char* group, const char* key, double low, double high, More more = {}) {
    return {Reach<Member>::kSection, group, key, &Reach<Member>::of, low, high, more};
}
template <auto Member>
constexpr Row flag_row(const char* group, const char* key, More more = {}) {
    return {Reach<Member>::kSection, group, key, &Reach<Member>::of, 0, 1, more};
}
template <auto Member>
constexpr Row choice_row(const char* group, const char* key, std::span<const char* const> names, More more = {}) {
    return {
        Reach<Member>::kSection, group, key, Choices{names, &Reach<Member>::index, &Reach<Member>::choose}, 0, 0, more};
}

using M = ModelConfig;
using T = TrainConfig;
constexpr double kMany = 1e9;
constexpr const char kRouted[] = "dense_layers < layers";
constexpr const char kLatent[] = "attention = latent";
constexpr const char kYarn[] = "yarn_factor > 1";

// In the order in which a form shows them. Kernel limits: kMaxHeadWidth, kMaxExperts, kMaxChosen of kernels/cpu.
constexpr Row kRows[] = {
    number_row<&M::layers>("size", "layers", 1, 256),
    number_row<&M::width>("size", "width", 1, 16384),
    number_row<&M::vocabulary>("size", "vocabulary", 2, 1 << 20, {.unit = "tokens"}),
    number_row<&M::context>("size", "context", 1, 32768, {.unit = "tokens"}),
    number_row<&M::dense_layers>("size", "dense_layers", 0, 256),
    number_row<&M::dense_width>("size", "dense_width", 1, 65536, {.when = "dense_layers > 0"}),
    flag_row<&M::tied_head>("size", "tied_head"),
    number_row<&M::rms_epsilon>("size", "rms_epsilon", 1e-12, 0.1),
    number_row<&M::prediction_depth>("size", "prediction_depth", 0, 1),

    choice_row<&M::attention>("attention", "attention", kAttentions),
    number_row<&M::heads>("attention", "heads", 1, 256),
    number_row<&M::kv_heads>("attention", "kv_heads", 1, 256),
    number_row<&M::head_width>("attention", "head_width", 2, 512, {.when = "attention = grouped"}),
    choice_row<&M::qk_norm>("attention", "qk_norm", kQkNorms),
    choice_row<&M::sliding_layers>("attention", "sliding_layers", kSliding),
    number_row<&M::sliding_window>("attention", "sliding_window", 0, 32768,
                                   {.unit = "tokens", .when = "sliding_layers != none"}),
    flag_row<&M::attention_bias>("attention", "attention_bias"),
    flag_row<&M::attention_sinks>("attention", "attention_sinks"),
    number_row<&M::query_rank>("attention", "query_rank", 0, 16384, {.when = kLatent}),
    number_row<&M::kv_rank>("attention", "kv_rank", 1, 16384, {.when = kLatent}),
    number_row<&M::nope_width>("attention", "nope_width", 1, 510, {.when = kLatent}),
    number_row<&M::rope_width>("attention", "rope_width", 2, 510, {.when = kLatent}),
    number_row<&M::value_width>("attention", "value_width", 1, 512, {.when = kLatent}),

    number_row<&M::rope_theta>("position", "rope_theta", 1, 1e9),
    choice_row<&M::rope_order>("position", "rope_order", kRopeOrders),
    number_row<&M::yarn_factor>("position", "yarn_factor", 1, 1000),
    number_row<&M::yarn_original_context>("position", "yarn_original_context", 1, 1 << 24,
                                          {.unit = "tokens", .when = kYarn}),
    number_row<&M::yarn_beta_fast>("position", "yarn_beta_fast", 0.01, 1000, {.when = kYarn}),
    number_row<&M::yarn_beta_slow>("position", "yarn_beta_slow", 0.01, 1000, {.when = kYarn}),
    number_row<&M::yarn_mscale>("position", "yarn_mscale", 0, 10, {.when = kYarn}),
    number_row<&M::yarn_mscale_all_dim>("position", "yarn_mscale_all_dim", 0, 10, {.when = kYarn}),
    flag_row<&M::yarn_truncate>("position", "yarn_truncate", {.when = kYarn}),

    number_row<&M::experts>("experts", "experts", 1, 1024, {.when = kRouted}),
    number_row<&M::experts_per_token>("experts", "experts_per_token", 1, 64,
                                      {.when = kRouted, .live = Live::up_to_configured, .fork = true}),
    number_row<&M::expert_width>("experts", "expert_width", 1, 65536, {.when = kRouted}),
    number_row<&M::shared_experts>("experts", "shared_experts", 0, 16, {.when = kRouted}),
    choice_row<&M::activation>("experts", "activation", kActivations, {.when = kRouted}),
    flag_row<&M::expert_bias>("experts", "expert_bias", {.when = kRouted}),
    number_row<&M::swiglu_alpha>("experts", "swiglu_alpha", 0, 100,
                                 {.when = "dense_layers < layers and activation = clamped_swiglu"}),
    number_row<&M::swiglu_limit>("experts", "swiglu_limit", 1e-3, 1e6,
                                 {.when = "dense_layers < layers and activation = clamped_swiglu"}),

    choice_row<&M::router_scoring>("router", "router_scoring", kernels::kScoringNames, {.when = kRouted, .fork = true}),
    choice_row<&M::router_choice>("router", "router_choice", kChoices, {.when = kRouted}),
    flag_row<&M::normalise_weights>("router", "normalise_weights", {.when = kRouted, .fork = true}),
    number_row<&M::router_scale>("router", "router_scale", 1e-6, 1000, {.when = kRouted, .fork = true}),
    number_row<&M::router_groups>("router", "router_groups", 1, 64, {.when = kRouted, .fork = true}),
    number_row<&M::router_groups_kept>("router", "router_groups_kept", 1, 64,
                                       {.when = "dense_layers < layers and router_groups > 1", .fork = true}),
    choice_row<&M::group_score>("router", "group_score", kGroupScores,
                                {.when = "dense_layers < layers and router_groups > 1", .fork = true}),
    number_row<&M::hash_layers>("router", "hash_layers", 0, 256, {.when = kRouted}),
    // With expert choice the capacity is what the experts choose: it is fixed for the run.
    number_row<&M::capacity_factor>(
        "router", "capacity_factor", 0, 1000,
        {.when = kRouted, .live = Live::yes, .live_when = "router_choice != expert", .fork = true}),
    choice_row<&M::drop>("router", "drop", kDrops,
                         {.when = "dense_layers < layers and capacity_factor > 0", .fork = true}),
    number_row<&M::router_jitter>("router", "router_jitter", 0, 0.5, {.when = kRouted, .fork = true}),
    flag_row<&M::router_bias>("router", "router_bias", {.when = kRouted}),
    flag_row<&M::selection_bias>("router", "selection_bias", {.when = kRouted}),

    choice_row<&T::balance>("balance", "balance", kBalances, {.when = kRouted}),
    number_row<&T::balance_coefficient>("balance", "balance_coefficient", 0, 10,
                                        {.when = "dense_layers < layers and balance != none", .live = Live::yes}),
    number_row<&T::z_coefficient>("balance", "z_coefficient", 0, 10, {.when = kRouted, .live = Live::yes}),
    number_row<&T::bias_update_rate>(
        "balance", "bias_update_rate", 0, 1,
        {.unit = "per step", .when = "dense_layers < layers and selection_bias = true", .live = Live::yes}),
    number_row<&T::prediction_coefficient>("balance", "prediction_coefficient", 0, 10,
                                           {.when = "prediction_depth > 0", .live = Live::yes}),
    number_row<&T::weight_decay>("balance", "weight_decay", 0, 1),
    number_row<&T::gradient_clip>("balance", "gradient_clip", 1e-6, 1e6),
    number_row<&T::norm_limit>("balance", "norm_limit", 0, 1e12),

    number_row<&T::steps>("schedule", "steps", 1, kMany, {.unit = "steps"}),
    number_row<&T::batch>("schedule", "batch", 1, 65536, {.unit = "sequences"}),
    number_row<&T::accumulation>("schedule", "accumulation", 1, 4096),
    number_row<&T::seed>("schedule", "seed", 0, 0x1p64),
    choice_row<&T::schedule>("schedule", "schedule", kSchedules),
    number_row<&T::warmup_steps>("schedule", "warmup_steps", 0, kMany, {.unit = "steps"}),
    number_row<&T::final_learning_rate_ratio>("schedule", "final_learning_rate_ratio", 0, 1),
    number_row<&T::decay_fraction>("schedule", "decay_fraction", 0, 1, {.when = "schedule = warmup_stable_decay"}),
    choice_row<&T::precision>("schedule", "precision", kPrecisions),
    number_row<&T::threads>("schedule", "threads", 0, 1024),

    choice_row<&T::optimizer>("optimizer", "optimizer", kOptimizers),
    number_row<&T::learning_rate>("optimizer", "learning_rate", 0, 1, {.live = Live::yes}),
    number_row<&T::beta1>("optimizer", "beta1", 0, 0.999999),
    number_row<&T::beta2>("optimizer", "beta2", 0, 0.999999),
    number_row<&T::adam_epsilon>("optimizer", "adam_epsilon", 1e-16, 0.1),
    number_row<&T::muon_learning_rate>("optimizer", "muon_learning_rate", 0, 1, {.when = "optimizer = muon"}),
    number_row<&T::muon_momentum>("optimizer", "muon_momentum", 0, 0.9999, {.when = "optimizer = muon"}),

    number_row<&T::evaluate_every>("saving", "evaluate_every", 0, kMany, {.unit = "steps"}),
    number_row<&T::sample_every>("saving", "sample_every", 0, kMany, {.unit = "steps"}),
    number_row<&T::checkpoint_every>("saving", "checkpoint_every", 0, kMany, {.unit = "steps"}),
};

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

/// One function per type of member; std::visit picks it.
template <class... Functions>
struct Overloaded : Functions... {
    using Functions::operator()...;
};

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

std::string named(const char* key, int value) {
    return fmt::format("model.{} ({})", key, value);
}

void check_attention(const ModelConfig& m, const Sentence& source) {
    refuse_if(m.yarn_factor > 1 && m.rope_theta <= 1, source,
              say("model.yarn_factor needs model.rope_theta of more than 1: with 1 all frequencies are the same"));
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
                  say("model.qk_norm must be none with latent attention, which norms its latents instead"));
        refuse_if(m.attention_bias || m.attention_sinks, source,
                  say("model.attention_bias and model.attention_sinks need grouped attention"));
        return;
    }
    refuse_if(m.heads % m.kv_heads != 0, source,
              say("{} must be a multiple of {}", named("heads", m.heads), named("kv_heads", m.kv_heads)));
    refuse_if(m.head_width % 2 != 0, source,
              say("{} must be even, because RoPE turns pairs", named("head_width", m.head_width)));
    refuse_if(m.sliding_layers != SlidingLayers::none && m.sliding_window == 0, source,
              say("model.sliding_layers needs model.sliding_window of at least 1"));
}

void check_groups(const ModelConfig& m, const Sentence& source) {
    refuse_if(m.experts % m.router_groups != 0, source,
              say("{} must be a multiple of {}", named("experts", m.experts), named("router_groups", m.router_groups)));
    refuse_if(m.router_groups_kept > m.router_groups, source,
              say("{} must not be more than {}", named("router_groups_kept", m.router_groups_kept),
                  named("router_groups", m.router_groups)));
    const int size = m.experts / m.router_groups;
    refuse_if(m.router_groups > 1 && m.group_score == GroupScore::top2 && size < 2, source,
              say("model.group_score top2 needs at least two experts in each group"));
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
    refuse_if(
        special && m.router_groups > 1, source,
        say("model.router_groups needs model.router_choice token: groups limit what a token chooses by its scores"));
    refuse_if(
        special && m.selection_bias, source,
        say("model.selection_bias needs model.router_choice token: other choices balance the load by themselves"));
    refuse_if(m.router_choice == Choice::expert && m.capacity_factor <= 0, source,
              say("model.router_choice expert needs model.capacity_factor: how many tokens each expert takes"));
    refuse_if(m.router_choice == Choice::expert && m.router_scoring == Scoring::softmax_after_top_k, source,
              say("model.router_choice expert has no top k of a token, so softmax_after_top_k makes no sense"));
    refuse_if(m.router_choice == Choice::expert && m.normalise_weights, source,
              say("model.router_choice expert uses the scores as they are: set model.normalise_weights to false"));
    refuse_if(m.router_choice == Choice::expert && config.train.balance != Balance::none, source,
              say("model.router_choice expert is balanced by construction: set train.balance to none"));
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
        throw Error(
            say("{}: train.batch x model.context x model.experts_per_token is {}, more than 2147483647: choose a "
                "smaller batch or context",
                source, rows));
    }
    refuse_if(m.prediction_depth > 0 && m.context < 3, source,
              say("model.prediction_depth needs model.context of at least 3, because it looks two tokens ahead"));
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
        check_range(row, copy, say("{}: {}.{}", source, row.section, row.key));
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
