// A model that was read from a file of another program's making: our configuration, the parameters in our layout, and
// the tokenizer when the file has one that can be run.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/error.hpp"
#include "engine/exchange/tensor_names.hpp"
#include "engine/model/arena.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "engine/text/text_rules.hpp"
#include "engine/text/tokenizer.hpp"
#include "engine/text/vocabulary.hpp"

namespace moescope::engine {

struct ImportedModel {
    ModelConfig model;
    std::string type;  ///< "qwen3_moe", ... or the architecture of a GGUF file, "qwen3moe", ...
    ParameterLayout layout;
    Block memory;
    float* parameters = nullptr;                 ///< [layout.floats], inside memory
    std::shared_ptr<const Tokenizer> tokenizer;  ///< null when the file has none of SentencePiece
    /// Of a tokenizer.json, which libllama runs: without `tokenizer`, or where that has no portable form.
    std::shared_ptr<const Vocabulary> vocabulary;
    TextRules text;               ///< of a model that has one of the two
    Sentence no_tokenizer;        ///< why there is none: "it has no tokenizer"
    std::vector<Sentence> notes;  ///< what was left out or limited, one sentence each
};

/// What a file says about one of its tensors.
struct StoredTensor {
    std::vector<std::uint64_t> shape;  ///< row-major
    std::string dtype;
    bool readable = false;  ///< a float type of at least 16 bits
};

/// Refuses, naming the tensor: one that is missing, has another shape or type, or that the model has no place for.
/// `left_out` tells which further ones are known and skipped. Throws Error.
void check_tensors(const std::vector<FileTensor>& wanted, const std::map<std::string, StoredTensor>& stored,
                   const std::function<bool(const std::string&)>& left_out, const std::string& source);

/// Allocates the parameters and fills them; `read` gives the values of a tensor. Throws Error.
void read_parameters(ImportedModel& model, const std::vector<FileTensor>& tensors,
                     const std::function<void(const FileTensor&, std::span<float>)>& read);

/// Takes the tokenizer when its pieces fit the vocabulary, otherwise leaves it out. `bytes`: a SentencePiece model.
void take_tokenizer(ImportedModel& model, std::string bytes);
/// The model has none, for a reason that is kept and noted.
void leave_out_tokenizer(ImportedModel& model, const Sentence& why);

}  // namespace moescope::engine
