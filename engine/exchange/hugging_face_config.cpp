#include "engine/exchange/hugging_face_config.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "engine/error.hpp"
#include "engine/exchange/hugging_face_keys.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;

constexpr int kMostContext = 32768;          // of ModelConfig
constexpr double kLatentNormEpsilon = 1e-6;  // fixed in transformers for the norms of the latents

/// Names of one setting, as the attribute_map of the type's class in transformers has them; save_pretrained may write
/// either (5.24 writes num_local_experts for qwen3_moe, where the published models have num_experts).
struct OtherName {
    ModelType type;
    const char* key;
    const char* other;
};
constexpr OtherName kOtherNames[] = {
    {ModelType::qwen3_moe, "num_experts", "num_local_experts"},
    {ModelType::olmoe, "num_experts", "num_local_experts"},
    {ModelType::mixtral, "num_local_experts", "num_experts"},
    {ModelType::deepseek_v3, "n_routed_experts", "num_local_experts"},
    {ModelType::deepseek_v3, "num_nextn_predict_layers", "num_mtp_layers"},
    {ModelType::gpt_oss, "num_local_experts", "num_experts"},
};

/// What transformers takes for num_key_value_heads when the key is not there; for null it takes num_attention_heads.
int left_out_kv_heads(ModelType type, int heads) {
    switch (type) {
        case ModelType::qwen3_moe:
            return 4;
        case ModelType::mixtral:
        case ModelType::gpt_oss:
            return 8;
        case ModelType::deepseek_v3:
            return 128;
        case ModelType::olmoe:
            break;
    }
    return heads;
}

/// A number that may be null; `left_out` when the key is not there, as the class in transformers has it.
int integer_or_null(JsonKeys& keys, const char* key, int null, int left_out) {
    return keys.integer(key, keys.contains(key) ? null : left_out);
}

void read_yarn(JsonKeys& rope, ModelConfig& m, int context) {
    m.yarn_factor = rope.real("factor");
    m.yarn_original_context = rope.integer("original_max_position_embeddings", context);
    m.yarn_beta_fast = rope.real("beta_fast", 32.0);
    m.yarn_beta_slow = rope.real("beta_slow", 1.0);
    m.yarn_truncate = rope.flag("truncate", true);
    m.yarn_mscale = rope.real("mscale", 0.0);
    m.yarn_mscale_all_dim = rope.real("mscale_all_dim", 0.0);
    if (rope.has("attention_factor")) {
        const auto magnitude = [&](double mscale) { return 0.1 * mscale * std::log(m.yarn_factor) + 1.0; };
        const bool both = m.yarn_mscale != 0.0 && m.yarn_mscale_all_dim != 0.0;
        const double ours = both ? magnitude(m.yarn_mscale) / magnitude(m.yarn_mscale_all_dim) : magnitude(1.0);
        if (std::abs(rope.real("attention_factor") - ours) > 1e-6) {
            rope.refuse("attention_factor", say("but only the usual one, {}, can be opened", ours));
        }
    }
}

/// One RoPE object of either spelling. `theta`: what stands beside it, 0 when nothing does.
void read_rope_object(const Json& value, const std::string& source, double theta, int context, ModelConfig& m) {
    JsonKeys rope(value, source);
    const std::string type = rope.text("rope_type", rope.text("type", "default"));
    if (rope.text("type", type) != type) {
        rope.refuse("type", say("but rope_type says {}", type));
    }
    if (type != "default" && type != "yarn") {
        rope.refuse(rope.has("rope_type") ? "rope_type" : "type", say("but only default and yarn can be opened"));
    }
    m.rope_theta = rope.real("rope_theta", theta);
    if (theta != 0.0 && m.rope_theta != theta) {
        rope.refuse("rope_theta", say("but rope_theta beside it is {}", theta));
    }
    rope.must_be("partial_rotary_factor", 1.0, say("RoPE turns whole heads"));
    if (type == "yarn") {
        read_yarn(rope, m, context);
        if (!rope.unused().empty()) {
            rope.refuse(rope.unused().front(), say("a key that we do not know for yarn"));
        }
    }
}

