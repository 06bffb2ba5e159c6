#include "engine/exchange/hugging_face_export.hpp"

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/exchange/hugging_face_config.hpp"
#include "engine/exchange/hugging_face_tokenizer.hpp"
#include "engine/exchange/tensor_names.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"
#include "engine/files/partial_file.hpp"
#include "engine/files/safetensors.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;

/// A folder that appears under its name when it is whole; an unfinished one is removed.
class NewFolder {
 public:
    explicit NewFolder(const std::filesystem::path& target) : target_(target), partial_(target) {
        std::error_code error;
        if (std::filesystem::exists(target, error) && !std::filesystem::is_empty(target, error)) {
            throw Error(say("{}: is not empty; choose a new folder", target));
        }
        partial_ += ".part";
        std::filesystem::remove_all(partial_, error);
        std::filesystem::create_directories(partial_, error);
        if (error) {
            throw Error(say("{}: cannot be made; check that you may write there", partial_));
        }
    }
    NewFolder(const NewFolder&) = delete;
    NewFolder& operator=(const NewFolder&) = delete;
    ~NewFolder() {
        std::error_code ignored;
        if (!done_) {
            std::filesystem::remove_all(partial_, ignored);
        }
    }

    const std::filesystem::path& path() const { return partial_; }
    void write(const std::string& name, const std::string& text) {
        errno = 0;
        std::ofstream file(partial_ / name, std::ios::binary | std::ios::trunc);
        file << text;
        file.close();
        if (!file) {
            throw writing_failed(partial_ / name, errno);
        }
        files.push_back(name);
    }
    void finish() {
        std::error_code error;
        std::filesystem::remove(target_, error);  // an empty one
        std::filesystem::rename(partial_, target_, error);
        if (error) {
            throw Error(say("{}: cannot be put in place; check that you may write there", target_));
        }
        done_ = true;
    }

    std::vector<std::string> files;

 private:
    std::filesystem::path target_, partial_;
    bool done_ = false;
};

ModelType find_type(const ModelConfig& model) {
    const auto expressed = [&](ModelType type) {
        ModelConfig got =
            parse_hugging_face_config(write_hugging_face_config(type, model), hugging_face_name(type)).model;
        if (type == ModelType::deepseek_v3 && !model.selection_bias) {
            got.selection_bias = false;  // written as zeros, which choose nothing
        }
        return got;
    };
    return choose_type(model, "a Hugging Face folder", expressed, hugging_face_name);
}

SafetensorsOutput output_of(const FileTensor& tensor, const float* parameters) {
    SafetensorsOutput out{tensor.name, tensor.shape, nullptr, {}};
    if (tensor.contiguous()) {
        out.data = parameters + tensor.offset;
    } else {
        out.fill = [&tensor, parameters](std::span<float> values) { gather(values, parameters, tensor); };
    }
    return out;
}

std::string shard_name(std::size_t number, std::size_t shards) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", number, shards);
    return name;
}

/// Shards of at most `limit` bytes; a single tensor may be larger.
std::vector<std::vector<SafetensorsOutput>> cut(const std::vector<FileTensor>& tensors, const float* parameters,
                                                std::uint64_t limit) {
    std::vector<std::vector<SafetensorsOutput>> shards(1);
    std::uint64_t bytes = 0;
    for (const FileTensor& tensor : tensors) {
        const std::uint64_t more = tensor.count() * sizeof(float);
        if (bytes > 0 && bytes + more > limit) {
            shards.emplace_back();
            bytes = 0;
        }
        shards.back().push_back(output_of(tensor, parameters));
        bytes += more;
    }
    return shards;
}

void write_weights(NewFolder& folder, const std::vector<FileTensor>& tensors, const float* parameters,
                   const std::map<std::string, std::string>& metadata, std::uint64_t limit) {
    auto shards = cut(tensors, parameters, limit);
    if (shards.size() == 1) {
        write_safetensors(folder.path() / "model.safetensors", std::move(shards.front()), metadata);
        folder.files.emplace_back("model.safetensors");
        return;
    }
    Json places = Json::object();
    std::uint64_t bytes = 0;
    for (const FileTensor& tensor : tensors) {
        bytes += tensor.count() * sizeof(float);
    }
    for (std::size_t i = 0; i < shards.size(); ++i) {
        const std::string name = shard_name(i + 1, shards.size());
        for (const SafetensorsOutput& tensor : shards[i]) {
            places[tensor.name] = name;
        }
        write_safetensors(folder.path() / name, std::move(shards[i]), metadata);
        folder.files.push_back(name);
    }
    folder.write("model.safetensors.index.json",
                 Json{{"metadata", {{"total_size", bytes}}}, {"weight_map", places}}.dump(2) + "\n");
}

