#include "routing/imports/model_shape.hpp"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>

#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "routing/router_spec.hpp"

namespace moescope::routing {

using nlohmann::json;

namespace {

/// The first of the names that holds a number in range; 0 when none does.
int first_of(const json& config, std::initializer_list<const char*> names, int most) {
    for (const char* name : names) {
        const int value = base::integer_of(config, name);
        if (value > 0 && value <= most) {
            return value;
        }
    }
    return 0;
}

/// As the classes of transformers decide whether a layer has experts.
std::vector<int> routed_layers_of(const json& config, int layers) {
    const int dense = base::integer_of(config, "first_k_dense_replace");
    const int step = std::max(1, base::integer_of(config, "decoder_sparse_step", 1));
    const json& frequency = base::member(config, "moe_layer_freq");
    const int every = std::max(1, static_cast<int>(base::as_integer(frequency).value_or(1)));
    std::set<int> without;
    const json& given = base::member(config, "mlp_only_layers");
    for (std::size_t i = 0; given.is_array() && i < given.size() && i < static_cast<std::size_t>(kMostLayers); ++i) {
        if (const auto layer = base::as_integer(given[i])) {
            without.insert(static_cast<int>(std::clamp<std::int64_t>(*layer, -1, kMostLayers)));
        }
    }
    std::vector<int> routed;
    for (int layer = 0; layer < layers; ++layer) {
        const auto place = static_cast<std::size_t>(layer);
        const bool by_list =
            !frequency.is_array() || (place < frequency.size() && base::as_integer(frequency[place]).value_or(0) != 0);
        if (layer >= dense && (layer + 1) % step == 0 && layer % every == 0 && by_list && !without.contains(layer)) {
            routed.push_back(layer);
        }
    }
    return routed;
}

}  // namespace

ModelShape read_model_shape(const std::filesystem::path& path) {
    constexpr std::uint64_t kMost = std::uint64_t{4} << 20;
    const json whole = base::read_json_file(path, kMost);
    const json& text = base::member(whole, "text_config");  // models that see pictures, too
    const json& config = text.is_object() ? text : whole;
    ModelShape shape;
    shape.layers = first_of(config, {"num_hidden_layers", "n_layers", "num_layers"}, kMostLayers);
    shape.experts =
        first_of(config, {"num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts", "num_moe_experts"},
                 kMostExperts);
    shape.per_token = first_of(
        config, {"num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_k", "top_k_experts", "moe_topk"},
        kMostExperts);
    shape.shared_experts =
        first_of(config, {"n_shared_experts", "num_shared_experts", "moe_num_shared_experts"}, kMostExperts);
    if (shape.layers == 0 || shape.experts == 0 || shape.per_token == 0) {
        throw Error(say("{} does not say how many layers, experts and experts per token the model has", path));
    }
    shape.routed_layers = routed_layers_of(config, shape.layers);
    return shape;
}

}  // namespace moescope::routing