bool same_rope(const ModelConfig& a, const ModelConfig& b) {
    return a.rope_theta == b.rope_theta && a.yarn_factor == b.yarn_factor &&
           (a.yarn_factor == 1.0 ||
            (a.yarn_original_context == b.yarn_original_context && a.yarn_beta_fast == b.yarn_beta_fast &&
             a.yarn_beta_slow == b.yarn_beta_slow && a.yarn_truncate == b.yarn_truncate &&
             a.yarn_mscale == b.yarn_mscale && a.yarn_mscale_all_dim == b.yarn_mscale_all_dim));
}

void read_rope(JsonKeys& keys, const std::string& source, int context, ModelConfig& m) {
    const double theta = keys.real("rope_theta", 0.0);
    const Json &old_style = keys.value("rope_scaling"), &new_style = keys.value("rope_parameters");
    if (!new_style.is_null()) {
        read_rope_object(new_style, source + ": rope_parameters", theta, context, m);
        if (!old_style.is_null()) {
            ModelConfig other = m;
            other.yarn_factor = 1.0;
            read_rope_object(old_style, source + ": rope_scaling", theta == 0.0 ? m.rope_theta : theta, context, other);
            if (!same_rope(m, other)) {
                keys.refuse("rope_scaling", say("but rope_parameters says something else; remove one of them"));
            }
        }
    } else if (!old_style.is_null()) {
        read_rope_object(old_style, source + ": rope_scaling", theta, context, m);
    } else {
        m.rope_theta = theta;
    }
    if (m.rope_theta == 0.0) {
        keys.refuse("rope_theta", say("and there are no rope_parameters with it"));
    }
}

void read_common(JsonKeys& keys, const std::string& source, HuggingFaceConfig& out) {
    ModelConfig& m = out.model;
    m.vocabulary = keys.integer("vocab_size");
    m.width = keys.integer("hidden_size");
    m.layers = keys.integer("num_hidden_layers");
    m.context = keys.integer("max_position_embeddings");
    m.rms_epsilon = keys.real("rms_norm_eps");
    m.tied_head = keys.flag("tie_word_embeddings", false);
    m.heads = keys.integer("num_attention_heads");
    m.kv_heads = integer_or_null(keys, "num_key_value_heads", m.heads, left_out_kv_heads(out.type, m.heads));
    m.experts_per_token = keys.integer("num_experts_per_tok");
    keys.must_be("hidden_act", "silu", say("experts are SwiGLU"));
    keys.must_be_off("quantization_config",
                     say("the weights are quantised; get a folder with F32, F16 or BF16 weights"));
    keys.must_be_off("clip_qkv", say("queries, keys and values are never clipped here"));
    keys.must_be_off("mlp_bias", say("dense layers have no bias here"));
    keys.must_be_off("is_encoder_decoder", say("only decoders can be opened"));
    keys.must_be_off("add_cross_attention", say("only plain decoders can be opened"));
    keys.must_be("partial_rotary_factor", 1.0, say("RoPE turns whole heads"));
    read_rope(keys, source, m.context, m);
    if (m.context > kMostContext) {
        out.notes.push_back(
            say("max_position_embeddings is {}; here the context is at most {} tokens", m.context, kMostContext));
        m.context = kMostContext;
    }
    keys.ignore({"architectures",
                 "model_type",
                 "torch_dtype",
                 "dtype",
                 "transformers_version",
                 "attention_dropout",
                 "initializer_range",
                 "router_aux_loss_coef",
                 "output_router_logits",
                 "use_cache",
                 "bos_token_id",
                 "eos_token_id",
                 "pad_token_id",
                 "tokenizer_class",
                 "_name_or_path",
                 "router_jitter_noise",
                 "auto_map",
                 "aux_loss_alpha",
                 "seq_aux",
                 "ep_size",
                 "pretraining_tp",
                 "initial_context_length",
                 "return_dict",
                 "output_attentions",
                 "output_hidden_states",
                 "chunk_size_feed_forward",
                 "moescope"});
}

