// The kinds of model that the engine knows, each as a change to a small default configuration.
#pragma once

#include <functional>
#include <ostream>

#include "engine/model/config.hpp"

namespace moescope::engine::test {

struct Variant {
    const char* name;
    std::function<void(RunConfig&)> change;
};

inline void PrintTo(const Variant& variant, std::ostream* out) {
    *out << variant.name;
}

inline void make_latent(RunConfig& c) {
    ModelConfig& m = c.model;
    m.attention = AttentionKind::latent;
    m.kv_heads = m.heads;
    m.qk_norm = QkNorm::none;
    m.rope_order = RopeOrder::interleaved;
    m.kv_rank = 8;
    m.nope_width = 5;
    m.rope_width = 4;
    m.value_width = 7;
}

inline const Variant kVariants[] = {
    {"default", [](RunConfig&) {}},
    {"own_head_plain_weights",
     [](RunConfig& c) {
         c.model.tied_head = false;
         c.model.normalise_weights = false;
     }},
    {"full_norm", [](RunConfig& c) { c.model.qk_norm = QkNorm::full; }},
    {"no_norm_interleaved",
     [](RunConfig& c) {
         c.model.qk_norm = QkNorm::none;
         c.model.rope_order = RopeOrder::interleaved;
     }},
    {"biases_sinks_window",
     [](RunConfig& c) {
         c.model.qk_norm = QkNorm::none;
         c.model.attention_bias = c.model.attention_sinks = true;
         c.model.sliding_window = 3;
         c.model.sliding_layers = SlidingLayers::even;
         c.model.expert_bias = c.model.router_bias = true;
         c.model.activation = Activation::clamped_swiglu;
         c.model.swiglu_limit = 4;  // few values reach the bend, where no slope exists
         c.model.router_scoring = Scoring::softmax_after_top_k;
         c.model.yarn_factor = 4;
         c.model.yarn_original_context = 16;
     }},
    {"latent", make_latent},
    {"latent_query_rank_shared_dense",
     [](RunConfig& c) {
         make_latent(c);
         c.model.query_rank = 9;
         c.model.shared_experts = 1;
         c.model.dense_layers = 1;
         c.model.dense_width = 22;
         c.model.experts = 6;
         c.model.router_scoring = Scoring::sigmoid;
         c.model.selection_bias = true;
         c.model.router_groups = 3;
         c.model.router_groups_kept = 2;
         c.model.router_scale = 2.5;
         c.train.balance = Balance::sequence;
     }},
    {"prediction",
     [](RunConfig& c) {
         c.model.prediction_depth = 1;
         c.model.tied_head = false;
     }},
    {"prediction_tied", [](RunConfig& c) { c.model.prediction_depth = 1; }},
    {"all_dense",
     [](RunConfig& c) {
         c.model.dense_layers = c.model.layers;
         c.model.dense_width = 18;
     }},
    {"expert_choice",
     [](RunConfig& c) {
         c.model.router_choice = Choice::expert;
         c.model.capacity_factor = 1.5;
         c.model.normalise_weights = false;
         c.train.balance = Balance::none;
     }},
    {"hash", [](RunConfig& c) { c.model.hash_layers = 1; }},
    {"capacity_softplus",
     [](RunConfig& c) {
         c.model.capacity_factor = 1.0;
         c.model.router_scoring = Scoring::sqrt_softplus;
     }},
    {"jitter", [](RunConfig& c) { c.model.router_jitter = 0.2; }},
    {"sinkhorn", [](RunConfig& c) { c.model.router_choice = Choice::sinkhorn; }},
    {"quantile", [](RunConfig& c) { c.model.router_choice = Choice::quantile; }},
};

}  // namespace moescope::engine::test
