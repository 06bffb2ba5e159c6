#include "engine/files/safetensors_folder.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "base/input_file.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

constexpr std::uint64_t kMaxIndexBytes = 64U << 20;
constexpr std::size_t kMaxFiles = 2000;
constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// A shard lies in the folder itself: a name with a path in it could lead anywhere.
bool is_plain_name(const std::string& name) {
    return name.size() > 12 && name.size() < 256 && name.ends_with(".safetensors") &&
           name.find_first_of("/\\") == std::string::npos && name.front() != '.';
}

std::map<std::string, std::string> read_index(const std::filesystem::path& path) {
    const nlohmann::json index = base::read_json_file(path, kMaxIndexBytes);
    const auto found = index.is_object() ? index.find("weight_map") : index.end();
    if (!index.is_object() || found == index.end() || !found->is_object()) {
        throw Error(say("{}: has no weight_map; get the folder again", path));
    }
    std::map<std::string, std::string> listed;
    for (const auto& [tensor, file] : found->items()) {
        if (!file.is_string() || !is_plain_name(file.get_ref<const std::string&>())) {
            throw Error(
                say("{}: the file of tensor \"{}\" is not the name of a .safetensors file in this folder; get the "
                    "folder again",
                    path, tensor));
        }
        listed[tensor] = file.get<std::string>();
    }
    return listed;
}

struct Weights {
    std::vector<std::string> files;
    std::map<std::string, std::string> listed;  ///< tensor -> file; empty when there is but one file, without a list
};

Weights find_weights(const std::filesystem::path& folder) {
    const std::filesystem::path index = folder / kIndex;
    if (base::is_there(folder / kSingle)) {
        return {{kSingle}, {}};
    }
    if (!base::is_there(index)) {
        throw Error(
            say("{}: has neither model.safetensors nor model.safetensors.index.json; choose a folder with both "
                "config.json and safetensors weights",
                folder));
    }
    std::map<std::string, std::string> listed = read_index(index);
    std::set<std::string> names;
    for (const auto& [tensor, file] : listed) {
        names.insert(file);
    }
    if (names.empty() || names.size() > kMaxFiles) {
        throw Error(say("{}: lists {} files; 1 to {} are possible", index, names.size(), kMaxFiles));
    }
    return {{names.begin(), names.end()}, std::move(listed)};
}

}  // namespace

std::vector<std::string> weight_files(const std::filesystem::path& folder) {
    return find_weights(folder).files;
}

SafetensorsFolder::SafetensorsFolder(const std::filesystem::path& folder) {
    const Weights weights = find_weights(folder);
    for (const std::string& name : weights.files) {
        add_file(folder / name);
    }
    if (!weights.listed.empty()) {
        check_index(folder / kIndex, weights.listed);
    }
}

void SafetensorsFolder::add_file(const std::filesystem::path& path) {
    files_.push_back(std::make_unique<SafetensorsFile>(path));
    paths_.push_back(path);
    for (const auto& [name, tensor] : files_.back()->header().tensors) {
        const auto [at, fresh] = tensors_.emplace(name, Place{files_.size() - 1, &tensor});
        if (!fresh) {
            throw Error(say("{}: tensor \"{}\" is also in {}; get the folder again", path, name,
                            paths_[at->second.file].filename()));
        }
    }
}

void SafetensorsFolder::check_index(const std::filesystem::path& index,
                                    const std::map<std::string, std::string>& listed) const {
    for (const auto& [name, file] : listed) {
        const auto found = tensors_.find(name);
        if (found == tensors_.end() || paths_[found->second.file].filename() != file) {
            throw Error(say("{}: tensor \"{}\" is not in {}; get the folder again", index, name, file));
        }
    }
    for (const auto& [name, place] : tensors_) {
        if (!listed.contains(name)) {
            throw Error(say("{}: does not list tensor \"{}\" of {}; get the folder again", index, name,
                            paths_[place.file].filename()));
        }
    }
}

void SafetensorsFolder::read_floats(const std::string& name, std::span<float> into) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
        throw Error(say("tensor \"{}\" is missing; the folder belongs to another model", name));
    }
    files_[found->second.file]->read_floats(name, into);
}

}  // namespace moescope::engine