/// Width of a head where head_dim may be left out.
int head_width_of(JsonKeys& keys, const ModelConfig& m) {
    if (!keys.has("head_dim") && (m.heads <= 0 || m.width % m.heads != 0)) {
        keys.refuse("head_dim", say("and hidden_size is no multiple of num_attention_heads"));
    }
    return keys.integer("head_dim", m.heads > 0 ? m.width / m.heads : 0);
}

/// "full_attention" for every layer, or the pattern that we have a word for.
SlidingLayers read_layer_types(JsonKeys& keys, const ModelConfig& m, SlidingLayers otherwise) {
    const Json& types = keys.value("layer_types");
    if (types.is_null()) {
        return otherwise;
    }
    if (!types.is_array() || types.size() != static_cast<std::size_t>(std::max(0, m.layers))) {
        keys.refuse("layer_types", say("but must list a type for each of num_hidden_layers"));
    }
    bool none = true, even = true, all = true;
    for (std::size_t i = 0; i < types.size(); ++i) {
        const bool slides = types[i] == "sliding_attention";
        if (!slides && types[i] != "full_attention") {
            keys.refuse("layer_types", say("but only full_attention and sliding_attention can be opened"));
        }
        none = none && !slides;
        all = all && slides;
        even = even && slides == (i % 2 == 0);
    }
    if (!none && !even && !all) {
        keys.refuse("layer_types", say("but only none, all, or layers 0, 2, 4, ... can look back a limited way"));
    }
    return none ? SlidingLayers::none : even ? SlidingLayers::even : SlidingLayers::all;
}

/// mlp_only_layers [0, 1, ..., n - 1] are n dense layers; any other list has no word here.
int read_dense_layers(JsonKeys& keys) {
    keys.must_be("decoder_sparse_step", 1, say("every layer after the dense ones has experts"));
    const Json& dense = keys.value("mlp_only_layers");
    if (dense.is_null()) {
        return 0;
    }
    bool first_ones = dense.is_array();
    for (std::size_t i = 0; first_ones && i < dense.size(); ++i) {
        first_ones = dense[i] == i;
    }
    if (!first_ones) {
        keys.refuse("mlp_only_layers", say("but dense layers can only be the first ones"));
    }
    return static_cast<int>(dense.size());
}

void read_qwen3_moe(JsonKeys& keys, HuggingFaceConfig& out) {
    ModelConfig& m = out.model;
    m.head_width = head_width_of(keys, m);
    m.qk_norm = QkNorm::head;
    m.attention_bias = keys.flag("attention_bias", false);
    m.experts = keys.integer("num_experts");
    m.expert_width = keys.integer("moe_intermediate_size");
    m.normalise_weights = keys.flag("norm_topk_prob", false);
    m.dense_layers = read_dense_layers(keys);
    m.dense_width = m.dense_layers > 0 ? keys.integer("intermediate_size") : m.dense_width;
    keys.must_be("use_sliding_window", false, say("all tokens are looked at"));
    if (read_layer_types(keys, m, SlidingLayers::none) != SlidingLayers::none) {
        keys.refuse("layer_types", say("but use_sliding_window is not set"));
    }
    keys.ignore({"intermediate_size", "sliding_window", "max_window_layers"});
}

void read_olmoe(JsonKeys& keys, HuggingFaceConfig& out) {
    ModelConfig& m = out.model;
    m.head_width = head_width_of(keys, m);
    if (m.head_width * m.heads != m.width) {
        keys.refuse("head_dim", say("but must be hidden_size divided by num_attention_heads in this type"));
    }
    m.qk_norm = QkNorm::full;
    m.attention_bias = keys.flag("attention_bias", false);
    m.experts = keys.integer("num_experts");
    m.expert_width = keys.integer("intermediate_size");
    m.normalise_weights = keys.flag("norm_topk_prob", false);
}

