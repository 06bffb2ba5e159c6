#include "engine/model/config.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <span>
#include <sstream>

#include "engine/error.hpp"
#include "engine/model/validate.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;

template <class Owner>
struct IntField {
    const char* key;
    int Owner::*member;
    int low, high;
};

template <class Owner>
struct RealField {
    const char* key;
    double Owner::*member;
    double low, high;
};

template <class Owner>
struct BoolField {
    const char* key;
    bool Owner::*member;
};

template <class Owner>
struct ChoiceField {
    const char* key;
    std::span<const char* const> names;  ///< in the order of the enumeration
    int (*get)(const Owner&);
    void (*set)(Owner&, int);
};

/// Makes the two accessors of an enumeration's member.
template <auto Member>
struct Access;
template <class Owner, class Value, Value Owner::*Member>
struct Access<Member> {
    static int get(const Owner& owner) { return static_cast<int>(owner.*Member); }
    static void set(Owner& owner, int value) { owner.*Member = static_cast<Value>(value); }
};

constexpr const char* kAttentions[] = {"grouped", "latent"};
constexpr const char* kHeadNorms[] = {"none", "head", "full"};
constexpr const char* kRopeOrders[] = {"half", "interleaved"};
constexpr const char* kSliding[] = {"none", "even", "all"};
constexpr const char* kScorings[] = {"softmax", "softmax_after_top_k", "sigmoid", "sqrt_softplus"};
constexpr const char* kGroupScores[] = {"max", "top2"};
constexpr const char* kChoices[] = {"token", "expert", "hash", "sinkhorn", "quantile"};
constexpr const char* kDrops[] = {"probability", "position"};
constexpr const char* kActivations[] = {"swiglu", "clamped_swiglu"};
constexpr const char* kBalances[] = {"none", "batch", "sequence", "global"};
constexpr const char* kOptimizers[] = {"adamw", "muon"};
constexpr const char* kSchedules[] = {"cosine", "warmup_stable_decay"};
constexpr const char* kPrecisions[] = {"f32", "bf16"};

