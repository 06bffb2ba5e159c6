#include "engine/model/parameters.hpp"

#include <algorithm>
#include <cmath>

#include "engine/model/arena.hpp"
#include "kernels/random.hpp"

namespace moescope::engine {

ModelSizes::ModelSizes(const ModelConfig& m)
    : V(size_of(m.vocabulary)),
      D(size_of(m.width)),
      H(size_of(m.heads)),
      G(size_of(m.kv_heads)),
      C(size_of(query_width(m))),
      Cv(size_of(engine::value_width(m))),
      E(size_of(m.experts)),
      F(size_of(m.expert_width)),
      Fs(size_of(m.shared_experts) * size_of(m.expert_width)),
      Fd(size_of(m.dense_width)),
      nope(size_of(m.nope_width)),
      rope(size_of(m.rope_width)),
      kv_rank(size_of(m.kv_rank)),
      query_rank(size_of(m.query_rank)) {}

namespace {

constexpr std::uint64_t kAlignFloats = 16;
constexpr double kDeviation = 0.02;

std::uint64_t padded(std::uint64_t count) {
    return checked_sum(count, kAlignFloats - 1, marked("the parameters")) / kAlignFloats * kAlignFloats;
}

class LayoutBuilder {
 public:
    explicit LayoutBuilder(ParameterLayout& layout) : layout_(layout) {}

    /// Experts in the layout.
    std::uint64_t experts() const { return size_of(layout_.experts); }

    void within(int layer) { layer_ = layer; }

    /// Matrices [rows, columns] back to back.
    std::uint64_t matrices(std::uint64_t count, std::uint64_t rows, std::uint64_t columns, TensorPart part,
                           Start start = Start::normal) {
        TensorSpec spec{.layer = layer_, .part = part, .decay = true, .start = start};
        spec.matrices = count;
        spec.rows = rows;
        spec.columns = columns;
        return append(spec, checked_product(count, checked_product(rows, columns, kWhat), kWhat));
    }
    /// The embedding and the head: a matrix that Muon leaves alone.
    std::uint64_t table(std::uint64_t rows, std::uint64_t columns, TensorPart part) {
        return append({.layer = layer_, .part = part, .decay = true}, checked_product(rows, columns, kWhat));
    }
    std::uint64_t vector(std::uint64_t count, TensorPart part, Start start, bool trainable = true) {
        return append({.layer = layer_, .part = part, .trainable = trainable, .start = start}, count);
    }

 private:
    static constexpr base::Marked kWhat = marked("a parameter tensor");

    std::uint64_t append(TensorSpec spec, std::uint64_t count) {
        spec.offset = layout_.floats;
        spec.count = count;
        layout_.tensors.push_back(spec);
        layout_.floats = checked_sum(layout_.floats, padded(count), marked("the parameters"));
        layout_.parameters = checked_sum(layout_.parameters, count, marked("the parameters"));
        return spec.offset;
    }

