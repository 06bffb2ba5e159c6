#include "engine/files/safetensors_folder.hpp"

#include <charconv>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <regex>
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
    std::map<std::string, std::string> listed;  ///< tensor -> file; empty when there is no list
};

/// Files that are one model by their names: "model-00002-of-00003.safetensors" is the second of three.
struct Shards {
    std::string stem;
    std::uint64_t count = 0;
    std::set<std::uint64_t> numbers;
    std::string name(std::uint64_t number) const {
        return fmt::format("{}-{:05}-of-{:05}.safetensors", stem, number, count);
    }
};

std::vector<Shards> shards_in(const std::filesystem::path& folder) {
    static const std::regex kShard("(.*)-([0-9]{5})-of-([0-9]{5})\\.safetensors");
    std::map<std::pair<std::string, std::uint64_t>, Shards> sets;
    std::error_code error;
    for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename().string();
        std::smatch found;
        if (!is_plain_name(name) || !std::regex_match(name, found, kShard)) {
            continue;
        }
        std::uint64_t number = 0, count = 0;
        std::from_chars(&*found[2].first, &*found[2].first + found[2].length(), number);
        std::from_chars(&*found[3].first, &*found[3].first + found[3].length(), count);
        Shards& shards = sets[{found[1].str(), count}];
        shards.stem = found[1].str();
        shards.count = count;
        shards.numbers.insert(number);
    }
    std::vector<Shards> list;
    for (auto& [key, shards] : sets) {
        list.push_back(std::move(shards));
    }
    return list;
}

/// The files of a folder without a list, when they are the shards of one model.
std::vector<std::string> unlisted_shards(const std::filesystem::path& folder) {
    const std::vector<Shards> sets = shards_in(folder);
    if (sets.empty()) {
        throw Error(
            say("{}: has neither model.safetensors nor model.safetensors.index.json; choose a folder with both "
                "config.json and safetensors weights",
                folder));
    }
    if (sets.size() > 1) {
        throw Error(
            say("{}: has no model.safetensors.index.json and the shards of two models, {} and {}; keep those of one",
                folder, sets[0].name(*sets[0].numbers.begin()), sets[1].name(*sets[1].numbers.begin())));
    }
    const Shards& shards = sets.front();
    if (shards.count == 0 || shards.count > kMaxFiles) {
        throw Error(say("{}: has shards of {} files; 1 to {} are possible", folder, shards.count, kMaxFiles));
    }
    std::vector<std::string> files;
    for (std::uint64_t number = 1; number <= shards.count; ++number) {
        files.push_back(shards.name(number));
        if (!shards.numbers.contains(number)) {
            throw Error(say("{}: the shard {} is missing; put all of them into one folder", folder, files.back()));
        }
    }
    if (shards.numbers.size() != shards.count) {  // number 0, or one above the count
        throw Error(say("{}: has a shard with a wrong number, {}; get the folder again", folder,
                        shards.name(shards.numbers.contains(0) ? 0 : *shards.numbers.rbegin())));
    }
    return files;
}

Weights find_weights(const std::filesystem::path& folder) {
    const std::filesystem::path index = folder / kIndex;
    if (base::is_there(folder / kSingle)) {
        return {{kSingle}, {}};
    }
    if (!base::is_there(index)) {
        return {unlisted_shards(folder), {}};
    }
    std::map<std::string, std::string> listed = read_index(index);
    std::set<std::string> names;
    for (const auto& [tensor, file] : listed) {
        if (names.insert(file).second && !base::is_there(folder / file)) {
            throw Error(
                say("{}: lists tensor \"{}\" in the file {}, which is missing; get that file", index, tensor, file));
        }
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
        if (found == tensors_.end()) {
            throw Error(say("{}: lists tensor \"{}\" in {}, but no file of the list has it; get the folder again",
                            index, name, file));
        }
        if (paths_[found->second.file].filename() != file) {
            throw Error(say("{}: tensor \"{}\" is not in {} but in {}; get the folder again", index, name, file,
                            paths_[found->second.file].filename()));
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
