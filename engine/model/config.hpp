// Configuration of a model and of a run, as people write it in JSON (assets/presets/*.json). Strict: unknown keys,
// wrong types, impossible sizes, NaN and out-of-range values are refused with a sentence that names the key, the value
// and the range. Every key is a row of one table, which is also data (config_fields): parser, catalogue,
// form, knobs and manual follow it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/sentence.hpp"
#include "kernels/cpu/experts.hpp"
#include "kernels/cpu/qk_norm.hpp"
#include "kernels/cpu/rope.hpp"
#include "kernels/cpu/router.hpp"

namespace moescope::engine {

/// grouped: queries share key-value heads (GQA). latent: DeepSeek's MLA, keys and values rebuilt from a latent.
enum class AttentionKind { grouped, latent };
using kernels::QkNorm;
using kernels::RopeOrder;
/// Which layers look back only `sliding_window` tokens.
enum class SlidingLayers { none, even, all };
using kernels::Activation;
using kernels::Balance;
using kernels::Choice;
using kernels::Drop;
using kernels::GroupScore;
using kernels::Scoring;
enum class Optimizer { adamw, muon };
enum class Schedule { cosine, warmup_stable_decay };
/// fp8: the experts' grouped products in e4m3 with a scale per tile (kernels/cpu/experts.hpp), all else as with bf16.
enum class Precision { f32, bf16, fp8 };
/// The way of what several processes send each other of their devices' memory: direct where all can, through the host's
/// memory over MPI, from GPU to GPU by NCCL.
enum class Exchange { best, host, nccl };

/// Shape of a model. Defaults: Qwen3-MoE style (grouped-query attention with RoPE and q/k-norm, softmax top-k router
/// with normalised weights, SwiGLU experts).
struct ModelConfig {
    int vocabulary = 4096;
    int width = 192;  ///< D, model width
    int layers = 6;
    int context = 128;  ///< longest sequence, tokens
    double rms_epsilon = 1e-6;
    bool tied_head = true;  ///< output projection is the embedding

    AttentionKind attention = AttentionKind::grouped;
    int heads = 6;        ///< query heads
    int kv_heads = 2;     ///< latent attention: as many as heads
    int head_width = 32;  ///< grouped attention only
    QkNorm qk_norm = QkNorm::head;
    bool attention_bias = false;   ///< on q, k, v and output projections
    bool attention_sinks = false;  ///< one learned score per head that takes probability and gives nothing (gpt-oss)
    int sliding_window = 0;        ///< tokens, the own one included; 0: none
    SlidingLayers sliding_layers = SlidingLayers::none;  ///< even: layers 0, 2, 4, ...
    // Latent attention. A head's query and key are nope_width + rope_width wide, its value value_width.
    int query_rank = 0;  ///< 0: queries are projected directly
    int kv_rank = 64;
    int nope_width = 32, rope_width = 16, value_width = 32;

    double rope_theta = 10000.0;
    RopeOrder rope_order = RopeOrder::half;
    double yarn_factor = 1.0;  ///< 1: plain RoPE. Else YaRN (arXiv 2309.00071) with the three below
    int yarn_original_context = 4096;
    double yarn_beta_fast = 32.0, yarn_beta_slow = 1.0;
    bool yarn_truncate = true;                            ///< round the correction range to whole dimensions
    double yarn_mscale = 0.0, yarn_mscale_all_dim = 0.0;  ///< DeepSeek's two; both 0: 0.1 ln(factor) + 1

    int dense_layers = 0;  ///< the first ones have one dense SwiGLU of dense_width instead of experts
    int dense_width = 512;
    int experts = 16;           ///< E
    int experts_per_token = 2;  ///< K
    int expert_width = 128;     ///< F
    int shared_experts = 0;     ///< always on; together one SwiGLU of shared_experts x expert_width
    Activation activation = Activation::swiglu;
    double swiglu_alpha = 1.702, swiglu_limit = 7.0;  ///< clamped_swiglu
    bool expert_bias = false;