// Kernel limits: kMaxHeadWidth, kMaxExperts, kMaxChosen of kernels/cpu.
constexpr IntField<ModelConfig> kModelInts[] = {
    {"vocabulary", &ModelConfig::vocabulary, 2, 1 << 20},
    {"width", &ModelConfig::width, 1, 16384},
    {"layers", &ModelConfig::layers, 1, 256},
    {"context", &ModelConfig::context, 1, 32768},
    {"heads", &ModelConfig::heads, 1, 256},
    {"kv_heads", &ModelConfig::kv_heads, 1, 256},
    {"head_width", &ModelConfig::head_width, 2, 512},
    {"sliding_window", &ModelConfig::sliding_window, 0, 32768},
    {"query_rank", &ModelConfig::query_rank, 0, 16384},
    {"kv_rank", &ModelConfig::kv_rank, 1, 16384},
    {"nope_width", &ModelConfig::nope_width, 1, 510},
    {"rope_width", &ModelConfig::rope_width, 2, 510},
    {"value_width", &ModelConfig::value_width, 1, 512},
    {"yarn_original_context", &ModelConfig::yarn_original_context, 1, 1 << 24},
    {"dense_layers", &ModelConfig::dense_layers, 0, 256},
    {"dense_width", &ModelConfig::dense_width, 1, 65536},
    {"experts", &ModelConfig::experts, 1, 1024},
    {"experts_per_token", &ModelConfig::experts_per_token, 1, 64},
    {"expert_width", &ModelConfig::expert_width, 1, 65536},
    {"shared_experts", &ModelConfig::shared_experts, 0, 16},
    {"router_groups", &ModelConfig::router_groups, 1, 64},
    {"router_groups_kept", &ModelConfig::router_groups_kept, 1, 64},
    {"hash_layers", &ModelConfig::hash_layers, 0, 256},
    {"prediction_depth", &ModelConfig::prediction_depth, 0, 1},
};
constexpr RealField<ModelConfig> kModelReals[] = {
    {"rms_epsilon", &ModelConfig::rms_epsilon, 1e-12, 0.1},
    {"rope_theta", &ModelConfig::rope_theta, 1.0, 1e9},
    {"yarn_factor", &ModelConfig::yarn_factor, 1.0, 1000.0},
    {"yarn_beta_fast", &ModelConfig::yarn_beta_fast, 0.01, 1000.0},
    {"yarn_beta_slow", &ModelConfig::yarn_beta_slow, 0.01, 1000.0},
    {"yarn_mscale", &ModelConfig::yarn_mscale, 0.0, 10.0},
    {"yarn_mscale_all_dim", &ModelConfig::yarn_mscale_all_dim, 0.0, 10.0},
    {"swiglu_alpha", &ModelConfig::swiglu_alpha, 0.0, 100.0},
    {"swiglu_limit", &ModelConfig::swiglu_limit, 1e-3, 1e6},
    {"router_scale", &ModelConfig::router_scale, 1e-6, 1000.0},
    {"router_jitter", &ModelConfig::router_jitter, 0.0, 0.5},
    {"capacity_factor", &ModelConfig::capacity_factor, 0.0, 1000.0},
};
constexpr BoolField<ModelConfig> kModelBools[] = {
    {"tied_head", &ModelConfig::tied_head},
    {"attention_bias", &ModelConfig::attention_bias},
    {"attention_sinks", &ModelConfig::attention_sinks},
    {"yarn_truncate", &ModelConfig::yarn_truncate},
    {"expert_bias", &ModelConfig::expert_bias},
    {"normalise_weights", &ModelConfig::normalise_weights},
    {"router_bias", &ModelConfig::router_bias},
    {"selection_bias", &ModelConfig::selection_bias},
};
template <auto Member>
constexpr ChoiceField<ModelConfig> model_choice(const char* key, std::span<const char* const> names) {
    return {key, names, &Access<Member>::get, &Access<Member>::set};
}
constexpr ChoiceField<ModelConfig> kModelChoices[] = {
    model_choice<&ModelConfig::attention>("attention", kAttentions),
    model_choice<&ModelConfig::head_norm>("head_norm", kHeadNorms),
    model_choice<&ModelConfig::rope_order>("rope_order", kRopeOrders),
    model_choice<&ModelConfig::sliding_layers>("sliding_layers", kSliding),
    model_choice<&ModelConfig::activation>("activation", kActivations),
    model_choice<&ModelConfig::router_scoring>("router_scoring", kScorings),
    model_choice<&ModelConfig::group_score>("group_score", kGroupScores),
    model_choice<&ModelConfig::router_choice>("router_choice", kChoices),
    model_choice<&ModelConfig::drop>("drop", kDrops),
};
constexpr int kMany = 1000000000;
constexpr IntField<TrainConfig> kTrainInts[] = {
    {"batch", &TrainConfig::batch, 1, 65536},
    {"accumulation", &TrainConfig::accumulation, 1, 4096},
    {"steps", &TrainConfig::steps, 1, kMany},
    {"warmup_steps", &TrainConfig::warmup_steps, 0, kMany},
    {"evaluate_every", &TrainConfig::evaluate_every, 0, kMany},
    {"sample_every", &TrainConfig::sample_every, 0, kMany},
    {"checkpoint_every", &TrainConfig::checkpoint_every, 0, kMany},
    {"threads", &TrainConfig::threads, 0, 1024},
};
constexpr RealField<TrainConfig> kTrainReals[] = {
    {"learning_rate", &TrainConfig::learning_rate, 0.0, kMaxLearningRate},
    {"decay_fraction", &TrainConfig::decay_fraction, 0.0, 1.0},
    {"final_learning_rate_ratio", &TrainConfig::final_learning_rate_ratio, 0.0, 1.0},
    {"weight_decay", &TrainConfig::weight_decay, 0.0, 1.0},
    {"beta1", &TrainConfig::beta1, 0.0, 0.999999},
    {"beta2", &TrainConfig::beta2, 0.0, 0.999999},
    {"adam_epsilon", &TrainConfig::adam_epsilon, 1e-16, 0.1},
    {"muon_momentum", &TrainConfig::muon_momentum, 0.0, 0.9999},
    {"muon_learning_rate", &TrainConfig::muon_learning_rate, 0.0, kMaxLearningRate},
    {"gradient_clip", &TrainConfig::gradient_clip, 1e-6, 1e6},
    {"balance_coefficient", &TrainConfig::balance_coefficient, 0.0, kMaxCoefficient},
    {"z_coefficient", &TrainConfig::z_coefficient, 0.0, kMaxCoefficient},
    {"bias_speed", &TrainConfig::bias_speed, 0.0, kMaxBiasSpeed},
    {"prediction_coefficient", &TrainConfig::prediction_coefficient, 0.0, kMaxCoefficient},
    {"norm_limit", &TrainConfig::norm_limit, 0.0, 1e12},
};
template <auto Member>
constexpr ChoiceField<TrainConfig> train_choice(const char* key, std::span<const char* const> names) {
    return {key, names, &Access<Member>::get, &Access<Member>::set};
}
constexpr ChoiceField<TrainConfig> kTrainChoices[] = {
    train_choice<&TrainConfig::optimizer>("optimizer", kOptimizers),
    train_choice<&TrainConfig::schedule>("schedule", kSchedules),
    train_choice<&TrainConfig::balance>("balance", kBalances),
    train_choice<&TrainConfig::precision>("precision", kPrecisions),
};

