// Weights for our own engine, whoever wrote them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/checkpoint/loaded_model.hpp"
#include "engine/error.hpp"
#include "engine/files/inspect.hpp"

namespace moescope::engine {

struct OpenedWeights {
    std::shared_ptr<const LoadedModel> model;
    std::string format;           ///< "checkpoint", "Hugging Face folder" or "GGUF"
    std::string type;             ///< "qwen3_moe", "deepseek2", ...; of a checkpoint "moescope"
    std::vector<Sentence> notes;  ///< what was left out or limited, one sentence each
};

/// A checkpoint folder of Moescope, a Hugging Face folder (see import_hugging_face) or a GGUF file with unquantised
/// weights (see import_gguf). The training settings of what is not a checkpoint are the defaults. Throws Error.
OpenedWeights open_weights(const std::filesystem::path& path);
/// The same for who has looked already: `report` is what inspect_file said about `path`.
OpenedWeights open_weights(const std::filesystem::path& path, const FileReport& report);

}  // namespace moescope::engine
