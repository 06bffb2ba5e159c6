// Which tensors a file of each type has, and where their values stand in our flat parameter buffer. One table serves
// import and export: element (i, j, ...) of a file's tensor is parameter offset + i stride_i + j stride_j + ..., which
// covers stacked experts, transposed and interleaved matrices and permuted rows alike.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/exchange/model_types.hpp"
#include "engine/model/parameters.hpp"

namespace moescope::engine {

struct TensorAxis {
    std::uint64_t count = 0, stride = 0;  ///< stride in floats
};

struct FileTensor {
    std::string name;
    std::vector<std::uint64_t> shape;  ///< row-major, as Hugging Face shows it; GGUF stores it reversed
    std::uint64_t offset = 0;          ///< of the first value in the buffer; kNoTensor: all zero, nothing to import
    std::vector<TensorAxis> axes;      ///< outermost first; their counts multiply to the shape's, but may cut it finer

    std::uint64_t count() const;
    bool contiguous() const;
};

/// How the experts of a file are kept: one tensor per matrix and expert (transformers 4, and what everybody reads), or
/// all experts of a layer in one (transformers 5 in memory). gpt_oss is always fused in a way of its own.
enum class ExpertFiles { separate, fused };

/// The tensors of a Hugging Face folder. The prediction module comes with deepseek_v3 only.
std::vector<FileTensor> hugging_face_tensors(ModelType type, const ModelConfig& model, const ParameterLayout& layout,
                                             ExpertFiles experts);
/// The tensors of a GGUF file, without the prediction module.
std::vector<FileTensor> gguf_tensors(ModelType type, const ModelConfig& model, const ParameterLayout& layout);

/// Copies the tensor's values, in the file's order, out of the buffer.
void gather(std::span<float> values, const float* parameters, const FileTensor& tensor);
/// Copies them into the buffer.
void scatter(float* parameters, std::span<const float> values, const FileTensor& tensor);

}  // namespace moescope::engine