std::string number(double value) {
    std::ostringstream out;
    out.precision(9);
    out << value;
    return out.str();
}

std::string shown(const Json& value) {
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > 60) {
        text.resize(60);
        text += "...";
    }
    return text;
}

[[noreturn]] void refuse_range(const std::string& where, const std::string& value, double low, double high) {
    throw Error(where + " is " + value + ", but must be from " + number(low) + " to " + number(high) + ".");
}

void read_int(const Json& value, const std::string& where, int low, int high, int& into) {
    if (!value.is_number_integer()) {
        throw Error(where + " is " + shown(value) + ", but must be a whole number from " + number(low) + " to " +
                    number(high) + ".");
    }
    const bool fits = value.is_number_unsigned() ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(high)
                                                 : value.get<std::int64_t>() <= high;
    if (!fits || value.get<std::int64_t>() < low) {
        refuse_range(where, shown(value), low, high);
    }
    into = value.get<int>();
}

void check_real(double value, const std::string& where, double low, double high) {
    if (!std::isfinite(value) || value < low || value > high) {
        refuse_range(where, number(value), low, high);
    }
}

std::string join(std::span<const char* const> names) {
    std::string text;
    for (const char* name : names) {
        text += (text.empty() ? "" : ", ") + std::string(name);
    }
    return text;
}

template <class Owner>
class Section {
 public:
    Section(std::span<const IntField<Owner>> ints, std::span<const RealField<Owner>> reals,
            std::span<const BoolField<Owner>> bools, std::span<const ChoiceField<Owner>> choices)
        : ints_(ints), reals_(reals), bools_(bools), choices_(choices) {}

    /// True when `key` is one of this section's and was read.
    bool read(const std::string& key, const Json& value, const std::string& where, Owner& into) const {
        return read_number(key, value, where, into) || read_word(key, value, where, into);
    }

    void check(const Owner& values, const std::string& where) const {
        for (const auto& field : ints_) {
            const int value = values.*field.member;
            if (value < field.low || value > field.high) {
                refuse_range(where + field.key, std::to_string(value), field.low, field.high);
            }
        }
        for (const auto& field : reals_) {
            check_real(values.*field.member, where + field.key, field.low, field.high);
        }
    }

    void write(const Owner& values, Json& into) const {
        for (const auto& field : ints_) {
            into[field.key] = values.*field.member;
        }
        for (const auto& field : reals_) {
            into[field.key] = values.*field.member;
        }
        for (const auto& field : bools_) {
            into[field.key] = values.*field.member;
        }
        for (const auto& field : choices_) {
            into[field.key] = field.names[static_cast<std::size_t>(field.get(values))];
        }
    }

    void describe(const std::string& section, std::vector<ConfigField>& into) const {
        for (const auto& field : ints_) {
            into.push_back(
                {section, field.key, "integer", static_cast<double>(field.low), static_cast<double>(field.high), {}});
        }
        for (const auto& field : reals_) {
            into.push_back({section, field.key, "number", field.low, field.high, {}});
        }
        for (const auto& field : bools_) {
            into.push_back({section, field.key, "flag", 0, 1, {}});
        }
        for (const auto& field : choices_) {
            into.push_back({section, field.key, "choice", 0, 0, {field.names.begin(), field.names.end()}});
        }
    }

 private:
    bool read_number(const std::string& key, const Json& value, const std::string& where, Owner& into) const {
        for (const auto& field : ints_) {
            if (key == field.key) {
                read_int(value, where, field.low, field.high, into.*field.member);
                return true;
            }
        }
        for (const auto& field : reals_) {
            if (key == field.key) {
                if (!value.is_number()) {
                    throw Error(where + " is " + shown(value) + ", but must be a number from " + number(field.low) +
                                " to " + number(field.high) + ".");
                }
                into.*field.member = value.get<double>();
                check_real(into.*field.member, where, field.low, field.high);
                return true;
            }
        }
        return false;
    }

