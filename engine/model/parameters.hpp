// Where every parameter tensor stands in one flat buffer, and under which name it is saved.
//
// Parameters, gradients and the two optimizer moments share this layout, so a tensor is one offset in four buffers.
// Legend: V vocabulary, D model width, H query heads, G key-value heads, C head width, E experts, F expert width.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/config.hpp"

namespace moescope::engine {

/// What a tensor belongs to, in fault messages.
enum class TensorPart { embedding, attention, router, experts, norm, head };
const char* tensor_part_name(TensorPart part);

/// One block of the flat buffer that the optimizer treats as one.
struct TensorSpec {
    std::uint64_t offset = 0, count = 0;  ///< in floats; offsets are multiples of 16
    int layer = -1;                       ///< -1: not inside a layer
    TensorPart part = TensorPart::embedding;
    bool decay = false;  ///< weight decay applies to matrices only
};

/// A piece of a block under its Hugging Face (qwen3_moe) name.
struct NamedTensor {
    std::string name;
    std::vector<std::uint64_t> shape;
    std::uint64_t offset = 0, count = 0;  ///< in floats
};

/// Offsets in floats of one layer's tensors.
struct LayerOffsets {
    std::uint64_t input_norm = 0;  ///< [D]
    std::uint64_t qkv = 0;         ///< [(H + 2 G) C, D]: queries, keys, values
    std::uint64_t q_norm = 0;      ///< [C]
    std::uint64_t k_norm = 0;      ///< [C]
    std::uint64_t output = 0;      ///< [D, H C]
    std::uint64_t post_norm = 0;   ///< [D]
    std::uint64_t router = 0;      ///< [E, D]
    std::uint64_t gate_up = 0;     ///< [E, 2F, D]: gate rows, then up rows
    std::uint64_t down = 0;        ///< [E, D, F]
};

struct ParameterLayout {
    std::uint64_t embedding = 0;  ///< [V, D]
    std::vector<LayerOffsets> layers;
    std::uint64_t final_norm = 0;  ///< [D]
    std::uint64_t head = 0;        ///< [V, D]; the embedding when tied
    std::uint64_t floats = 0;      ///< of the whole buffer, padding included
    std::uint64_t parameters = 0;  ///< without padding
    std::vector<TensorSpec> tensors;
};

/// Throws Error when sizes overflow.
ParameterLayout make_layout(const ModelConfig& model);

/// Every tensor under its saved name, in a fixed order: the order of hashing.
std::vector<NamedTensor> name_tensors(const ModelConfig& model, const ParameterLayout& layout);

/// Normal(0, 0.02), residual outputs divided by sqrt(2 layers), norms 1. The same bytes for the same seed on every
/// machine.
void initialise_parameters(float* parameters, const ParameterLayout& layout, const ModelConfig& model,
                           std::uint64_t seed);

}  // namespace moescope::engine
