// Small models of every type with random parameters, for the tests of import and export.
#pragma once

#include <filesystem>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/exchange/gguf_export.hpp"
#include "engine/exchange/model_types.hpp"
#include "engine/exchange/tensor_names.hpp"
#include "engine/model/parameters.hpp"

namespace moescope::engine::test {

struct SmallModel {
    std::string name;
    ModelType type = ModelType::qwen3_moe;
    ModelConfig model;
};

inline ModelConfig small_config() {
    ModelConfig m;
    m.vocabulary = 40;
    m.width = 24;
    m.layers = 2;
    m.context = 64;
    m.tied_head = false;
    m.heads = 4;
    m.kv_heads = 2;
    m.head_width = 8;
    m.experts = 6;
    m.experts_per_token = 2;
    m.expert_width = 10;
    return m;
}

inline ModelConfig small_olmoe() {
    ModelConfig m = small_config();
    m.kv_heads = 4;
    m.head_width = 6;
    m.qk_norm = QkNorm::full;
    m.normalise_weights = false;
    m.rms_epsilon = 1e-5;
    return m;
}

inline ModelConfig small_mixtral() {
    ModelConfig m = small_config();
    m.qk_norm = QkNorm::none;
    m.rope_theta = 1e6;
    return m;
}

inline ModelConfig small_deepseek() {
    ModelConfig m = small_config();
    m.attention = AttentionKind::latent;
    m.qk_norm = QkNorm::none;
    m.kv_heads = m.heads;
    m.query_rank = 12;
    m.kv_rank = 16;
    m.nope_width = 6;
    m.rope_width = 4;
    m.value_width = 5;
    m.rope_order = RopeOrder::interleaved;
    m.layers = 3;
    m.dense_layers = 1;
    m.dense_width = 14;
    m.shared_experts = 2;
    m.router_scoring = Scoring::sigmoid;
    m.selection_bias = true;
    m.router_scale = 2.5;
    return m;
}

inline ModelConfig small_gpt_oss() {
    ModelConfig m = small_config();
    m.qk_norm = QkNorm::none;
    m.attention_bias = m.attention_sinks = m.expert_bias = m.router_bias = true;
    m.activation = Activation::clamped_swiglu;
    m.router_scoring = Scoring::softmax_after_top_k;
    m.sliding_window = 5;
    m.sliding_layers = SlidingLayers::even;
    m.layers = 3;
    m.yarn_factor = 4.0;
    m.yarn_original_context = 16;
    return m;
}

inline std::vector<SmallModel> small_models() {
    std::vector<SmallModel> list = {{"qwen3_moe", ModelType::qwen3_moe, small_config()},
                                    {"olmoe", ModelType::olmoe, small_olmoe()},
                                    {"mixtral", ModelType::mixtral, small_mixtral()},
                                    {"deepseek_v3", ModelType::deepseek_v3, small_deepseek()},
                                    {"gpt_oss", ModelType::gpt_oss, small_gpt_oss()}};
    list.push_back({"qwen3_moe tied", ModelType::qwen3_moe, small_config()});
    list.back().model.tied_head = true;
    list.push_back({"deepseek_v3 groups", ModelType::deepseek_v3, small_deepseek()});
    list.back().model.query_rank = 0;
    list.back().model.router_groups = 3;
    list.back().model.router_groups_kept = 2;
    list.back().model.normalise_weights = false;
    return list;
}

struct Filled {
    ParameterLayout layout;
    std::vector<float> parameters;
};

/// Norms around 1, everything else large enough that a wrong place changes the logits. Padding stays 0.
inline Filled fill(const ModelConfig& model, unsigned seed) {
    Filled out{make_layout(model), {}};
    out.parameters.assign(out.layout.floats, 0.0f);
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 0.25f);
    for (const TensorSpec& tensor : out.layout.tensors) {
        const float centre = tensor.start == Start::one ? 1.0f : 0.0f;
        for (std::uint64_t i = 0; i < tensor.count; ++i) {
            out.parameters[tensor.offset + i] = centre + normal(random);
        }
    }
    return out;
}

/// A model in two GGUF files as llama-gguf-split names and numbers them: "m-00001-of-00002.gguf" has the metadata.
inline void write_in_parts(const std::filesystem::path& folder, const SmallModel& small, const Filled& filled,
                           const GgufValues& more) {
    const auto tensors = gguf_tensors(small.type, small.model, filled.layout);
    std::vector<GgufOutput> parts[2];
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const FileTensor& tensor = tensors[i];
        parts[i < tensors.size() / 2 ? 0 : 1].push_back(
            {tensor.name, tensor.shape, GgufFloat::f32,
             [&tensor, &filled](std::span<float> values) { gather(values, filled.parameters.data(), tensor); }});
    }
    GgufValues values = gguf_model_values(small.type, small.model);
    values.insert(values.end(), more.begin(), more.end());
    for (std::uint16_t part = 0; part < 2; ++part) {
        values.emplace_back("split.no", part);
        values.emplace_back("split.count", std::uint16_t{2});
        values.emplace_back("split.tensors.count", static_cast<std::int32_t>(tensors.size()));
        write_gguf(folder / (part == 0 ? "m-00001-of-00002.gguf" : "m-00002-of-00002.gguf"), values, parts[part]);
        values.clear();
    }
}

}  // namespace moescope::engine::test
