// Configuration of a model and of a run, as people write it in JSON (assets/presets/*.json). Strict: unknown keys,
// wrong types, impossible sizes, NaN and out-of-range values are refused with a sentence that names the key, the value
// and the range. Every key is a row of one table, which is also data (config_fields): parser, catalogue,
// form, knobs and manual follow it.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
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
enum class Precision { f32, bf16 };

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
    double norm_limit = 0.0;  ///< gradient norm beyond which a step is refused; 0: only NaN and infinity are
    int evaluate_every = 50;
    int sample_every = 100;
    int checkpoint_every = 200;
    std::uint64_t seed = 1;
    int threads = 0;  ///< 0: as many as the machine has
};

struct RunConfig {
    std::string name;  ///< of the preset
    ModelConfig model;
    TrainConfig train;
};

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

/// Whether a setting may change while a run goes on.
enum class Live {
    no,
    yes,               ///< within its range
    up_to_configured,  ///< from its lowest value to the configured one, for which buffers were planned; 0 takes that
                       ///< one
};

/// One setting: all that the parser, the node's catalogue, a form and the knobs of a run know of it.
struct ConfigField {
    std::string section;  ///< "model" or "train"
    std::string group;    ///< of a form: "size", "router", ...
    std::string key;
    std::string type;          ///< "integer", "number", "flag", "choice"
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