    ParameterLayout& layout_;
    int layer_ = -1;
};

void add_grouped_attention(LayoutBuilder& builder, LayerOffsets& at, const ModelConfig& m, const ModelSizes& n) {
    constexpr auto kPart = TensorPart::attention;
    const std::uint64_t q = n.H * n.C, kv = n.G * n.C;
    at.qkv = builder.matrices(1, q + 2 * kv, n.D, kPart);
    if (m.attention_bias) {
        at.qkv_bias = builder.vector(q + 2 * kv, kPart, Start::zero);
    }
    if (m.qk_norm != QkNorm::none) {
        const bool full = m.qk_norm == QkNorm::full;
        at.q_norm = builder.vector(full ? q : n.C, kPart, Start::one);
        at.k_norm = builder.vector(full ? kv : n.C, kPart, Start::one);
    }
}

void add_latent_attention(LayoutBuilder& builder, LayerOffsets& at, const ModelSizes& n) {
    constexpr auto kPart = TensorPart::attention;
    if (n.query_rank > 0) {
        at.query_down = builder.matrices(1, n.query_rank, n.D, kPart);
        at.query_down_norm = builder.vector(n.query_rank, kPart, Start::one);
    }
    at.query_up = builder.matrices(1, n.H * n.C, n.query_rank > 0 ? n.query_rank : n.D, kPart);
    at.kv_down = builder.matrices(1, n.kv_rank + n.rope, n.D, kPart);
    at.kv_down_norm = builder.vector(n.kv_rank, kPart, Start::one);
    at.kv_up = builder.matrices(1, n.H * (n.nope + n.Cv), n.kv_rank, kPart);
}

void add_experts(LayoutBuilder& builder, LayerOffsets& at, const ModelConfig& m, const ModelSizes& n) {
    at.router = builder.matrices(1, n.E, n.D, TensorPart::router);
    if (m.router_bias) {
        at.router_bias = builder.vector(n.E, TensorPart::router, Start::zero);
    }
    if (m.selection_bias) {
        at.selection_bias = builder.vector(n.E, TensorPart::router, Start::zero, false);
    }
    const std::uint64_t held = builder.experts();
    at.gate_up = builder.matrices(2 * held, n.F, n.D, TensorPart::experts);
    if (m.expert_bias) {
        at.gate_up_bias = builder.vector(held * 2 * n.F, TensorPart::experts, Start::zero);
    }
    at.down = builder.matrices(held, n.D, n.F, TensorPart::experts, Start::residual);
    if (m.expert_bias) {
        at.down_bias = builder.vector(held * n.D, TensorPart::experts, Start::zero);
    }
    if (n.Fs > 0) {
        at.shared_gate_up = builder.matrices(2, n.Fs, n.D, TensorPart::shared);
        at.shared_down = builder.matrices(1, n.D, n.Fs, TensorPart::shared, Start::residual);
    }
}

void add_layer(LayoutBuilder& builder, LayerOffsets& at, const ModelConfig& m, bool dense) {
    const ModelSizes n(m);
    at.input_norm = builder.vector(n.D, TensorPart::norm, Start::one);
    if (m.attention == AttentionKind::latent) {
        add_latent_attention(builder, at, n);
    } else {
        add_grouped_attention(builder, at, m, n);
    }
    at.output = builder.matrices(1, n.D, n.H * n.Cv, TensorPart::attention, Start::residual);
    if (m.attention_bias) {
        at.output_bias = builder.vector(n.D, TensorPart::attention, Start::zero);
    }
    if (m.attention_sinks) {
        at.sinks = builder.vector(n.H, TensorPart::attention, Start::zero);
    }
    at.post_norm = builder.vector(n.D, TensorPart::norm, Start::one);
    if (dense) {
        at.dense_gate_up = builder.matrices(2, n.Fd, n.D, TensorPart::dense);
        at.dense_down = builder.matrices(1, n.D, n.Fd, TensorPart::dense, Start::residual);
    } else {
        add_experts(builder, at, m, n);
    }
}

/// Collects names; the products are parts of blocks whose sizes were checked.
class Names {
 public:
    void add(std::string name, std::vector<std::uint64_t> shape, std::uint64_t offset) {
        if (offset == kNoTensor) {
            return;
        }
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

/// The offset of a piece inside a block that may be missing.
std::uint64_t inside(std::uint64_t block, std::uint64_t floats) {
    return block == kNoTensor ? kNoTensor : block + floats;
}

void name_attention(Names& names, const LayerOffsets& at, const ModelConfig& m, const std::string& prefix) {
    const ModelSizes n(m);
    const std::uint64_t q = n.H * n.C, kv = n.G * n.C;
    const bool full = m.qk_norm == QkNorm::full;
    names.add(prefix + "q_proj.weight", {q, n.D}, at.qkv);
    names.add(prefix + "k_proj.weight", {kv, n.D}, inside(at.qkv, q * n.D));
    names.add(prefix + "v_proj.weight", {kv, n.D}, inside(at.qkv, (q + kv) * n.D));
    names.add(prefix + "q_proj.bias", {q}, at.qkv_bias);
    names.add(prefix + "k_proj.bias", {kv}, inside(at.qkv_bias, q));
    names.add(prefix + "v_proj.bias", {kv}, inside(at.qkv_bias, q + kv));
    names.add(prefix + "q_norm.weight", {full ? q : n.C}, at.q_norm);
    names.add(prefix + "k_norm.weight", {full ? kv : n.C}, at.k_norm);
    names.add(prefix + "q_a_proj.weight", {n.query_rank, n.D}, at.query_down);
    names.add(prefix + "q_a_layernorm.weight", {n.query_rank}, at.query_down_norm);
    names.add(prefix + (n.query_rank > 0 ? "q_b_proj.weight" : "q_proj.weight"),
              {q, n.query_rank > 0 ? n.query_rank : n.D}, at.query_up);
    names.add(prefix + "kv_a_proj_with_mqa.weight", {n.kv_rank + n.rope, n.D}, at.kv_down);
    names.add(prefix + "kv_a_layernorm.weight", {n.kv_rank}, at.kv_down_norm);
    names.add(prefix + "kv_b_proj.weight", {n.H * (n.nope + n.Cv), n.kv_rank}, at.kv_up);
    names.add(prefix + "o_proj.weight", {n.D, n.H * n.Cv}, at.output);
    names.add(prefix + "o_proj.bias", {n.D}, at.output_bias);
    names.add(prefix + "sinks", {n.H}, at.sinks);
}

/// gate, up and down of one SwiGLU whose gate and up rows follow each other.
void name_swiglu(Names& names, const std::string& prefix, std::uint64_t gate_up, std::uint64_t down, std::uint64_t F,
                 std::uint64_t D) {
    names.add(prefix + "gate_proj.weight", {F, D}, gate_up);
    names.add(prefix + "up_proj.weight", {F, D}, inside(gate_up, F * D));
    names.add(prefix + "down_proj.weight", {D, F}, down);
}

void name_experts(Names& names, const ParameterLayout& layout, const LayerOffsets& at, const ModelConfig& m,
                  const std::string& prefix) {
    const ModelSizes n(m);
    names.add(prefix + "gate.weight", {n.E, n.D}, at.router);
    names.add(prefix + "gate.bias", {n.E}, at.router_bias);
    names.add(prefix + "gate.e_score_correction_bias", {n.E}, at.selection_bias);
    for (std::uint64_t e = 0; e < size_of(layout.experts) && at.has_experts(); ++e) {
        const std::string expert = prefix + "experts." + std::to_string(size_of(layout.first_expert) + e) + ".";
        name_swiglu(names, expert, at.gate_up + e * 2 * n.F * n.D, at.down + e * n.D * n.F, n.F, n.D);
        names.add(expert + "gate_proj.bias", {n.F}, inside(at.gate_up_bias, e * 2 * n.F));
        names.add(expert + "up_proj.bias", {n.F}, inside(at.gate_up_bias, (e * 2 + 1) * n.F));
        names.add(expert + "down_proj.bias", {n.D}, inside(at.down_bias, e * n.D));
    }
    name_swiglu(names, prefix + "shared_experts.", at.shared_gate_up, at.shared_down, n.Fs, n.D);
    name_swiglu(names, prefix, at.dense_gate_up, at.dense_down, n.Fd, n.D);
}

void name_layer(Names& names, const ParameterLayout& layout, const ModelConfig& m, std::size_t layer) {
    const LayerOffsets& at = layout.layers[layer];
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    names.add(prefix + "input_layernorm.weight", {size_of(m.width)}, at.input_norm);
    name_attention(names, at, m, prefix + "self_attn.");
    names.add(prefix + "post_attention_layernorm.weight", {size_of(m.width)}, at.post_norm);
    name_experts(names, layout, at, m, prefix + "mlp.");
}

/// A part of a tensor: `at` within the flat buffer, its random numbers from the `first` one of the seed on.
struct Piece {
    std::uint64_t at = 0, first = 0, count = 0;
};

/// Floats of the selection biases before `offset`. No random number is spent on them, so that runs of one seed begin
/// with the same weights whether or not their load is balanced by such a bias.
std::uint64_t bias_floats_before(const ParameterLayout& layout, std::uint64_t offset) {
    std::uint64_t floats = 0;
    for (const TensorSpec& tensor : layout.tensors) {
        floats += !tensor.trainable && tensor.offset < offset ? padded(tensor.count) : 0;
    }
    return floats;
}

void fill_normal(float* p, const Piece& piece, double deviation, std::uint64_t seed) {
    for (std::uint64_t i = 0; i < piece.count; ++i) {
        p[piece.at + i] = static_cast<float>(deviation * kernels::random_normal(seed, 1, piece.first + i));
    }
}

void start_piece(float* p, const TensorSpec& tensor, const Piece& piece, const ModelConfig& model, std::uint64_t seed) {
    switch (tensor.start) {
        case Start::normal:
            return fill_normal(p, piece, kDeviation, seed);
        case Start::residual:
            return fill_normal(p, piece, kDeviation / std::sqrt(2.0 * model.layers), seed);
        case Start::one:
            std::fill_n(p + piece.at, piece.count, 1.0f);
            return;
        case Start::zero:
            std::fill_n(p + piece.at, piece.count, 0.0f);
    }
}

}  // namespace

int query_width(const ModelConfig& model) {
    return model.attention == AttentionKind::latent ? model.nope_width + model.rope_width : model.head_width;
}

int value_width(const ModelConfig& model) {
    return model.attention == AttentionKind::latent ? model.value_width : model.head_width;
}

int rope_width(const ModelConfig& model) {
    return model.attention == AttentionKind::latent ? model.rope_width : model.head_width;
}

kernels::RopeSpec rope_spec(const ModelConfig& model) {
    return {.theta = model.rope_theta,
            .factor = model.yarn_factor,
            .original_context = static_cast<double>(model.yarn_original_context),
            .beta_fast = model.yarn_beta_fast,
            .beta_slow = model.yarn_beta_slow,
            .truncate = model.yarn_truncate,
            .mscale = model.yarn_mscale,
            .mscale_all_dim = model.yarn_mscale_all_dim};
}

double attention_scale(const ModelConfig& model) {
    const double plain = 1.0 / std::sqrt(static_cast<double>(query_width(model)));
    return model.attention == AttentionKind::latent ? plain * kernels::rope_softmax_factor(rope_spec(model)) : plain;
}

bool slides(const ModelConfig& model, std::size_t layer) {
    return model.sliding_window > 0 && (model.sliding_layers == SlidingLayers::all ||
                                        (model.sliding_layers == SlidingLayers::even && layer % 2 == 0));
}

base::Marked tensor_part_name(TensorPart part) {
    constexpr base::Marked kNames[] = {marked("embedding"),      marked("attention"),   marked("router"),
                                       marked("experts"),        marked("norm"),        marked("head"),
                                       marked("shared experts"), marked("dense layer"), marked("token prediction")};
    return kNames[static_cast<int>(part)];
}

ParameterLayout make_layout(const ModelConfig& model, const ExpertShare& share) {
    ParameterLayout layout;
    layout.first_expert = share.first;
    layout.experts = share.count < 0 ? model.experts : share.count;
    LayoutBuilder builder(layout);
    const std::uint64_t V = size_of(model.vocabulary), D = size_of(model.width);
    layout.embedding = builder.table(V, D, TensorPart::embedding);
    for (int layer = 0; layer < model.layers; ++layer) {
        builder.within(layer);
        add_layer(builder, layout.layers.emplace_back(), model, layer < model.dense_layers);
    }
    builder.within(-1);
    layout.final_norm = builder.vector(D, TensorPart::norm, Start::one);
    layout.head = model.tied_head ? layout.embedding : builder.table(V, D, TensorPart::head);
    if (model.prediction_depth > 0) {
        builder.within(model.layers);
        PredictionOffsets& at = layout.prediction;
        at.hidden_norm = builder.vector(D, TensorPart::prediction, Start::one);
        at.embedding_norm = builder.vector(D, TensorPart::prediction, Start::one);
        at.projection = builder.matrices(1, D, 2 * D, TensorPart::prediction);
        at.final_norm = builder.vector(D, TensorPart::prediction, Start::one);
        add_layer(builder, layout.layers.emplace_back(), model, model.dense_layers >= model.layers);
    }
    return layout;
}

std::vector<NamedTensor> name_tensors(const ModelConfig& model, const ParameterLayout& layout) {
    const std::uint64_t V = size_of(model.vocabulary), D = size_of(model.width);
    Names names;
    names.add("model.embed_tokens.weight", {V, D}, layout.embedding);
    for (std::size_t layer = 0; layer < layout.layers.size(); ++layer) {
        name_layer(names, layout, model, layer);
    }
    names.add("model.norm.weight", {D}, layout.final_norm);
    if (!model.tied_head) {
        names.add("lm_head.weight", {V, D}, layout.head);
    }
    // As DeepSeek-V3's files name their extra layer.
    const std::string prefix = "model.layers." + std::to_string(model.layers) + ".";
    const PredictionOffsets& prediction = layout.prediction;
    names.add(prefix + "hnorm.weight", {D}, prediction.hidden_norm);
    names.add(prefix + "enorm.weight", {D}, prediction.embedding_norm);
    names.add(prefix + "eh_proj.weight", {D, 2 * D}, prediction.projection);
    names.add(prefix + "shared_head.norm.weight", {D}, prediction.final_norm);
    return names.take();
}

void initialise_parameters(float* parameters, const ParameterLayout& layout, const ModelConfig& model,
                           std::uint64_t seed, const std::function<void()>& check) {
    // Random numbers are counted through the whole model, whatever share of it stands here.
    const ParameterLayout whole = make_layout(model);
    const std::vector<HeldTensor> held = held_tensors(whole, layout);
    for (std::size_t i = 0; i < held.size(); ++i) {
        if (check) {
            check();
        }
        const std::uint64_t first = held[i].whole - bias_floats_before(whole, whole.tensors[i].offset);
        start_piece(parameters, layout.tensors[i], {held[i].here, first, held[i].count}, model, seed);
    }
}

std::vector<HeldTensor> held_tensors(const ParameterLayout& whole, const ParameterLayout& here) {
    std::vector<HeldTensor> list;
    for (std::size_t i = 0; i < here.tensors.size(); ++i) {
        const TensorSpec &part = here.tensors[i], &all = whole.tensors[i];
        const bool experts = part.part == TensorPart::experts;
        const std::uint64_t before = experts ? all.count / size_of(whole.experts) * size_of(here.first_expert) : 0;
        list.push_back({part.offset, all.offset + before, part.count, experts});
    }
    return list;
}

void initialise_expert(float* parameters, const ParameterLayout& layout, const ModelConfig& model, std::size_t layer,
                       int expert, std::uint64_t seed) {
    if (expert < layout.first_expert || expert >= layout.first_expert + layout.experts) {
        return;
    }
    const ParameterLayout whole = make_layout(model);
    const std::vector<HeldTensor> held = held_tensors(whole, layout);
    for (std::size_t i = 0; i < held.size(); ++i) {
        const TensorSpec& tensor = layout.tensors[i];
        if (tensor.part == TensorPart::experts && tensor.layer == static_cast<int>(layer)) {
            const std::uint64_t count = tensor.count / size_of(layout.experts);
            const std::uint64_t before = size_of(expert - layout.first_expert) * count;
            const std::uint64_t first = held[i].whole + before - bias_floats_before(whole, whole.tensors[i].offset);
            start_piece(parameters, tensor, {held[i].here + before, first, count}, model, seed);
        }
    }
}

}  // namespace moescope::engine