void read_mixtral(JsonKeys& keys, HuggingFaceConfig& out) {
    ModelConfig& m = out.model;
    m.head_width = head_width_of(keys, m);
    m.qk_norm = QkNorm::none;
    m.experts = keys.integer("num_local_experts");
    m.expert_width = keys.integer("intermediate_size");
    m.normalise_weights = true;
    m.sliding_window = keys.integer("sliding_window", 0);
    m.sliding_layers = m.sliding_window > 0 ? SlidingLayers::all : SlidingLayers::none;
    if (read_layer_types(keys, m, m.sliding_layers) != m.sliding_layers) {
        keys.refuse("layer_types", say("but sliding_window says something else"));
    }
    keys.must_be_off("attention_bias", say("this type has no biases"));
}

void read_deepseek_v3(JsonKeys& keys, HuggingFaceConfig& out) {
    ModelConfig& m = out.model;
    m.attention = AttentionKind::latent;
    m.qk_norm = QkNorm::none;
    m.query_rank = integer_or_null(keys, "q_lora_rank", 0, 1536);
    m.kv_rank = keys.integer("kv_lora_rank");
    m.nope_width = keys.integer("qk_nope_head_dim");
    m.rope_width = keys.integer("qk_rope_head_dim");
    m.value_width = keys.integer("v_head_dim");
    m.rope_order = keys.flag("rope_interleave", true) ? RopeOrder::interleaved : RopeOrder::half;
    m.dense_layers = keys.integer("first_k_dense_replace");
    m.dense_width = m.dense_layers > 0 ? keys.integer("intermediate_size") : m.dense_width;
    m.experts = keys.integer("n_routed_experts");
    m.expert_width = keys.integer("moe_intermediate_size");
    m.shared_experts = keys.integer("n_shared_experts");
    m.router_scoring = Scoring::sigmoid;
    m.selection_bias = true;
    m.normalise_weights = keys.flag("norm_topk_prob", true);
    m.router_scale = keys.real("routed_scaling_factor", 2.5);
    m.router_groups = integer_or_null(keys, "n_group", 1, 8);
    m.router_groups_kept = integer_or_null(keys, "topk_group", 1, 4);
    m.group_score = GroupScore::top2;
    if (m.kv_heads != m.heads) {
        keys.refuse("num_key_value_heads", say("but must equal num_attention_heads in this type"));
    }
    if (m.shared_experts < 1) {
        keys.refuse("n_shared_experts", say("but this type has at least one"));
    }
    if (std::abs(m.rms_epsilon - kLatentNormEpsilon) > 1e-12) {
        keys.refuse("rms_norm_eps", say("but transformers norms the latents with 1e-6 whatever it says, and one value "
                                        "for all norms is what can be opened"));
    }
    keys.must_be_off("attention_bias", say("this attention has no biases here"));
    keys.must_be("moe_layer_freq", 1, say("every layer after the dense ones has experts"));
    keys.must_be("scoring_func", "sigmoid", say("the other one belongs to DeepSeek-V2"));
    keys.must_be("topk_method", "noaux_tc", say("the others belong to DeepSeek-V2"));
    out.prediction_layers = keys.integer("num_nextn_predict_layers", 0);
    keys.ignore({"intermediate_size", "head_dim", "qk_head_dim"});
}

void read_gpt_oss(JsonKeys& keys, HuggingFaceConfig& out) {
    ModelConfig& m = out.model;
    m.head_width = keys.integer("head_dim");
    m.qk_norm = QkNorm::none;
    m.attention_bias = keys.flag("attention_bias", true);
    m.attention_sinks = true;
    m.experts = keys.integer("num_local_experts");
    m.expert_width = keys.integer("intermediate_size");
    m.activation = Activation::clamped_swiglu;
    m.swiglu_alpha = keys.real("swiglu_alpha", 1.702);
    m.swiglu_limit = keys.real("swiglu_limit", 7.0);
    m.expert_bias = true;
    m.router_bias = true;
    m.router_scoring = Scoring::softmax_after_top_k;
    m.sliding_window = integer_or_null(keys, "sliding_window", 0, 128);
    m.sliding_layers = read_layer_types(keys, m, m.sliding_window > 0 ? SlidingLayers::even : SlidingLayers::none);
    keys.ignore({"experts_per_token"});
}

