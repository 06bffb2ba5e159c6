// The weights of a Hugging Face folder: model.safetensors, or shards that model.safetensors.index.json lists, or shards
// that their names alone make one model. Strict: the list and the shards must name the same tensors, each once.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/files/safetensors.hpp"

namespace moescope::engine {

/// Names of the files that hold the weights of `folder`, as transformers chooses them: model.safetensors, else the
/// shards of the list. Without either, the shards that number themselves, "model-00001-of-00003.safetensors", of which
/// none may be missing. What lies beside them (an adapter, a copy, a damaged download, ._ files) is no part of the
/// model. Throws Error when there is none of these, and when the list names a file that is not there.
std::vector<std::string> weight_files(const std::filesystem::path& folder);

class SafetensorsFolder {
 public:
    /// Opens and checks the files of weight_files and no others. Throws Error naming the file and the tensor.
    explicit SafetensorsFolder(const std::filesystem::path& folder);

    struct Place {
        std::size_t file = 0;
        const SafetensorsTensor* tensor = nullptr;
    };
    const std::map<std::string, Place>& tensors() const { return tensors_; }
    /// As SafetensorsFile::read_floats.
    void read_floats(const std::string& name, std::span<float> into) const;

 private:
    void add_file(const std::filesystem::path& path);
    void check_index(const std::filesystem::path& index, const std::map<std::string, std::string>& listed) const;

    std::vector<std::filesystem::path> paths_;
    std::vector<std::unique_ptr<SafetensorsFile>> files_;
    std::map<std::string, Place> tensors_;
};

}  // namespace moescope::engine
