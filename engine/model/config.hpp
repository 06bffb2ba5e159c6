// Configuration of a model and of a run, as people write it in JSON (assets/presets/*.json). Strict: unknown keys,
// wrong types, impossible sizes, NaN and out-of-range values are refused with a sentence that names the key, the value
// and the range.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace moescope::engine {

/// Shape of a Qwen3-MoE style model: RMSNorm, grouped-query attention with RoPE and q/k-norm, softmax top-k router with
/// normalised weights, SwiGLU experts.
struct ModelConfig {
    int vocabulary = 4096;
    int width = 192;  ///< D, model width
    int layers = 6;
    int heads = 6;  ///< query heads
    int kv_heads = 2;
    int head_width = 32;
    int experts = 16;           ///< E
    int experts_per_token = 2;  ///< K
    int expert_width = 128;     ///< F
    int context = 128;          ///< longest sequence, tokens
    double rope_theta = 10000.0;
    double rms_epsilon = 1e-6;
    bool normalise_weights = true;  ///< divide the chosen weights by their sum
    bool tied_head = true;          ///< output projection is the embedding
};

struct TrainConfig {
    int batch = 8;  ///< sequences per step
    int steps = 2000;
    double learning_rate = 3e-3;  ///< peak
    double final_learning_rate_ratio = 0.1;
    int warmup_steps = 20;
    double weight_decay = 0.1;
    double beta1 = 0.9, beta2 = 0.95, adam_epsilon = 1e-8;
    double gradient_clip = 1.0;
    double balance_coefficient = 0.01;  ///< Switch balance loss
    double z_coefficient = 0.001;       ///< router z-loss
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
RunConfig parse_run_config(const nlohmann::json& value, const std::string& source);
nlohmann::json to_json(const RunConfig& config);

/// What a run will need, known before it starts.
struct RunPlan {
    std::uint64_t parameters_total = 0;
    std::uint64_t parameters_active = 0;  ///< per token
    std::uint64_t memory_bytes = 0;       ///< parameters, gradients, optimizer state and activations
    double flops_per_token = 0;           ///< forward and backward
};
/// Throws Error when sizes overflow.
RunPlan plan_run(const RunConfig& config);

}  // namespace moescope::engine
