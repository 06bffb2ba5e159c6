#include "engine/exchange/hugging_face_import.hpp"

#include <nlohmann/json.hpp>

#include "base/input_file.hpp"
#include "engine/error.hpp"
#include "engine/exchange/hugging_face_config.hpp"
#include "engine/exchange/hugging_face_text.hpp"
#include "engine/exchange/hugging_face_tokenizer.hpp"
#include "engine/exchange/hugging_face_vocabulary.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"
#include "engine/files/safetensors_folder.hpp"

namespace moescope::engine {
namespace {

constexpr std::uint64_t kMaxConfigBytes = 4U << 20;

bool has_fused_experts(const SafetensorsFolder& files) {
    for (const auto& [name, place] : files.tensors()) {
        if (name.ends_with(".mlp.experts.gate_up_proj")) {
            return true;
        }
    }
    return false;
}

/// Of the layers that predict further tokens, the first is taken; it stands behind the model's own layers.
void look_for_prediction(const SafetensorsFolder& files, const HuggingFaceConfig& config, ImportedModel& out) {
    const std::string prefix = "model.layers." + std::to_string(out.model.layers) + ".";
    if (config.prediction_layers == 1 && files.tensors().contains(prefix + "eh_proj.weight")) {
        out.model.prediction_depth = 1;
    } else if (config.prediction_layers > 0) {
        out.notes.push_back(
            say("The {} layers for multi-token prediction were left out; they have no part in the next token",
                config.prediction_layers));
    }
}

/// Tensors that repeat others or that nothing reads.
class LeftOut {
 public:
    LeftOut(const HuggingFaceConfig& config, ImportedModel& out) : out_(out) {
        for (int i = 0; i < config.prediction_layers; ++i) {
            further_.push_back("model.layers." + std::to_string(config.model.layers + i) + ".");
        }
    }

    bool operator()(const std::string& name) const {
        if (name.ends_with(".rotary_emb.inv_freq")) {
            return true;
        }
        if (out_.model.tied_head && name == "lm_head.weight") {
            out_.notes.push_back(
                say("lm_head.weight was not read: tie_word_embeddings says that the embedding is used"));
            return true;
        }
        for (const std::string& prefix : further_) {
            if (!name.starts_with(prefix)) {
                continue;
            }
            if (out_.model.prediction_depth == 0) {
                return true;
            }
            if (name == prefix + "embed_tokens.weight" || name == prefix + "shared_head.head.weight") {
                out_.notes.push_back(say("{} was not read: the prediction module shares the model's own", name));
                return true;
            }
        }
        return false;
    }

 private:
    ImportedModel& out_;
    std::vector<std::string> further_;
};

std::map<std::string, StoredTensor> stored_tensors(const SafetensorsFolder& files) {
    std::map<std::string, StoredTensor> stored;
    for (const auto& [name, place] : files.tensors()) {
        stored[name] = {place.tensor->shape, place.tensor->dtype, is_float_type(place.tensor->dtype)};
    }
    return stored;
}

void read_sentencepiece(const std::filesystem::path& path, ImportedModel& out) {
    std::string bytes;
    try {
        bytes = base::read_file(path, kMaxTokenizerBytes);
    } catch (const Error& problem) {
        return leave_out_tokenizer(out, say("its tokenizer cannot be used: {}", problem));
    }
    take_tokenizer(out, std::move(bytes));
}

void read_vocabulary(const std::filesystem::path& folder, ImportedModel& out) {
    try {
        out.vocabulary = read_hugging_face_vocabulary(folder, out.model.vocabulary);
    } catch (const Error& problem) {
        return leave_out_tokenizer(out, problem.sentence());
    }
    out.notes.insert(out.notes.end(), out.vocabulary->notes.begin(), out.vocabulary->notes.end());
}

/// tokenizer.model where it is one of SentencePiece, which our engine runs itself and trains with; else tokenizer.json.
void read_tokenizer(const std::filesystem::path& folder, ImportedModel& out) {
    const std::filesystem::path model = folder / "tokenizer.model";
    const bool of_merges = base::is_there(folder / "tokenizer.json");
    if (base::is_there(model)) {
        const std::size_t notes = out.notes.size();
        read_sentencepiece(model, out);
        if (out.tokenizer && of_merges && !has_portable_form(*out.tokenizer)) {
            try {
                out.vocabulary = read_hugging_face_vocabulary(folder, out.model.vocabulary);
            } catch (const Error&) {  // the other one runs; an export will say what it had to leave out
            }
        }
        if (out.tokenizer || !of_merges) {
            return;
        }
        out.notes.resize(notes);  // of another kind, as a list for tiktoken is
        out.no_tokenizer = {};
    }
    if (!of_merges) {
        return leave_out_tokenizer(
            out, say("it has neither tokenizer.model nor tokenizer.json; copy the one it was trained with into its "
                     "folder"));
    }
    read_vocabulary(folder, out);
}

/// What the files say about texts, for the tokenizer that runs.
void read_text(const std::filesystem::path& folder, const nlohmann::json& settings, ImportedModel& out) {
    const int vocabulary = out.model.vocabulary;
    try {
        if (out.tokenizer) {
            out.text = read_hugging_face_text(folder, settings, *out.tokenizer, vocabulary, out.notes);
        } else if (out.vocabulary) {
            out.text = read_hugging_face_text(folder, settings, *out.vocabulary, vocabulary, out.notes);
        }
    } catch (const Error& problem) {  // the weights are none the worse for it
        out.tokenizer.reset();
        out.vocabulary.reset();
        leave_out_tokenizer(out, say("its tokenizer cannot be used: {}", problem));
    }
}

}  // namespace

ImportedModel import_hugging_face(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "config.json";
    const nlohmann::json settings = base::read_json_file(path, kMaxConfigBytes);
    HuggingFaceConfig config = parse_hugging_face_config(settings, path.string());
    const SafetensorsFolder files(folder);
    ImportedModel out;
    out.model = config.model;
    out.type = hugging_face_name(config.type);
    out.notes = std::move(config.notes);
    look_for_prediction(files, config, out);
    out.layout = make_layout(out.model);
    const std::vector<FileTensor> tensors = hugging_face_tensors(
        config.type, out.model, out.layout, has_fused_experts(files) ? ExpertFiles::fused : ExpertFiles::separate);
    check_tensors(tensors, stored_tensors(files), LeftOut(config, out), folder.string());
    read_parameters(out, tensors,
                    [&](const FileTensor& tensor, std::span<float> values) { files.read_floats(tensor.name, values); });
    read_tokenizer(folder, out);
    read_text(folder, settings, out);
    return out;
}

}  // namespace moescope::engine
