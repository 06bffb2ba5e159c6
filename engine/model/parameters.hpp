// Where every parameter tensor stands in one flat buffer, and under which name it is saved.
//
// Parameters, gradients and the two optimizer moments share this layout, so a tensor is one offset in four buffers.
// Legend: V vocabulary, D model width, H query heads, G key-value heads, C head width (queries and keys), Cv value
// width, E experts, F expert width, Fs shared width, Fd dense width.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "engine/model/config.hpp"

namespace moescope::engine {

inline std::uint64_t size_of(int value) {
    return static_cast<std::uint64_t>(value);
}

/// The sizes of the legend, of one model.
struct ModelSizes {
    explicit ModelSizes(const ModelConfig& m);
    std::uint64_t V, D, H, G, C, Cv, E, F, Fs, Fd, nope, rope, kv_rank, query_rank;
};

/// What a tensor belongs to, in fault messages.
enum class TensorPart { embedding, attention, router, experts, norm, head, shared, dense, prediction };
base::Marked tensor_part_name(TensorPart part);

/// How a block starts: normal(0, 0.02), the same divided by sqrt(2 layers) (outputs into the residual stream), 1, or 0.
enum class Start { normal, residual, one, zero };

/// One block of the flat buffer that the optimizer treats as one.
struct TensorSpec {
    std::uint64_t offset = 0, count = 0;  ///< in floats; offsets are multiples of 16
    int layer = -1;                       ///< -1: not inside a layer
    TensorPart part = TensorPart::embedding;
    bool decay = false;     ///< weight decay applies to matrices only
    bool trainable = true;  ///< false: moved by its own rule (selection bias), never by the optimizer
    Start start = Start::normal;
    /// The block as matrices back to back, each [rows, columns]; for Muon, which takes each by itself. 0 matrices: a
    /// vector, the embedding or the head, which AdamW trains.
    std::uint64_t matrices = 0, rows = 0, columns = 0;
};

/// A piece of a block under its saved name. The names are those of Hugging Face where it has one for the thing
/// (qwen3_moe, deepseek_v3); see engine/exchange/ for the names of each exported type.
struct NamedTensor {
    std::string name;
    std::vector<std::uint64_t> shape;
    std::uint64_t offset = 0, count = 0;  ///< in floats
};

inline constexpr std::uint64_t kNoTensor = ~std::uint64_t{0};

/// Offsets in floats of one layer's tensors; kNoTensor where the model has none.
struct LayerOffsets {
    std::uint64_t input_norm = kNoTensor;  ///< [D]
    // Grouped attention.
    std::uint64_t qkv = kNoTensor;       ///< [(H + 2 G) C, D]: queries, keys, values
    std::uint64_t qkv_bias = kNoTensor;  ///< [(H + 2 G) C]
    std::uint64_t q_norm = kNoTensor;    ///< [C] (QkNorm::head) or [H C] (full)
    std::uint64_t k_norm = kNoTensor;    ///< [C] or [G C]
    std::uint64_t sinks = kNoTensor;     ///< [H]
    // Latent attention.
    std::uint64_t query_down = kNoTensor;       ///< [query_rank, D]
    std::uint64_t query_down_norm = kNoTensor;  ///< [query_rank]
    std::uint64_t query_up = kNoTensor;         ///< [H C, query_rank], or [H C, D] without query_rank
    std::uint64_t kv_down = kNoTensor;          ///< [kv_rank + rope, D]
    std::uint64_t kv_down_norm = kNoTensor;     ///< [kv_rank]
    std::uint64_t kv_up = kNoTensor;            ///< [H (nope + Cv), kv_rank]
    std::uint64_t output = kNoTensor;           ///< [D, H Cv]
    std::uint64_t output_bias = kNoTensor;      ///< [D]
    std::uint64_t post_norm = kNoTensor;        ///< [D]
    // Experts.
    std::uint64_t router = kNoTensor;          ///< [E, D]
    std::uint64_t router_bias = kNoTensor;     ///< [E]
    std::uint64_t selection_bias = kNoTensor;  ///< [E], not trained by gradient
    std::uint64_t gate_up = kNoTensor;         ///< [E, 2F, D]: gate rows, then up rows
    std::uint64_t gate_up_bias = kNoTensor;    ///< [E, 2F]
    std::uint64_t down = kNoTensor;            ///< [E, D, F]
    std::uint64_t down_bias = kNoTensor;       ///< [E, D]
    std::uint64_t shared_gate_up = kNoTensor;  ///< [2 Fs, D]
    std::uint64_t shared_down = kNoTensor;     ///< [D, Fs]
    std::uint64_t dense_gate_up = kNoTensor;   ///< [2 Fd, D]
    std::uint64_t dense_down = kNoTensor;      ///< [D, Fd]

