// config.json of a Hugging Face folder to and from our configuration. Reading is strict on everything that changes what
// the model computes: a setting that we have no way to follow is refused with a sentence that names the key. Both
// spellings of RoPE are read, rope_theta with rope_scaling (transformers 4) and rope_parameters (5), and every name
// that transformers has for a key; a key that is left out means what transformers takes for it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/error.hpp"
#include "engine/exchange/model_types.hpp"

namespace moescope::engine {

struct HuggingFaceConfig {
    ModelType type = ModelType::qwen3_moe;
    ModelConfig model;            ///< prediction_depth 0: the caller looks whether the tensors are there
    int prediction_layers = 0;    ///< num_nextn_predict_layers
    std::vector<Sentence> notes;  ///< what was not taken over and does not change the logits
};

/// Throws Error naming the key; `source` names the file.
HuggingFaceConfig parse_hugging_face_config(const nlohmann::json& config, const std::string& source);

/// What the type can say about the model; settings that it cannot say are left out, see choose_type. JSON types are
/// those that transformers 5 insists on.
nlohmann::json write_hugging_face_config(ModelType type, const ModelConfig& model);

}  // namespace moescope::engine