void write_tokenizer(NewFolder& folder, const Tokenizer* tokenizer, const Vocabulary* vocabulary,
                     const ModelConfig& model, ExportReport& report) {
    if (tokenizer == nullptr && vocabulary != nullptr) {
        for (const auto& [name, bytes] : vocabulary->files) {
            folder.write(name, bytes);
        }
        report.notes.push_back(say("The tokenizer's files are those of the model that this was made from"));
        return;
    }
    if (tokenizer == nullptr) {
        report.notes.push_back(kNoTokenizer);
        return;
    }
    folder.write("tokenizer.model", tokenizer->model_bytes());
    if (!has_portable_form(*tokenizer)) {
        report.notes.push_back(say(
            "tokenizer.model is the SentencePiece model; there is no tokenizer.json, because its pieces or the way it "
            "treats spaces and cuts words have no exact form there"));
        return;
    }
    folder.write("tokenizer.json", tokenizer_json(*tokenizer).dump(1) + "\n");
    folder.write("tokenizer_config.json", tokenizer_config_json(*tokenizer, model.context).dump(2) + "\n");
    report.notes.push_back(say(
        "tokenizer.json gives the same ids as the training did, but for a text that spells a special token, such as "
        "</s>, or the name of a byte, such as <0xE4>: it becomes that token, as is usual there"));
    report.notes.push_back(
        say("tokenizer.model is the same tokenizer as a SentencePiece unigram model. Converters that take every "
            "tokenizer.model for one of merges would cut text in another way: for GGUF use Moescope's own export"));
}

void add_model_notes(ModelType type, const ModelConfig& model, ExportReport& report) {
    if (model.prediction_depth > 0 && type != ModelType::deepseek_v3) {
        report.notes.push_back(
            say("The module for multi-token prediction was left out; it has no part in the next token"));
    }
    if (model.prediction_depth > 0 && type == ModelType::deepseek_v3) {
        report.notes.push_back(
            say("The last layer in the file is the module for multi-token prediction; transformers leaves it unused"));
    }
    if (type == ModelType::deepseek_v3 && !model.selection_bias) {
        report.notes.push_back(say("e_score_correction_bias is all zero: the model was trained without it"));
    }
}

std::string readme(const ExportReport& report) {
    std::string text = "A language model with a mixture of experts, written by Moescope. Type: " + report.type +
                       ", weights in float32.\n\n";
    for (const Sentence& note : report.notes) {
        text += "- " + note.english() + ".\n";
    }
    return text;
}

}  // namespace

ExportReport export_hugging_face(const std::filesystem::path& folder, const ModelConfig& model,
                                 const ParameterLayout& layout, const float* parameters, const Tokenizer* tokenizer,
                                 const std::map<std::string, std::string>& metadata, std::uint64_t shard_bytes,
                                 const Vocabulary* vocabulary, const TextRules& rules) {
    if (tokenizer != nullptr && tokenizer->size() > model.vocabulary) {
        throw Error(say("the tokenizer has {} pieces, but the model only {} tokens: they do not belong together",
                        tokenizer->size(), model.vocabulary));
    }
    const ModelType type = find_type(model);
    ExportReport report{hugging_face_name(type), {}, {}};
    NewFolder out(folder);
    Json config = write_hugging_face_config(type, model);
    Json generation = {{"_from_model_config", true}};
    const bool of_merges = tokenizer == nullptr && vocabulary != nullptr;
    const Json end = tokenizer != nullptr ? Json(tokenizer->end_token()) : Json();
    config["bos_token_id"] = generation["bos_token_id"] = of_merges && rules.begin ? Json(*rules.begin) : end;
    config["eos_token_id"] = generation["eos_token_id"] = !of_merges || rules.ends.empty() ? end
                                                          : rules.ends.size() == 1         ? Json(rules.ends.front())
                                                                                           : Json(rules.ends);
    out.write("config.json", config.dump(2) + "\n");
    out.write("generation_config.json", generation.dump(2) + "\n");
    const auto tensors = hugging_face_tensors(type, model, layout, ExpertFiles::separate);
    write_weights(out, tensors, parameters, metadata, shard_bytes);
    write_tokenizer(out, tokenizer, vocabulary, model, report);
    add_model_notes(type, model, report);
    out.write("README.md", readme(report));
    out.finish();
    report.files = out.files;
    return report;
}

}  // namespace moescope::engine