    bool has_experts() const { return router != kNoTensor; }
};

/// The multi-token prediction module: u_t = P [norm(h_t), norm(embedding(next token))], one layer on u, the final norm
/// of its own, the model's head. Source: DeepSeek-V3, arXiv 2412.19437, section 2.2.
struct PredictionOffsets {
    std::uint64_t hidden_norm = kNoTensor, embedding_norm = kNoTensor;  ///< [D]
    std::uint64_t projection = kNoTensor;                               ///< [D, 2 D]: embedding half, then hidden half
    std::uint64_t final_norm = kNoTensor;                               ///< [D]
};

/// The experts of every layer that a rank keeps when several share them.
struct ExpertShare {
    int first = 0;
    int count = -1;  ///< -1: all
};

struct ParameterLayout {
    std::uint64_t embedding = 0;       ///< [V, D]
    std::vector<LayerOffsets> layers;  ///< of the model; then, with prediction_depth 1, the module's layer
    PredictionOffsets prediction;
    std::uint64_t final_norm = 0;  ///< [D]
    std::uint64_t head = 0;        ///< [V, D]; the embedding when tied
    std::uint64_t floats = 0;      ///< of the whole buffer, padding included
    std::uint64_t parameters = 0;  ///< without padding
    std::vector<TensorSpec> tensors;
    int first_expert = 0, experts = 0;  ///< of the E that stand in the blocks of experts here
};

/// Throws Error when sizes overflow.
ParameterLayout make_layout(const ModelConfig& model, const ExpertShare& share = {});

/// A block of a layout with a share of the experts, and where it stands in the whole one.
struct HeldTensor {
    std::uint64_t here = 0, whole = 0, count = 0;  ///< in floats
    bool experts = false;                          ///< other ranks have other parts of the block
};
/// One per tensor, in their order.
std::vector<HeldTensor> held_tensors(const ParameterLayout& whole, const ParameterLayout& here);

/// Every tensor under its saved name, in a fixed order: the order of hashing. Of a share, those of its experts.
std::vector<NamedTensor> name_tensors(const ModelConfig& model, const ParameterLayout& layout);

/// Each block as its Start says. The same bytes for the same seed on every machine. `check` is called before each
/// tensor and may throw.
void initialise_parameters(float* parameters, const ParameterLayout& layout, const ModelConfig& model,
                           std::uint64_t seed, const std::function<void()>& check = {});
/// One expert of one layer as it was at the start of a run with this seed; nothing when the layout does not hold it.
void initialise_expert(float* parameters, const ParameterLayout& layout, const ModelConfig& model, std::size_t layer,
                       int expert, std::uint64_t seed);

/// Width of a head's query and key, of its value, and of all values together.
int query_width(const ModelConfig& model);
int value_width(const ModelConfig& model);
/// Elements of a head that RoPE turns.
int rope_width(const ModelConfig& model);
kernels::RopeSpec rope_spec(const ModelConfig& model);
/// Of the attention scores.
double attention_scale(const ModelConfig& model);
/// True for layers that look back only sliding_window tokens.
bool slides(const ModelConfig& model, std::size_t layer);

}  // namespace moescope::engine