    bool read_word(const std::string& key, const Json& value, const std::string& where, Owner& into) const {
        for (const auto& field : bools_) {
            if (key == field.key) {
                if (!value.is_boolean()) {
                    throw Error(where + " is " + shown(value) + ", but must be true or false.");
                }
                into.*field.member = value.get<bool>();
                return true;
            }
        }
        for (const auto& field : choices_) {
            if (key == field.key) {
                const auto found = value.is_string() ? std::find(field.names.begin(), field.names.end(),
                                                                 value.get_ref<const std::string&>())
                                                     : field.names.end();
                if (found == field.names.end()) {
                    throw Error(where + " is " + shown(value) + ", but must be one of: " + join(field.names) + ".");
                }
                field.set(into, static_cast<int>(found - field.names.begin()));
                return true;
            }
        }
        return false;
    }

    std::span<const IntField<Owner>> ints_;
    std::span<const RealField<Owner>> reals_;
    std::span<const BoolField<Owner>> bools_;
    std::span<const ChoiceField<Owner>> choices_;
};

Section<ModelConfig> model_section() {
    return {kModelInts, kModelReals, kModelBools, kModelChoices};
}
Section<TrainConfig> train_section() {
    return {kTrainInts, kTrainReals, {}, kTrainChoices};
}

[[noreturn]] void refuse_key(const std::string& where, const std::string& key) {
    throw Error(where + " has the unknown key \"" + key + "\": check the spelling or remove it.");
}

void read_seed(const Json& value, const std::string& where, std::uint64_t& seed) {
    if (!value.is_number_unsigned()) {
        throw Error(where + " is " + shown(value) + ", but must be a whole number from 0 to 18446744073709551615.");
    }
    seed = value.get<std::uint64_t>();
}

const Json& object(const Json& value, const std::string& where) {
    if (!value.is_object()) {
        throw Error(where + " is " + shown(value) + ", but must be a JSON object.");
    }
    return value;
}

/// `key` says both values when `wrong`.
void refuse_if(bool wrong, const std::string& source, const std::string& sentence) {
    if (wrong) {
        throw Error(source + ": " + sentence);
    }
}

std::string named(const char* key, int value) {
    return "model." + std::string(key) + " (" + std::to_string(value) + ")";
}

void check_attention(const ModelConfig& m, const std::string& source) {
    refuse_if(m.yarn_factor > 1 && m.rope_theta <= 1, source,
              "model.yarn_factor needs model.rope_theta of more than 1: with 1 all frequencies are the same.");
    if (m.attention == AttentionKind::latent) {
        refuse_if(m.kv_heads != m.heads, source,
                  named("kv_heads", m.kv_heads) + " must equal " + named("heads", m.heads) +
                      " with latent attention, where every head has its own keys.");
        refuse_if(m.rope_width % 2 != 0, source,
                  named("rope_width", m.rope_width) + " must be even, because RoPE turns pairs.");
        refuse_if(m.nope_width + m.rope_width > 512, source,
                  named("nope_width", m.nope_width) + " and " + named("rope_width", m.rope_width) +
                      " must not be more than 512 together.");
        refuse_if(m.head_norm != HeadNorm::none, source,
                  "model.head_norm must be none with latent attention, which norms its low-rank codes instead.");
        refuse_if(m.attention_bias || m.attention_sinks, source,
                  "model.attention_bias and model.attention_sinks need grouped attention.");
        return;
    }
    refuse_if(m.heads % m.kv_heads != 0, source,
              named("heads", m.heads) + " must be a multiple of " + named("kv_heads", m.kv_heads) + ".");
    refuse_if(m.head_width % 2 != 0, source,
              named("head_width", m.head_width) + " must be even, because RoPE turns pairs.");
    refuse_if(m.sliding_layers != SlidingLayers::none && m.sliding_window == 0, source,
              "model.sliding_layers needs model.sliding_window of at least 1.");
}

void check_groups(const ModelConfig& m, const std::string& source) {
    refuse_if(m.experts % m.router_groups != 0, source,
              named("experts", m.experts) + " must be a multiple of " + named("router_groups", m.router_groups) + ".");
    refuse_if(m.router_groups_kept > m.router_groups, source,
              named("router_groups_kept", m.router_groups_kept) + " must not be more than " +
                  named("router_groups", m.router_groups) + ".");
    const int size = m.experts / m.router_groups;
    refuse_if(m.router_groups > 1 && m.group_score == GroupScore::top2 && size < 2, source,
              "model.group_score top2 needs at least two experts in each group.");
    refuse_if(m.router_groups_kept * size < m.experts_per_token, source,
              named("router_groups_kept", m.router_groups_kept) + " leaves " +
                  std::to_string(m.router_groups_kept * size) + " experts to choose from, fewer than " +
                  named("experts_per_token", m.experts_per_token) + ".");
}

