// The five model types that other programs know and our configuration can express, and which of them expresses a given
// configuration exactly.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "engine/model/config.hpp"

namespace moescope::engine {

enum class ModelType { qwen3_moe, olmoe, mixtral, deepseek_v3, gpt_oss };
inline constexpr std::array kModelTypes = {ModelType::qwen3_moe, ModelType::olmoe, ModelType::mixtral,
                                           ModelType::deepseek_v3, ModelType::gpt_oss};

/// model_type of config.json, for example "qwen3_moe".
const char* hugging_face_name(ModelType type);
/// general.architecture of a GGUF file, for example "qwen3moe".
const char* gguf_name(ModelType type);

/// The same function with every setting that has no effect on it at its default: training-only settings, settings of
/// parts that are switched off, and softmax over the chosen, which is softmax over all and then normalised.
ModelConfig without_idle_settings(ModelConfig model);

/// One entry per setting in which the two compute different things: "router_choice (expert; needs token)". `got` is
/// what a file would say. Numbers may differ by rounding to float.
std::vector<std::string> differing_settings(const ModelConfig& model, const ModelConfig& got);

/// The first type whose files say exactly `model`. `expressed` gives the configuration that a reader of such a file
/// would take from it, or throws Error. Throws Error that names what the nearest type cannot express.
ModelType choose_type(const ModelConfig& model, const std::string& format,
                      const std::function<ModelConfig(ModelType)>& expressed, const char* (*name)(ModelType));

}  // namespace moescope::engine
