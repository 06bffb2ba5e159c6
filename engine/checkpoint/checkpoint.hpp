// The files of a checkpoint folder, read strictly. Every error is one sentence that names the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/files/safetensors.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "engine/text/tokenizer.hpp"

namespace moescope::engine {

inline constexpr const char* kModelFile =
    "model.safetensors";  ///< Hugging Face names of qwen3_moe, one tensor per expert
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";  ///< the same names after "m." and "v."
inline constexpr const char* kConfigFile = "config.json";               ///< to_json(RunConfig)
inline constexpr const char* kTokenizerFile =
    "tokenizer.model";  ///< SentencePiece; absent when the data had no tokenizer
inline constexpr const char* kStateFile = "state.json";

/// What a run must remember beside tensors. Random numbers are functions of seed and counters, so the counters are
/// their state.
struct CheckpointState {
    std::uint64_t step = 0;       ///< steps done, refused ones included
    std::uint64_t updates = 0;    ///< steps applied
    std::uint64_t sequences = 0;  ///< data cursor: sequences taken so far
    std::string data_name, data_sha256;
    std::uint64_t data_tokens = 0;
    // Live knobs that are no part of the configuration; see Trainer.
    int experts_per_token = 0;
    double capacity_factor = -1;
    std::vector<std::pair<int, int>> disabled, frozen;  ///< layer, expert
};

/// Throws Error when a file that a model is read from is not as it was saved: its size and SHA-256 in DONE, which takes
/// about a second for each GB. A folder without DONE has nothing to be compared with; whether one may be used is for
/// who looks for checkpoints to say.
void check_as_saved(const std::filesystem::path& folder);
RunConfig read_checkpoint_config(const std::filesystem::path& folder);
/// Puts the live settings of a checkpoint that are no part of its configuration `config` into `now`. None asks for more
/// than buffers were planned for by `config`.
void take_live(RunConfig& now, const RunConfig& config, const CheckpointState& state);
CheckpointState read_checkpoint_state(const std::filesystem::path& folder);
/// Null when the folder has none.
std::shared_ptr<const Tokenizer> read_checkpoint_tokenizer(const std::filesystem::path& folder);
void write_checkpoint_texts(const std::filesystem::path& folder, const RunConfig& config, const CheckpointState& state,
                            const Tokenizer* tokenizer);

/// A safetensors file that holds exactly the model's tensors, once per prefix: missing, further or misshapen ones are
/// refused on opening.
class CheckpointTensors {
 public:
    CheckpointTensors(const std::filesystem::path& path, const ModelConfig& model, const ParameterLayout& layout,
                      const std::vector<std::string>& prefixes);
    /// Fills the flat buffer `into` of the layout; `check` is called before each tensor and may throw.
    void read(const std::string& prefix, float* into, const std::function<void()>& check = {}) const;
    /// Only these, at their places.
    void read(const std::string& prefix, const std::vector<NamedTensor>& names, float* into,
              const std::function<void()>& check = {}) const;

 private:
    SafetensorsFile file_;
    std::vector<NamedTensor> names_;
};

struct PrefixedBuffer {
    std::string prefix;
    const float* values = nullptr;  ///< flat buffer of the layout
};
void write_checkpoint_tensors(const std::filesystem::path& path, const ModelConfig& model,
                              const ParameterLayout& layout, const std::vector<PrefixedBuffer>& buffers);

}  // namespace moescope::engine
