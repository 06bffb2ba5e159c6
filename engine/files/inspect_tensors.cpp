// safetensors and NumPy files, and checkpoint folders made of them: what they hold, checked without reading the
// numbers.
#include <algorithm>
#include <set>
#include <span>

#include "engine/error.hpp"
#include "engine/files/file_reader.hpp"
#include "engine/files/inspect_parts.hpp"
#include "engine/files/npy.hpp"
#include "engine/files/safetensors.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kMaxConfigBytes = 1U << 20;
constexpr std::uint64_t kNpyPrefixBytes = 70'000;  // more than the longest NumPy header

json read_json(const fs::path& path) {
    FileReader file(path);
    if (file.size() > kMaxConfigBytes) {
        throw Error(say("has a {} of {} bytes, which cannot be right", path.filename(), file.size()));
    }
    json value = json::parse(file.text(file.size(), marked("its JSON")), nullptr, false);
    if (value.is_discarded() || !value.is_object()) {
        throw Error(say("has a {} that is no valid JSON", path.filename()));
    }
    return value;
}

}  // namespace

void inspect_safetensors(const fs::path& path, FileReport& report) {
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
    std::set<std::string> types;
    std::uint64_t parameters = 0;
    for (const auto& [name, tensor] : header.tensors) {
        types.insert(tensor.dtype);
        std::uint64_t elements = 1;
        for (const std::uint64_t size : tensor.shape) {
            elements *= size;  // the parser has checked that this does not overflow
        }
        parameters += elements;
    }
    report.details["tensors"] = header.tensors.size();
    report.details["parameters"] = parameters;
    report.details["types"] = types;
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

/// A model as Hugging Face keeps it: config.json names the type; one safetensors file, or shards with their list.
void inspect_hugging_face(const fs::path& path, nlohmann::json config, FileReport& report) {
    report.kind = FileKind::hugging_face;
    std::uint64_t bytes = 0;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(path)) {
        if (entry.path().extension() == ".safetensors" && entry.is_regular_file()) {
            files.push_back(entry.path());
            bytes += entry.file_size();
        }
    }
    std::sort(files.begin(), files.end());
    if (files.empty()) {
        throw Error(
            say("is a Hugging Face folder without safetensors weights; get the version with .safetensors files"));
    }
    auto shards = nlohmann::json::array();
    for (const fs::path& file : files) {
        FileReport shard;
        inspect_safetensors(file, shard);
        shards.push_back(file.filename().string());
    }
    report.details["config"] = std::move(config);
    report.details["files"] = std::move(shards);
    report.details["bytes"] = bytes;
    report.details["tokenizer"] = fs::exists(path / "tokenizer.model");
}

}  // namespace

void inspect_folder(const fs::path& path, FileReport& report) {
    std::error_code error;
    const bool weights = fs::exists(path / "model.safetensors", error);
    const bool config = fs::exists(path / "config.json", error);
    if (config && !fs::exists(path / "state.json", error) && !fs::exists(path / "DONE", error)) {
        nlohmann::json value = read_json(path / "config.json");
        if (value.is_object() && value.contains("model_type")) {
            inspect_hugging_face(path, std::move(value), report);
            return;
        }
    }
    if (!weights || !config) {
        throw Error(say("is a folder without {}; name a model file or the folder of a checkpoint",
                        config ? "model.safetensors" : "config.json"));
    }
    report.kind = FileKind::checkpoint;
    if (!fs::exists(path / "DONE", error)) {
        throw Error(say("is a checkpoint that was not finished (the file DONE is missing); use an earlier one"));
    }
    inspect_safetensors(path / "model.safetensors", report);
    report.details["config"] = read_json(path / "config.json");
    report.details["bytes"] = fs::file_size(path / "model.safetensors", error);
    report.details["tokenizer"] = fs::exists(path / "tokenizer.model", error);
}

}  // namespace moescope::engine
