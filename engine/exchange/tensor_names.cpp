#include "engine/exchange/tensor_names.hpp"

#include <algorithm>

namespace moescope::engine {
namespace {

using Size = std::uint64_t;

class Table {
 public:
    void add(std::string name, std::vector<Size> shape, Size offset, std::vector<TensorAxis> axes) {
        if (offset != kNoTensor) {
            list_.push_back({std::move(name), std::move(shape), offset, std::move(axes)});
        }
    }
    /// A block that stands in the buffer as in the file.
    void plain(std::string name, std::vector<Size> shape, Size offset) {
        std::vector<TensorAxis> axes(shape.size());
        Size stride = 1;
        for (std::size_t i = shape.size(); i-- > 0;) {
            axes[i] = {shape[i], stride};
            stride *= shape[i];
        }
        add(std::move(name), std::move(shape), offset, std::move(axes));
    }
    void zeros(std::string name, Size count) { list_.push_back({std::move(name), {count}, kNoTensor, {{count, 1}}}); }
    std::vector<FileTensor> take() { return std::move(list_); }

 private:
    std::vector<FileTensor> list_;
};

/// The offset of a piece inside a block that may be missing.
Size inside(Size block, Size floats) {
    return block == kNoTensor ? kNoTensor : block + floats;
}

void replace(std::string& text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    if (at != std::string::npos) {
        text.replace(at, from.size(), to);
    }
}

std::string mixtral_name(std::string name, ExpertFiles experts) {
    if (experts == ExpertFiles::separate) {
        replace(name, ".mlp.", ".block_sparse_moe.");
        replace(name, ".gate_proj.", ".w1.");
        replace(name, ".down_proj.", ".w2.");
        replace(name, ".up_proj.", ".w3.");
    }
    return name;
}

std::string hugging_face_tensor_name(ModelType type, std::string name, ExpertFiles experts) {
    if (type == ModelType::mixtral) {
        return mixtral_name(std::move(name), experts);
    }
    if (type == ModelType::gpt_oss) {
        replace(name, ".mlp.gate.", ".mlp.router.");
    }
    return name;
}

void add_fused_experts(Table& table, const LayerOffsets& at, const ModelSizes& n, const std::string& prefix) {
    table.plain(prefix + "gate_up_proj", {n.E, 2 * n.F, n.D}, at.gate_up);
    table.plain(prefix + "down_proj", {n.E, n.D, n.F}, at.down);
}

/// gpt_oss multiplies from the left, so its matrices are transposed; gate and up take turns in the last dimension.
void add_gpt_oss_experts(Table& table, const LayerOffsets& at, const ModelSizes& n, const std::string& prefix) {
    table.add(prefix + "gate_up_proj", {n.E, n.D, 2 * n.F}, at.gate_up,
              {{n.E, 2 * n.F * n.D}, {n.D, 1}, {n.F, n.D}, {2, n.F * n.D}});
    table.add(prefix + "gate_up_proj_bias", {n.E, 2 * n.F}, at.gate_up_bias, {{n.E, 2 * n.F}, {n.F, 1}, {2, n.F}});
    table.add(prefix + "down_proj", {n.E, n.F, n.D}, at.down, {{n.E, n.D * n.F}, {n.F, 1}, {n.D, n.F}});
    table.plain(prefix + "down_proj_bias", {n.E, n.D}, at.down_bias);
}

/// llama.cpp's llama turns neighbours where Hugging Face turns halves: within a head, file row 2 i + k is our row
/// i + k C / 2.
void add_rotated(Table& table, const std::string& name, Size heads, const ModelSizes& n, Size weight, Size bias,
                 bool neighbours) {
    if (!neighbours) {
        table.plain(name + ".weight", {heads * n.C, n.D}, weight);
        table.plain(name + ".bias", {heads * n.C}, bias);
        return;
    }
    table.add(name + ".weight", {heads * n.C, n.D}, weight,
              {{heads, n.C * n.D}, {n.C / 2, n.D}, {2, n.C / 2 * n.D}, {n.D, 1}});
    table.add(name + ".bias", {heads * n.C}, bias, {{heads, n.C}, {n.C / 2, 1}, {2, n.C / 2}});
}

void add_gguf_attention(Table& table, const LayerOffsets& at, const ModelConfig& m, ModelType type,
                        const std::string& prefix) {
    const ModelSizes n(m);
    const Size q = n.H * n.C, kv = n.G * n.C;
    if (m.attention == AttentionKind::latent) {
        const Size head = (n.nope + n.Cv) * n.kv_rank;
        table.plain(prefix + "attn_q_a.weight", {n.query_rank, n.D}, at.query_down);
        table.plain(prefix + "attn_q_a_norm.weight", {n.query_rank}, at.query_down_norm);
        table.plain(prefix + (n.query_rank > 0 ? "attn_q_b.weight" : "attn_q.weight"),
                    {q, n.query_rank > 0 ? n.query_rank : n.D}, at.query_up);
        table.plain(prefix + "attn_kv_a_mqa.weight", {n.kv_rank + n.rope, n.D}, at.kv_down);
        table.plain(prefix + "attn_kv_a_norm.weight", {n.kv_rank}, at.kv_down_norm);
        table.add(prefix + "attn_k_b.weight", {n.H, n.kv_rank, n.nope}, at.kv_up,
                  {{n.H, head}, {n.kv_rank, 1}, {n.nope, n.kv_rank}});
        table.add(prefix + "attn_v_b.weight", {n.H, n.Cv, n.kv_rank}, inside(at.kv_up, n.nope * n.kv_rank),
                  {{n.H, head}, {n.Cv, n.kv_rank}, {n.kv_rank, 1}});
    } else {
        const bool neighbours = type == ModelType::mixtral, full = m.qk_norm == QkNorm::full;
        add_rotated(table, prefix + "attn_q", n.H, n, at.qkv, at.qkv_bias, neighbours);
        add_rotated(table, prefix + "attn_k", n.G, n, inside(at.qkv, q * n.D), inside(at.qkv_bias, q), neighbours);
        table.plain(prefix + "attn_v.weight", {kv, n.D}, inside(at.qkv, (q + kv) * n.D));
        table.plain(prefix + "attn_v.bias", {kv}, inside(at.qkv_bias, q + kv));
        table.plain(prefix + "attn_q_norm.weight", {full ? q : n.C}, at.q_norm);
        table.plain(prefix + "attn_k_norm.weight", {full ? kv : n.C}, at.k_norm);
    }
    table.plain(prefix + "attn_output.weight", {n.D, n.H * n.Cv}, at.output);
    table.plain(prefix + "attn_output.bias", {n.D}, at.output_bias);
    table.plain(prefix + "attn_sinks.weight", {n.H}, at.sinks);
}

void add_gguf_experts(Table& table, const LayerOffsets& at, const ModelSizes& n, const std::string& prefix) {
    table.plain(prefix + "ffn_gate_inp.weight", {n.E, n.D}, at.router);
    table.plain(prefix + "ffn_gate_inp.bias", {n.E}, at.router_bias);
    table.plain(prefix + "exp_probs_b.bias", {n.E}, at.selection_bias);
    const std::vector<TensorAxis> matrices = {{n.E, 2 * n.F * n.D}, {n.F, n.D}, {n.D, 1}};
    const std::vector<TensorAxis> biases = {{n.E, 2 * n.F}, {n.F, 1}};
    table.add(prefix + "ffn_gate_exps.weight", {n.E, n.F, n.D}, at.gate_up, matrices);
    table.add(prefix + "ffn_up_exps.weight", {n.E, n.F, n.D}, inside(at.gate_up, n.F * n.D), matrices);
    table.add(prefix + "ffn_gate_exps.bias", {n.E, n.F}, at.gate_up_bias, biases);
    table.add(prefix + "ffn_up_exps.bias", {n.E, n.F}, inside(at.gate_up_bias, n.F), biases);
    table.plain(prefix + "ffn_down_exps.weight", {n.E, n.D, n.F}, at.down);
    table.plain(prefix + "ffn_down_exps.bias", {n.E, n.D}, at.down_bias);
    table.plain(prefix + "ffn_gate_shexp.weight", {n.Fs, n.D}, at.shared_gate_up);
    table.plain(prefix + "ffn_up_shexp.weight", {n.Fs, n.D}, inside(at.shared_gate_up, n.Fs * n.D));
    table.plain(prefix + "ffn_down_shexp.weight", {n.D, n.Fs}, at.shared_down);
    table.plain(prefix + "ffn_gate.weight", {n.Fd, n.D}, at.dense_gate_up);
    table.plain(prefix + "ffn_up.weight", {n.Fd, n.D}, inside(at.dense_gate_up, n.Fd * n.D));
    table.plain(prefix + "ffn_down.weight", {n.D, n.Fd}, at.dense_down);
}

/// Calls move(place in the file, place in the buffer) for runs of the innermost axis.
template <class Move>
void walk(std::span<const TensorAxis> axes, std::uint64_t file, std::uint64_t buffer, std::uint64_t inner,
          const Move& move) {
    if (axes.size() == 1) {
        return move(file, buffer, axes[0]);
    }
    for (std::uint64_t i = 0; i < axes[0].count; ++i) {
        const std::uint64_t below = inner / axes[1].count;
        walk(axes.subspan(1), file + i * inner, buffer + i * axes[0].stride, below, move);
    }
}

/// Values below the outermost axis.
std::uint64_t below_first(const FileTensor& tensor) {
    std::uint64_t inner = 1;
    for (std::size_t i = 1; i < tensor.axes.size(); ++i) {
        inner *= tensor.axes[i].count;
    }
    return inner;
}

}  // namespace

std::uint64_t FileTensor::count() const {
    std::uint64_t product = 1;
    for (const std::uint64_t size : shape) {
        product *= size;
    }
    return product;
}

bool FileTensor::contiguous() const {
    std::uint64_t stride = 1;
    for (std::size_t i = axes.size(); i-- > 0;) {
        if (axes[i].stride != stride) {
            return false;
        }
        stride *= axes[i].count;
    }
    return offset != kNoTensor;
}

std::vector<FileTensor> hugging_face_tensors(ModelType type, const ModelConfig& model, const ParameterLayout& layout,
                                             ExpertFiles experts) {
    Table table;
    const bool fused = experts == ExpertFiles::fused || type == ModelType::gpt_oss;
    const std::string further = "model.layers." + std::to_string(model.layers) + ".";
    for (NamedTensor& tensor : name_tensors(model, layout)) {
        const bool of_expert = tensor.name.find(".mlp.experts.") != std::string::npos;
        const bool of_prediction = tensor.name.starts_with(further);
        if ((fused && of_expert) || (of_prediction && type != ModelType::deepseek_v3)) {
            continue;
        }
        table.plain(hugging_face_tensor_name(type, std::move(tensor.name), experts), std::move(tensor.shape),
                    tensor.offset);
    }
    const ModelSizes n(model);
    const std::size_t layers = type == ModelType::deepseek_v3 ? layout.layers.size() : size_of(model.layers);
    for (std::size_t layer = 0; layer < layers; ++layer) {
        const LayerOffsets& at = layout.layers[layer];
        const std::string prefix = "model.layers." + std::to_string(layer) + ".mlp.";
        if (type == ModelType::gpt_oss) {
            add_gpt_oss_experts(table, at, n, prefix + "experts.");
        } else if (fused) {
            add_fused_experts(table, at, n, prefix + "experts.");
        }
        if (type == ModelType::deepseek_v3 && at.has_experts() && at.selection_bias == kNoTensor) {
            table.zeros(prefix + "gate.e_score_correction_bias", n.E);
        }
    }
    return table.take();
}

std::vector<FileTensor> gguf_tensors(ModelType type, const ModelConfig& model, const ParameterLayout& layout) {
    Table table;
    const ModelSizes n(model);
    table.plain("token_embd.weight", {n.V, n.D}, layout.embedding);
    for (std::size_t layer = 0; layer < size_of(model.layers); ++layer) {
        const LayerOffsets& at = layout.layers[layer];
        const std::string prefix = "blk." + std::to_string(layer) + ".";
        table.plain(prefix + "attn_norm.weight", {n.D}, at.input_norm);
        add_gguf_attention(table, at, model, type, prefix);
        table.plain(prefix + (type == ModelType::gpt_oss ? "post_attention_norm.weight" : "ffn_norm.weight"), {n.D},
                    at.post_norm);
        add_gguf_experts(table, at, n, prefix);
    }
    table.plain("output_norm.weight", {n.D}, layout.final_norm);
    // libllama has no tied head for these two, so the file holds the embedding twice.
    if (!model.tied_head || type == ModelType::olmoe || type == ModelType::gpt_oss) {
        table.plain("output.weight", {n.V, n.D}, layout.head);
    }
    return table.take();
}

void gather(std::span<float> values, const float* parameters, const FileTensor& tensor) {
    if (tensor.offset == kNoTensor) {
        std::fill(values.begin(), values.end(), 0.0f);
        return;
    }
    walk(tensor.axes, 0, tensor.offset, below_first(tensor),
         [&](std::uint64_t file, std::uint64_t buffer, const TensorAxis& run) {
             for (std::uint64_t i = 0; i < run.count; ++i) {
                 values[file + i] = parameters[buffer + i * run.stride];
             }
         });
}

void scatter(float* parameters, std::span<const float> values, const FileTensor& tensor) {
    if (tensor.offset == kNoTensor) {
        return;
    }
    walk(tensor.axes, 0, tensor.offset, below_first(tensor),
         [&](std::uint64_t file, std::uint64_t buffer, const TensorAxis& run) {
             for (std::uint64_t i = 0; i < run.count; ++i) {
                 parameters[buffer + i * run.stride] = values[file + i];
             }
         });
}

}  // namespace moescope::engine
