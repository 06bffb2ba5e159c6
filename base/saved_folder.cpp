#include "base/saved_folder.hpp"

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/input_file.hpp"
#include "base/json_guard.hpp"
#include "base/sha256.hpp"

namespace moescope::base {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kListLimit = std::size_t{4} << 20;
constexpr std::uint64_t kFormat = 1;

/// A name within the folder: relative, no "..", not the folder itself.
bool is_inside(const fs::path& name) {
    if (name.empty() || name.is_absolute()) {
        return false;
    }
    return std::none_of(name.begin(), name.end(), [](const fs::path& part) { return part == ".." || part == "."; });
}

SavedFile saved_file(const nlohmann::json& entry) {
    if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() || !entry.contains("bytes") ||
        !entry["bytes"].is_number_unsigned() || !entry.contains("sha256") || !entry["sha256"].is_string()) {
        throw Error(say("DONE has an entry that can't be read"));
    }
    return {entry["name"].get<std::string>(), entry["bytes"].get<std::uint64_t>(), entry["sha256"].get<std::string>()};
}

}  // namespace

std::vector<SavedFile> read_saved_list(const fs::path& folder) {
    if (!is_there(folder / "DONE")) {
        throw Error(say("the file DONE is missing: the checkpoint was never finished"));
    }
    const auto done = parse_object(read_file(folder / "DONE", kListLimit), kListLimit);
    const nlohmann::json format = done ? done->value("format", nlohmann::json(kFormat)) : nlohmann::json();
    if (format.is_number_unsigned() && format.get<std::uint64_t>() > kFormat) {
        throw Error(say("the file DONE was written by a newer version; update the program"));
    }
    if (format != kFormat || !done->contains("files") || !(*done)["files"].is_array()) {
        throw Error(say("the file DONE can't be read"));
    }
    std::vector<SavedFile> files;
    std::set<std::string> names;
    for (const auto& entry : (*done)["files"]) {
        SavedFile file = saved_file(entry);
        if (!is_inside(file.name) || !names.insert(file.name).second) {
            throw Error(say("DONE names the file '{}' that can't be part of a checkpoint", file.name));
        }
        files.push_back(std::move(file));
    }
    return files;
}

Sentence changed_since_saved(const fs::path& folder, const SavedFile& file, bool content,
                             const std::function<void()>& check) {
    std::error_code error;
    if (!is_there(folder / file.name)) {
        return say("the file {} is missing", file.name);
    }
    if (!fs::is_regular_file(folder / file.name, error)) {
        return say("{} is no ordinary file", file.name);
    }
    if (fs::file_size(folder / file.name, error) != file.bytes || error) {
        return say("the file {} has another size than when it was saved", file.name);
    }
    if (content && sha256_of_file(folder / file.name, check) != file.sha256) {
        return say("the content of {} has changed since it was saved", file.name);
    }
    return {};
}

}  // namespace moescope::base
