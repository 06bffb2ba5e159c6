#include "engine/model/parameters.hpp"

#include <algorithm>
#include <cmath>

#include "engine/model/arena.hpp"
#include "engine/model/random.hpp"

namespace moescope::engine {
namespace {

constexpr std::uint64_t kAlignFloats = 16;

class LayoutBuilder {
 public:
    explicit LayoutBuilder(ParameterLayout& layout) : layout_(layout) {}

    /// Appends a block of product(shape) floats.
    std::uint64_t block(const std::vector<std::uint64_t>& shape, int layer, TensorPart part) {
        std::uint64_t count = 1;
        for (const std::uint64_t size : shape) {
            count = checked_product(count, size, "a parameter tensor");
        }
        const TensorSpec spec{layout_.floats, count, layer, part, shape.size() > 1};
        layout_.tensors.push_back(spec);
        const std::uint64_t padded = (count + kAlignFloats - 1) / kAlignFloats * kAlignFloats;
        layout_.floats = checked_sum(layout_.floats, padded, "the parameters");
        layout_.parameters = checked_sum(layout_.parameters, count, "the parameters");
        return spec.offset;
    }

 private:
    ParameterLayout& layout_;
};

std::uint64_t size_of(int value) {
    return static_cast<std::uint64_t>(value);
}

void add_layer(LayoutBuilder& builder, LayerOffsets& at, const ModelConfig& m, int layer) {
    const std::uint64_t D = size_of(m.width), C = size_of(m.head_width), E = size_of(m.experts),
                        F = size_of(m.expert_width);
    const std::uint64_t q = size_of(m.heads) * C, kv = size_of(m.kv_heads) * C;
    at.input_norm = builder.block({D}, layer, TensorPart::norm);
    at.qkv = builder.block({q + 2 * kv, D}, layer, TensorPart::attention);
    at.q_norm = builder.block({C}, layer, TensorPart::attention);
    at.k_norm = builder.block({C}, layer, TensorPart::attention);
    at.output = builder.block({D, q}, layer, TensorPart::attention);
    at.post_norm = builder.block({D}, layer, TensorPart::norm);
    at.router = builder.block({E, D}, layer, TensorPart::router);
    at.gate_up = builder.block({E, 2 * F, D}, layer, TensorPart::experts);
    at.down = builder.block({E, D, F}, layer, TensorPart::experts);
}

/// Collects names; the products are parts of blocks whose sizes were checked.
class Names {
 public:
    void add(std::string name, std::vector<std::uint64_t> shape, std::uint64_t offset) {
        std::uint64_t count = 1;
        for (const std::uint64_t size : shape) {
            count *= size;
        }
        list_.push_back({std::move(name), std::move(shape), offset, count});
    }
    std::vector<NamedTensor> take() { return std::move(list_); }

 private:
    std::vector<NamedTensor> list_;
};

void name_layer(Names& names, const LayerOffsets& at, const ModelConfig& m, int layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const std::uint64_t D = size_of(m.width), C = size_of(m.head_width), E = size_of(m.experts),
                        F = size_of(m.expert_width);
    const std::uint64_t q = size_of(m.heads) * C, kv = size_of(m.kv_heads) * C;
    names.add(prefix + "input_layernorm.weight", {D}, at.input_norm);
    names.add(prefix + "self_attn.q_proj.weight", {q, D}, at.qkv);
    names.add(prefix + "self_attn.k_proj.weight", {kv, D}, at.qkv + q * D);
    names.add(prefix + "self_attn.v_proj.weight", {kv, D}, at.qkv + (q + kv) * D);
    names.add(prefix + "self_attn.q_norm.weight", {C}, at.q_norm);
    names.add(prefix + "self_attn.k_norm.weight", {C}, at.k_norm);
    names.add(prefix + "self_attn.o_proj.weight", {D, q}, at.output);
    names.add(prefix + "post_attention_layernorm.weight", {D}, at.post_norm);
    names.add(prefix + "mlp.gate.weight", {E, D}, at.router);
    for (std::uint64_t e = 0; e < E; ++e) {
        const std::string expert = prefix + "mlp.experts." + std::to_string(e) + ".";
        names.add(expert + "gate_proj.weight", {F, D}, at.gate_up + e * 2 * F * D);
        names.add(expert + "up_proj.weight", {F, D}, at.gate_up + (e * 2 + 1) * F * D);
        names.add(expert + "down_proj.weight", {D, F}, at.down + e * D * F);
    }
}

void fill_normal(float* p, std::uint64_t offset, std::uint64_t count, double deviation, std::uint64_t seed) {
    for (std::uint64_t i = 0; i < count; ++i) {
        p[offset + i] = static_cast<float>(deviation * random_normal(seed, 1, offset + i));
    }
}

}  // namespace

const char* tensor_part_name(TensorPart part) {
    constexpr const char* kNames[] = {"embedding", "attention", "router", "experts", "norm", "head"};
    return kNames[static_cast<int>(part)];
}

ParameterLayout make_layout(const ModelConfig& model) {
    ParameterLayout layout;
    LayoutBuilder builder(layout);
    const std::uint64_t V = size_of(model.vocabulary), D = size_of(model.width);
    layout.embedding = builder.block({V, D}, -1, TensorPart::embedding);
    for (int layer = 0; layer < model.layers; ++layer) {
        add_layer(builder, layout.layers.emplace_back(), model, layer);
    }
    layout.final_norm = builder.block({D}, -1, TensorPart::norm);
    layout.head = model.tied_head ? layout.embedding : builder.block({V, D}, -1, TensorPart::head);
    return layout;
}

std::vector<NamedTensor> name_tensors(const ModelConfig& model, const ParameterLayout& layout) {
    const std::uint64_t V = size_of(model.vocabulary), D = size_of(model.width);
    Names names;
    names.add("model.embed_tokens.weight", {V, D}, layout.embedding);
    for (int layer = 0; layer < model.layers; ++layer) {
        name_layer(names, layout.layers[static_cast<std::size_t>(layer)], model, layer);
    }
    names.add("model.norm.weight", {D}, layout.final_norm);
    if (!model.tied_head) {
        names.add("lm_head.weight", {V, D}, layout.head);
    }
    return names.take();
}

void initialise_parameters(float* parameters, const ParameterLayout& layout, const ModelConfig& model,
                           std::uint64_t seed) {
    constexpr double kDeviation = 0.02;
    const double residual = kDeviation / std::sqrt(2.0 * model.layers);
    for (const TensorSpec& tensor : layout.tensors) {
        if (tensor.decay) {
            fill_normal(parameters, tensor.offset, tensor.count, kDeviation, seed);
        } else {
            std::fill_n(parameters + tensor.offset, tensor.count, 1.0f);
        }
    }
    for (const LayerOffsets& layer : layout.layers) {
        const std::uint64_t D = size_of(model.width);
        fill_normal(parameters, layer.output, D * size_of(model.heads) * size_of(model.head_width), residual, seed);
        fill_normal(parameters, layer.down, size_of(model.experts) * D * size_of(model.expert_width), residual, seed);
    }
}

}  // namespace moescope::engine