void check_router(const RunConfig& config, const std::string& source) {
    const ModelConfig& m = config.model;
    refuse_if(m.experts_per_token > m.experts, source,
              named("experts_per_token", m.experts_per_token) + " must not be more than " +
                  named("experts", m.experts) + ".");
    check_groups(m, source);
    const bool special = m.router_choice != Choice::token;
    refuse_if(special && m.router_groups > 1, source,
              "model.router_groups needs model.router_choice token: groups limit what a token chooses by its scores.");
    refuse_if(special && m.selection_bias, source,
              "model.selection_bias needs model.router_choice token: other choices balance the load by themselves.");
    refuse_if(m.router_choice == Choice::expert && m.capacity_factor <= 0, source,
              "model.router_choice expert needs model.capacity_factor: how many tokens each expert takes.");
    refuse_if(m.router_choice == Choice::expert && m.router_scoring == Scoring::softmax_after_top_k, source,
              "model.router_choice expert has no top k of a token, so softmax_after_top_k makes no sense.");
    refuse_if(m.router_choice == Choice::expert && m.normalise_weights, source,
              "model.router_choice expert uses the scores as they are: set model.normalise_weights to false.");
    refuse_if(m.router_choice == Choice::expert && config.train.balance != Balance::none, source,
              "model.router_choice expert is balanced by construction: set train.balance to none.");
    refuse_if(m.hash_layers > m.layers, source,
              named("hash_layers", m.hash_layers) + " must not be more than " + named("layers", m.layers) + ".");
    refuse_if(m.dense_layers > m.layers, source,
              named("dense_layers", m.dense_layers) + " must not be more than " + named("layers", m.layers) + ".");
}

/// What no single range can say.
void check_together(const RunConfig& config, const std::string& source) {
    const ModelConfig& m = config.model;
    check_attention(m, source);
    check_router(config, source);
    const std::int64_t slots = m.router_choice == Choice::expert ? m.experts : m.experts_per_token;
    const std::int64_t rows = static_cast<std::int64_t>(config.train.batch) * m.context * slots;
    if (rows > std::numeric_limits<std::int32_t>::max()) {
        throw Error(source + ": train.batch x model.context x model.experts_per_token is " + std::to_string(rows) +
                    ", more than 2147483647: choose a smaller batch or context.");
    }
    refuse_if(m.prediction_depth > 0 && m.context < 3, source,
              "model.prediction_depth needs model.context of at least 3, because it looks two tokens ahead.");
}

}  // namespace

void validate(const RunConfig& config, const std::string& source) {
    model_section().check(config.model, source + ": model.");
    train_section().check(config.train, source + ": train.");
    check_together(config, source);
}

RunConfig parse_run_config(const Json& value, const std::string& source) {
    RunConfig config;
    for (const auto& [key, part] : object(value, source).items()) {
        if (key == "name") {
            if (!part.is_string() || part.get_ref<const std::string&>().size() > 200) {
                throw Error(source + ": name is " + shown(part) + ", but must be a text of at most 200 bytes.");
            }
            config.name = part.get<std::string>();
        } else if (key == "model") {
            for (const auto& [inner, field] : object(part, source + ": model").items()) {
                if (!model_section().read(inner, field, source + ": model." + inner, config.model)) {
                    refuse_key(source + ": model", inner);
                }
            }
        } else if (key == "train") {
            for (const auto& [inner, field] : object(part, source + ": train").items()) {
                if (inner == "seed") {
                    read_seed(field, source + ": train.seed", config.train.seed);
                } else if (!train_section().read(inner, field, source + ": train." + inner, config.train)) {
                    refuse_key(source + ": train", inner);
                }
            }
        } else {
            refuse_key(source, key);
        }
    }
    validate(config, source);
    return config;
}

Json to_json(const RunConfig& config) {
    Json value = {{"name", config.name}, {"model", Json::object()}, {"train", Json::object()}};
    model_section().write(config.model, value["model"]);
    train_section().write(config.train, value["train"]);
    value["train"]["seed"] = config.train.seed;
    return value;
}

std::vector<ConfigField> config_fields() {
    std::vector<ConfigField> fields;
    model_section().describe("model", fields);
    train_section().describe("train", fields);
    return fields;
}

}  // namespace moescope::engine
