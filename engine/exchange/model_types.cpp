#include "engine/exchange/model_types.hpp"

#include <algorithm>
#include <span>
#include <cmath>

#include "base/text.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

constexpr std::size_t kMostReasons = 6;

bool same_value(const nlohmann::json& a, const nlohmann::json& b) {
    if (a.is_number_float() || b.is_number_float()) {
        const double x = a.get<double>(), y = b.get<double>();
        return std::abs(x - y) <= 1e-6 * std::max(std::abs(x), std::abs(y));
    }
    return a == b;
}

Sentence first_of(const std::vector<std::string>& parts) {
    const std::size_t shown = std::min(parts.size(), kMostReasons);
    const std::string list = base::joined(std::span(parts).first(shown));
    return shown < parts.size() ? say("{} and {} more", list, parts.size() - shown) : Sentence::verbatim(list);
}

void reset_idle_attention(ModelConfig& m) {
    const ModelConfig none;
    if (m.attention == AttentionKind::latent) {
        m.head_width = none.head_width;
        m.kv_heads = m.heads;
        m.qk_norm = QkNorm::none;
    } else {
        m.query_rank = none.query_rank;
        m.kv_rank = none.kv_rank;
        m.nope_width = none.nope_width;
        m.rope_width = none.rope_width;
        m.value_width = none.value_width;
    }
    if (m.sliding_layers == SlidingLayers::none || m.sliding_window == 0) {
        m.sliding_layers = SlidingLayers::none;
        m.sliding_window = 0;
    }
    if (m.yarn_factor == 1.0) {
        m.yarn_original_context = none.yarn_original_context;
        m.yarn_beta_fast = none.yarn_beta_fast;
        m.yarn_beta_slow = none.yarn_beta_slow;
        m.yarn_truncate = none.yarn_truncate;
        m.yarn_mscale = none.yarn_mscale;
        m.yarn_mscale_all_dim = none.yarn_mscale_all_dim;
    }
}

}  // namespace

const char* hugging_face_name(ModelType type) {
    constexpr const char* kNames[] = {"qwen3_moe", "olmoe", "mixtral", "deepseek_v3", "gpt_oss"};
    return kNames[static_cast<std::size_t>(type)];
}

const char* gguf_name(ModelType type) {
    constexpr const char* kNames[] = {"qwen3moe", "olmoe", "llama", "deepseek2", "gpt-oss"};
    return kNames[static_cast<std::size_t>(type)];
}

ModelConfig without_idle_settings(ModelConfig m) {
    const ModelConfig none;
    reset_idle_attention(m);
    if (m.dense_layers == 0) {
        m.dense_width = none.dense_width;
    }
    if (m.activation == Activation::swiglu) {
        m.swiglu_alpha = none.swiglu_alpha;
        m.swiglu_limit = none.swiglu_limit;
    }
    if (m.router_groups_kept == m.router_groups) {
        m.router_groups = m.router_groups_kept = 1;
    }
    if (m.router_groups == 1) {
        m.group_score = none.group_score;
    }
    if (m.router_scoring == Scoring::softmax_after_top_k && m.router_groups == 1 && !m.selection_bias) {
        m.router_scoring = Scoring::softmax;
        m.normalise_weights = true;
    }
    if (m.capacity_factor == 0.0) {
        m.drop = none.drop;
    }
    m.router_jitter = 0.0;
    m.prediction_depth = 0;
    return m;
}

std::vector<std::string> differing_settings(const ModelConfig& model, const ModelConfig& got) {
    RunConfig have, want;
    have.model = without_idle_settings(model);
    want.model = without_idle_settings(got);
    const nlohmann::json a = to_json(have)["model"], b = to_json(want)["model"];
    std::vector<std::string> differing;
    for (const auto& [key, value] : a.items()) {
        if (!same_value(value, b[key])) {
            differing.push_back("model." + key + " (" + value.dump() + "; needs " + b[key].dump() + ")");
        }
    }
    return differing;
}

ModelType choose_type(const ModelConfig& model, const std::string& format,
                      const std::function<ModelConfig(ModelType)>& expressed, const char* (*name)(ModelType)) {
    constexpr std::size_t kUnreadable = 1000;  // a type whose file nobody could read is never the nearest
    std::vector<std::string> reasons;
    std::size_t fewest = kUnreadable + 1;
    ModelType nearest = ModelType::qwen3_moe;
    for (const ModelType type : kModelTypes) {
        std::vector<std::string> differing;
        std::size_t count = kUnreadable;
        try {
            differing = differing_settings(model, expressed(type));
            count = differing.size();
        } catch (const Error& error) {
            differing = {error.what()};
        }
        if (count == 0) {
            return type;
        }
        if (count < fewest) {
            fewest = count;
            reasons = std::move(differing);
            nearest = type;
        }
    }
    throw Error(
        say("this model cannot be written as {}: the nearest type, {}, has no way to say {}; change the settings and "
            "train again, or keep the checkpoint",
            format, name(nearest), first_of(reasons)));
}

}  // namespace moescope::engine