    Scoring router_scoring = Scoring::softmax;
    bool normalise_weights = true;  ///< divide the chosen weights by their sum
    double router_scale = 1.0;      ///< times the applied weights
    bool router_bias = false;       ///< learned bias of the router's projection
    bool selection_bias = false;    ///< DeepSeek-V3: added to the scores for the choice only, no gradient
    int router_groups = 1, router_groups_kept = 1;
    GroupScore group_score = GroupScore::top2;
    Choice router_choice = Choice::token;
    int hash_layers = 0;           ///< the first ones choose by hash whatever router_choice says
    double router_jitter = 0.0;    ///< training: router inputs times uniform(1 - jitter, 1 + jitter)
    double capacity_factor = 0.0;  ///< 0: dropless. Else an expert takes at most ceil(T K / E x factor) tokens
    Drop drop = Drop::probability;

    int prediction_depth = 0;  ///< 1: one multi-token prediction module (DeepSeek-V3), trained beside the model
};

struct TrainConfig {
    int batch = 8;         ///< sequences per micro-batch
    int accumulation = 1;  ///< micro-batches per step
    int steps = 2000;
    Optimizer optimizer = Optimizer::adamw;
    double learning_rate = 3e-3;  ///< peak
    Schedule schedule = Schedule::cosine;
    double decay_fraction = 0.2;  ///< warmup_stable_decay: last part of the steps
    double final_learning_rate_ratio = 0.1;
    int warmup_steps = 20;
    double weight_decay = 0.1;
    double beta1 = 0.9, beta2 = 0.95, adam_epsilon = 1e-8;
    double muon_momentum = 0.95;
    double muon_learning_rate = 0.02;  ///< peak, of the matrices that Muon trains
    double gradient_clip = 1.0;
    Balance balance = Balance::batch;
    double balance_coefficient = 0.01;
    double z_coefficient = 0.001;          ///< router z-loss
    double bias_update_rate = 0.001;       ///< of selection_bias, per step
    double prediction_coefficient = 0.3;   ///< of the multi-token prediction loss
    Precision precision = Precision::f32;  ///< of the matrix products; weights and sums stay f32
    /// Of attention itself: queries, keys, values and what comes out. f32, or bf16 with a precision that isn't f32.
    Precision attention_precision = Precision::f32;
    double norm_limit = 0.0;  ///< gradient norm beyond which a step is refused; 0: only NaN and infinity are
    int evaluate_every = 50;
    int sample_every = 100;
    int checkpoint_every = 200;
    std::uint64_t seed = 1;
    int threads = 0;             ///< 0: as many as the machine has
    std::string device = "cpu";  ///< what computes: kernels/devices.hpp
    // Several processes ("ranks") that train one model together: engine/model/rank_work.hpp.
    int processes = 1;
    int expert_parallel = 1;             ///< neighbours that share the experts; 1: each has all of them
    bool all_to_all = false;             ///< those neighbours take different sequences, and tokens go to their experts
    Exchange exchange = Exchange::best;  ///< changes no number
};

struct RunConfig {
    std::string name;  ///< of the preset
    ModelConfig model;
    TrainConfig train;
};

/// Whether a setting may change while a run goes on.
enum class Live {
    no,
    yes,               ///< within its range
    up_to_configured,  ///< from its lowest value to the configured one, for which buffers were planned; 0 takes that
                       ///< one
};

/// The table of settings: a row beside each member above. Behind config_fields, for the code of this configuration
/// alone.
namespace rows {

inline constexpr const char* kAttentions[] = {"grouped", "latent"};
inline constexpr const char* kQkNorms[] = {"none", "head", "full"};
inline constexpr const char* kRopeOrders[] = {"half", "interleaved"};
inline constexpr const char* kSliding[] = {"none", "even", "all"};
inline constexpr const char* kGroupScores[] = {"max", "top2"};
inline constexpr const char* kChoices[] = {"token", "expert", "hash", "sinkhorn", "quantile"};
inline constexpr const char* kDrops[] = {"probability", "position"};
inline constexpr const char* kActivations[] = {"swiglu", "clamped_swiglu"};
inline constexpr const char* kBalances[] = {"none", "batch", "sequence", "global"};
inline constexpr const char* kOptimizers[] = {"adamw", "muon"};
inline constexpr const char* kSchedules[] = {"cosine", "warmup_stable_decay"};
inline constexpr const char* kPrecisions[] = {"f32", "bf16", "fp8"};
inline constexpr const char* kAttentionPrecisions[] = {"f32", "bf16"};
inline constexpr const char* kExchanges[] = {"auto", "host", "nccl"};

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
/// A text is the name of a device.
using AnyMember =
    std::variant<Member<int>, Member<double>, Member<bool>, Member<std::uint64_t>, Member<std::string>, Choices>;

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
constexpr Row device_row(const char* group, const char* key, More more = {}) {
    return {Reach<Member>::kSection, group, key, &Reach<Member>::of, 0, 0, more};
}
template <auto Member>
constexpr Row choice_row(const char* group, const char* key, std::span<const char* const> names, More more = {}) {
    return {
        Reach<Member>::kSection, group, key, Choices{names, &Reach<Member>::index, &Reach<Member>::choose}, 0, 0, more};
}

using M = ModelConfig;
using T = TrainConfig;
inline constexpr double kMany = 1e9;
inline constexpr const char kRouted[] = "dense_layers < layers";
inline constexpr const char kLatent[] = "attention = latent";
inline constexpr const char kYarn[] = "yarn_factor > 1";

// In the order in which a form shows them. Kernel limits: kMaxHeadWidth, kMaxExperts, kMaxChosen of kernels/cpu.
inline constexpr Row kRows[] = {
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
    choice_row<&T::attention_precision>("schedule", "attention_precision", kAttentionPrecisions,
                                        {.when = "precision != f32"}),
    device_row<&T::device>("schedule", "device"),
    number_row<&T::threads>("schedule", "threads", 0, 1024, {.when = "device = cpu"}),
    number_row<&T::processes>("schedule", "processes", 1, 65535, {.when = "device = cpu"}),
    number_row<&T::expert_parallel>("schedule", "expert_parallel", 1, 1024,
                                    {.when = "dense_layers < layers and processes > 1"}),
    flag_row<&T::all_to_all>("schedule", "all_to_all", {.when = "dense_layers < layers and expert_parallel > 1"}),
    choice_row<&T::exchange>("schedule", "exchange", kExchanges, {.when = "processes > 1 and device != cpu"}),

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

}  // namespace rows

/// Throws Error. `source` names the file or preset in messages.
RunConfig parse_run_config(const nlohmann::json& value, const base::Sentence& source);
inline RunConfig parse_run_config(const nlohmann::json& value, const std::string& source) {
    return parse_run_config(value, base::Sentence::verbatim(source));
}
nlohmann::json to_json(const RunConfig& config);
/// Throws Error naming the key, the value and the range. For configurations that were not read from JSON.
void validate(const RunConfig& config, const base::Sentence& source);
/// What sentences call it: its name, else "configuration".
base::Sentence title_of(const RunConfig& config);

/// One setting: all that the parser, the node's catalogue, a form and the knobs of a run know of it.
struct ConfigField {
    std::string section;  ///< "model" or "train"
    std::string group;    ///< of a form: "size", "router", ...
    std::string key;
    std::string type;          ///< "integer", "number", "flag", "choice", "device"
    double low = 0, high = 0;  ///< integer and number; 2^64 stands for the largest whole number of 64 bits
    std::vector<std::string> choices;
    std::string unit;  ///< empty: none
    std::string when;  ///< what has to hold for it to have an effect; base/settings.hpp
    Live live = Live::no;
    std::string live_when;             ///< what has to hold besides, for it to change during a run
    bool fork = false;                 ///< may be another in a fork: no tensor depends on it
    std::vector<std::string> aliases;  ///< names that it had: still read, never written
};
/// All settings, in the order of a form. Lives as long as the program.
const std::vector<ConfigField>& config_fields();

/// Values of live settings by key.
using LiveValues = std::map<std::string, double>;
/// False too when it would have no effect in a run that was planned for `configured`.
bool may_change(const RunConfig& configured, const std::string& key);
/// The value of a live setting. Throws Error.
double live_value(const RunConfig& now, const std::string& key);
/// Puts a value of a live setting into `now`, the settings of a run that was planned for `configured`. Throws Error
/// when the setting is not live, has no effect in this run, or the value is out of range; then `now` is as before.
void set_live(RunConfig& now, const RunConfig& configured, const std::string& key, double value);

}  // namespace moescope::engine
