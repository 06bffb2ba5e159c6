// safetensors and NumPy files, and checkpoint folders made of them: what they hold, checked without reading the
// numbers.
#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/saved_folder.hpp"
#include "engine/error.hpp"
#include "engine/files/file_reader.hpp"
#include "engine/files/inspect_parts.hpp"
#include "engine/files/npy.hpp"
#include "engine/files/safetensors.hpp"
#include "engine/files/safetensors_folder.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kMaxConfigBytes = 1U << 20;
constexpr std::uint64_t kNpyPrefixBytes = 70'000;  // more than the longest NumPy header

json read_object(const fs::path& path) {
    json value = base::read_json_file(path, kMaxConfigBytes);
    if (!value.is_object()) {
        throw Error(say("has a {} that is no JSON object", path.filename()));
    }
    return value;
}

/// What the headers of one or more files say.
struct Tensors {
    std::uint64_t count = 0, parameters = 0, bytes = 0;
    std::map<std::string, std::uint64_t> types;  ///< name -> bytes

    std::string main_type() const {
        const auto largest = std::max_element(types.begin(), types.end(),
                                              [](const auto& a, const auto& b) { return a.second < b.second; });
        return largest == types.end() ? "" : largest->first;
    }
};

void add_tensors(const fs::path& path, Tensors& all) {
    FileReader file(path);
    std::string prefix = file.text(std::min<std::uint64_t>(file.size(), 8), marked("its start"));
    if (prefix.size() == 8) {
        std::uint64_t length = 0;
        prefix.copy(reinterpret_cast<char*>(&length), sizeof length);
        if (length <=
            std::min(kSafetensorsMaxHeader, file.left())) {  // else the parser says what is wrong with the length
            prefix += file.text(length, marked("its header"));
        }
    }
    const SafetensorsHeader header = parse_safetensors(std::as_bytes(std::span(prefix)), file.size(), path.string());
    for (const auto& [name, tensor] : header.tensors) {
        std::uint64_t elements = 1;
        for (const std::uint64_t size : tensor.shape) {
            elements *= size;  // the parser has checked that this does not overflow
        }
        all.parameters += elements;
        all.types[tensor.dtype] += tensor.end - tensor.begin;
    }
    all.count += header.tensors.size();
    all.bytes += file.size();
}

void put_tensors(const Tensors& all, FileReport& report) {
    auto types = json::array();
    for (const auto& [type, bytes] : all.types) {
        types.push_back(type);
    }
    report.details["tensors"] = all.count;
    report.details["parameters"] = all.parameters;
    report.details["types"] = std::move(types);
}

}  // namespace

void inspect_safetensors(const fs::path& path, FileReport& report) {
    Tensors all;
    add_tensors(path, all);
    put_tensors(all, report);
}

void inspect_npy(const fs::path& path, FileReport& report) {
    FileReader file(path);
    const std::string prefix = file.text(std::min(file.size(), kNpyPrefixBytes), marked("its header"));
    if (prefix.substr(0, 300).find("|O'") != std::string::npos) {
        throw Error(say(
            "holds Python objects, which are pickles and can run any code when opened; save plain numbers instead"));
    }
    const NpyHeader header = parse_npy(std::as_bytes(std::span(prefix)), file.size(), path.string());
    report.details["type"] = header.dtype;
    report.details["shape"] = header.shape;
}

namespace {

constexpr std::size_t kShownNeighbours = 20;

/// Files of weights that lie beside those of the model and that nothing reads.
std::vector<std::string> neighbours(const fs::path& folder, const std::vector<std::string>& read) {
    std::vector<std::string> list;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        const std::string name = entry.path().filename().string(), kind = entry.path().extension().string();
        const bool weights = kind == ".safetensors" || kind == ".bin" || kind == ".pt" || kind == ".pth" ||
                             kind == ".gguf" || kind == ".ckpt";
        if (weights && std::find(read.begin(), read.end(), name) == read.end()) {
            list.push_back(base::shown_name(name));
        }
    }
    std::sort(list.begin(), list.end());
    return list;
}

/// A model as Hugging Face keeps it: config.json names the type; one safetensors file, or shards.
void inspect_hugging_face(const fs::path& path, nlohmann::json config, FileReport& report) {
    report.kind = FileKind::hugging_face;
    std::error_code error;
    const std::vector<std::string> weights = neighbours(path, {});
    if (std::none_of(weights.begin(), weights.end(),
                     [](const std::string& name) { return name.ends_with(".safetensors"); })) {
        throw Error(
            say("is a Hugging Face folder without safetensors weights; get the version with .safetensors files"));
    }
    const std::vector<std::string> files = weight_files(path);
    Tensors all;
    for (const std::string& file : files) {
        add_tensors(path / file, all);
    }
    const SafetensorsFolder agreed(path);  // list and files name the same tensors
    put_tensors(all, report);
    report.details["architecture"] = base::shown_name(base::text_of(config, "model_type"));
    report.details["precision"] = all.main_type();
    for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"}) {
        if (const auto experts = base::count_of(config, key); experts > 0) {
            report.details["experts"] = experts;
        }
    }
    report.details["config"] = std::move(config);
    report.details["files"] = files;
    report.details["bytes"] = all.bytes;
    std::vector<std::string> others = neighbours(path, files);
    others.resize(std::min(others.size(), kShownNeighbours));
    report.details["not_read"] = std::move(others);
    report.details["tokenizer"] =
        fs::exists(path / "tokenizer.model", error) || fs::exists(path / "tokenizer.json", error);
}

/// Empty when the files of a checkpoint that are there have the sizes that they were saved with.
Sentence damage_of(const fs::path& checkpoint) {
    try {
        for (const base::SavedFile& file : base::read_saved_list(checkpoint)) {
            if (!base::is_there(checkpoint / file.name)) {
                continue;  // the optimizer's part is not needed to open a model
            }
            if (Sentence problem = base::changed_since_saved(checkpoint, file, false); !problem.empty()) {
                return problem;
            }
        }
    } catch (const Error& problem) {
        return problem.sentence();
    }
    return {};
}

}  // namespace

void inspect_folder(const fs::path& path, FileReport& report) {
    std::error_code error;
    const bool weights = base::is_there(path / "model.safetensors");
    const bool config = base::is_there(path / "config.json");
    const bool finished = base::is_there(path / "DONE");
    if (config && !finished && !base::is_there(path / "state.json")) {
        nlohmann::json value = read_object(path / "config.json");
        if (value.contains("model_type")) {
            inspect_hugging_face(path, std::move(value), report);
            return;
        }
        if (!base::member(value, "model").is_object()) {  // as in a checkpoint's
            throw Error(
                say("has a config.json without \"model_type\", so that nobody can tell which model it is; get the "
                    "folder again"));
        }
    }
    if (!weights || !config) {
        throw Error(say("is a folder without {}; name a model file or the folder of a checkpoint",
                        config ? "model.safetensors" : "config.json"));
    }
    report.kind = FileKind::checkpoint;
    if (!finished) {
        throw Error(say("is a checkpoint that was not finished (the file DONE is missing); use an earlier one"));
    }
    if (const Sentence problem = damage_of(path); !problem.empty()) {
        throw Error(say("is a damaged checkpoint: {}; use another one", problem));
    }
    inspect_safetensors(path / "model.safetensors", report);
    report.details["config"] = read_object(path / "config.json");
    report.details["bytes"] = fs::file_size(path / "model.safetensors", error);
    report.details["tokenizer"] = fs::exists(path / "tokenizer.model", error);
}

}  // namespace moescope::engine
