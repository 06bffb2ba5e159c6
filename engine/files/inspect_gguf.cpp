#include <algorithm>
#include <map>

#include "base/foreign_text.hpp"
#include "engine/files/gguf.hpp"
#include "engine/files/inspect_parts.hpp"

namespace moescope::engine {
namespace {

std::string text_of(const GgufHeader& header, const std::string& key) {
    const auto found = header.values.find(key);
    if (found == header.values.end() || !found->second.is_string()) {
        return {};
    }
    return base::shown_name(found->second.get_ref<const std::string&>());
}

// The type that holds the most bytes, for files that do not name their mixture.
std::string main_type(const GgufHeader& header) {
    std::map<std::string, std::uint64_t> bytes;
    for (const GgufTensor& tensor : header.tensors) {
        bytes[tensor.type] += tensor.bytes;
    }
    const auto largest =
        std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    return largest == bytes.end() ? "" : largest->first;
}

std::uint64_t vocabulary_of(const GgufHeader& header, const std::string& architecture) {
    const auto tokens = header.arrays.find("tokenizer.ggml.tokens");
    return tokens != header.arrays.end() ? tokens->second : count_of(header, architecture + ".vocab_size");
}

}  // namespace

void inspect_gguf(const std::filesystem::path& path, FileReport& report) {
    const GgufModel model = read_gguf_model(path);
    const GgufHeader& header = model.header;
    const std::string architecture = text_of(header, "general.architecture");
    std::string quantisation =
        header.values.contains("general.file_type") ? gguf_file_type_name(count_of(header, "general.file_type")) : "";
    std::uint64_t parameters = 0;
    for (const GgufTensor& tensor : header.tensors) {
        parameters += tensor.elements;
    }
    nlohmann::json& d = report.details;
    d["version"] = header.version;
    d["architecture"] = architecture;
    d["name"] = text_of(header, "general.name");
    d["licence"] = text_of(header, "general.license");
    d["quantisation"] = quantisation.empty() ? main_type(header) : quantisation;
    d["parameters"] = parameters;
    d["tensors"] = header.tensors.size();
    d["layers"] = count_of(header, architecture + ".block_count");
    d["width"] = count_of(header, architecture + ".embedding_length");
    d["context"] = count_of(header, architecture + ".context_length");
    d["experts"] = count_of(header, architecture + ".expert_count");
    d["experts_per_token"] = count_of(header, architecture + ".expert_used_count");
    d["vocabulary"] = vocabulary_of(header, architecture);
    d["chat_template"] =
        header.values.contains("tokenizer.chat_template") || header.arrays.contains("tokenizer.chat_template");
    if (const auto found = header.values.find("tokenizer.chat_template");
        found != header.values.end() && found->second.is_string()) {
        d["chat_template_bytes"] = found->second.get_ref<const std::string&>().size();
    }
    const std::string tokenizer = text_of(header, "tokenizer.ggml.model");
    d["tokenizer"] = tokenizer == "no_vocab" ? "" : tokenizer;
    if (model.parts.size() > 1) {
        auto files = nlohmann::json::array();
        std::uint64_t bytes = 0;
        for (const auto& part : model.parts) {
            bytes += std::filesystem::file_size(part);
            files.push_back(part.filename().string());
        }
        d["bytes"] = bytes;
        d["parts"] = std::move(files);
    }
}

}  // namespace moescope::engine