ModelType type_of(JsonKeys& keys) {
    const std::string name = keys.text("model_type", "");
    std::string known;
    for (const ModelType type : kModelTypes) {
        if (name == hugging_face_name(type)) {
            return type;
        }
        base::append_to_list(known, hugging_face_name(type));
    }
    keys.refuse("model_type", say("but only these can be opened: {}", known));
}

Json write_rope(const ModelConfig& m) {
    Json rope = {{"rope_type", "default"}, {"rope_theta", m.rope_theta}};
    if (m.yarn_factor > 1.0) {
        rope["rope_type"] = "yarn";
        rope["factor"] = m.yarn_factor;
        rope["original_max_position_embeddings"] = m.yarn_original_context;
        rope["beta_fast"] = m.yarn_beta_fast;
        rope["beta_slow"] = m.yarn_beta_slow;
        rope["truncate"] = m.yarn_truncate;
        if (m.yarn_mscale != 0.0 || m.yarn_mscale_all_dim != 0.0) {
            rope["mscale"] = m.yarn_mscale;
            rope["mscale_all_dim"] = m.yarn_mscale_all_dim;
        }
    }
    return rope;
}

Json write_common(ModelType type, const ModelConfig& m) {
    constexpr const char* kArchitectures[] = {"Qwen3MoeForCausalLM", "OlmoeForCausalLM", "MixtralForCausalLM",
                                              "DeepseekV3ForCausalLM", "GptOssForCausalLM"};
    const Json rope = write_rope(m);
    return {
        {"architectures", Json::array({kArchitectures[static_cast<std::size_t>(type)]})},
        {"model_type", hugging_face_name(type)},
        {"torch_dtype", "float32"},
        {"vocab_size", m.vocabulary},
        {"hidden_size", m.width},
        {"num_hidden_layers", m.layers},
        {"num_attention_heads", m.heads},
        {"num_key_value_heads", m.kv_heads},
        {"max_position_embeddings", m.context},
        {"rms_norm_eps", m.rms_epsilon},
        {"tie_word_embeddings", m.tied_head},
        {"num_experts_per_tok", m.experts_per_token},
        {"hidden_act", "silu"},
        {"attention_dropout", 0.0},
        {"initializer_range", 0.02},
        {"use_cache", true},
        {"rope_theta", m.rope_theta},
        {"rope_parameters", rope},
        {"rope_scaling", m.yarn_factor > 1.0 ? rope : Json()},
    };
}

Json layer_types(const ModelConfig& m) {
    Json types = Json::array();
    for (int layer = 0; layer < m.layers; ++layer) {
        types.push_back(slides(m, static_cast<std::size_t>(layer)) ? "sliding_attention" : "full_attention");
    }
    return types;
}

void write_qwen3_moe(Json& c, const ModelConfig& m) {
    Json dense = Json::array();
    for (int layer = 0; layer < m.dense_layers; ++layer) {
        dense.push_back(layer);
    }
    c.update({{"head_dim", m.head_width},
              {"attention_bias", m.attention_bias},
              {"num_experts", m.experts},
              {"moe_intermediate_size", m.expert_width},
              {"intermediate_size", m.dense_width},
              {"norm_topk_prob", m.normalise_weights},
              {"decoder_sparse_step", 1},
              {"mlp_only_layers", dense},
              {"use_sliding_window", false},
              {"sliding_window", nullptr},
              {"output_router_logits", false}});
}

void write_olmoe(Json& c, const ModelConfig& m) {
    c.update({{"attention_bias", m.attention_bias},
              {"num_experts", m.experts},
              {"intermediate_size", m.expert_width},
              {"norm_topk_prob", m.normalise_weights},
              {"clip_qkv", nullptr},
              {"output_router_logits", false}});
}

void write_mixtral(Json& c, const ModelConfig& m) {
    const bool window = m.sliding_layers == SlidingLayers::all && m.sliding_window > 0;
    c.update({{"head_dim", m.head_width},
              {"num_local_experts", m.experts},
              {"intermediate_size", m.expert_width},
              {"sliding_window", window ? Json(m.sliding_window) : Json()},
              {"output_router_logits", false},
              {"router_jitter_noise", 0.0}});
}

void write_deepseek_v3(Json& c, const ModelConfig& m) {
    c.update({{"num_key_value_heads", m.heads},
              {"q_lora_rank", m.query_rank > 0 ? Json(m.query_rank) : Json()},
              {"kv_lora_rank", m.kv_rank},
              {"qk_nope_head_dim", m.nope_width},
              {"qk_rope_head_dim", m.rope_width},
              {"v_head_dim", m.value_width},
              {"rope_interleave", m.rope_order == RopeOrder::interleaved},
              {"attention_bias", false},
              {"first_k_dense_replace", m.dense_layers},
              {"intermediate_size", m.dense_width},
              {"moe_layer_freq", 1},
              {"n_routed_experts", m.experts},
              {"moe_intermediate_size", m.expert_width},
              {"n_shared_experts", m.shared_experts},
              {"norm_topk_prob", m.normalise_weights},
              {"routed_scaling_factor", m.router_scale},
              {"scoring_func", "sigmoid"},
              {"topk_method", "noaux_tc"},
              {"num_nextn_predict_layers", m.prediction_depth}});
    const bool grouped = m.router_groups_kept < m.router_groups;
    c.update({{"n_group", grouped ? m.router_groups : 1}, {"topk_group", grouped ? m.router_groups_kept : 1}});
}

void write_gpt_oss(Json& c, const ModelConfig& m) {
    c.update({{"head_dim", m.head_width},
              {"attention_bias", m.attention_bias},
              {"num_local_experts", m.experts},
              {"intermediate_size", m.expert_width},
              {"layer_types", layer_types(m)},
              {"sliding_window", m.sliding_window > 0 ? Json(m.sliding_window) : Json(128)},
              {"swiglu_limit", m.swiglu_limit},
              {"swiglu_alpha", m.swiglu_alpha},
              {"output_router_logits", false}});
}

}  // namespace

HuggingFaceConfig parse_hugging_face_config(const Json& config, const std::string& source) {
    constexpr void (*kReaders[])(JsonKeys&, HuggingFaceConfig&) = {read_qwen3_moe, read_olmoe, read_mixtral,
                                                                   read_deepseek_v3, read_gpt_oss};
    JsonKeys keys(config, source);
    HuggingFaceConfig out;
    out.type = type_of(keys);
    for (const OtherName& name : kOtherNames) {
        if (name.type == out.type) {
            keys.also_named(name.key, name.other);
        }
    }
    read_common(keys, source, out);
    kReaders[static_cast<std::size_t>(out.type)](keys, out);
    RunConfig checked;
    checked.model = out.model;
    validate(checked, Sentence::verbatim(source));
    if (const std::string names = base::joined(keys.unused()); !names.empty()) {
        out.notes.push_back(say("These keys of config.json are unknown and were not used: {}", names));
    }
    return out;
}

Json write_hugging_face_config(ModelType type, const ModelConfig& model) {
    constexpr void (*kWriters[])(Json&, const ModelConfig&) = {write_qwen3_moe, write_olmoe, write_mixtral,
                                                               write_deepseek_v3, write_gpt_oss};
    Json config = write_common(type, model);
    kWriters[static_cast<std::size_t>(type)](config, model);
    return config;
}

}  // namespace moescope::engine
