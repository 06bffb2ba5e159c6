#include "nodes/service/workers/lent_files.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"

namespace moescope::node {

namespace fs = std::filesystem;
using base::say;

LentFiles::LentFiles(const fs::path& folder, nlohmann::json& request) {
    for (const char* key : {"tokens", "replay"}) {
        const nlohmann::json& named = base::member(request, key);
        if (!folder.empty() && named.is_string()) {
            const fs::path path = named.get<std::string>(), place = folder / key / path.filename();
            lend(path, place);
            request[key] = place.string();
        }
    }
}

LentFiles::~LentFiles() {
    for (const auto& [path, place] : files_) {
        std::error_code ignored;
        fs::remove_all(place.parent_path(), ignored);
    }
}

base::Sentence LentFiles::told(const base::Sentence& sentence) const {
    if (sentence.is_verbatim()) {
        std::string text = sentence.id();
        for (const auto& [path, place] : files_) {
            if (const std::size_t at = text.find(place.string()); at != std::string::npos) {
                text.replace(at, place.string().size(), path.string());
            }
        }
        return base::Sentence::verbatim(std::move(text));
    }
    std::vector<base::Sentence> values = sentence.arguments();
    for (base::Sentence& value : values) {
        value = told(value);
    }
    return {sentence.id(), std::move(values)};
}

void LentFiles::lend(const fs::path& path, const fs::path& place) {
    base::require_regular_file(path);
    std::error_code error;
    files_.emplace_back(path, place);
    fs::create_directories(place.parent_path(), error);
    fs::create_hard_link(fs::canonical(path, error), place, error);
    if (error) {  // on another file system
        error.clear();
        fs::copy_file(path, place, error);
    }
    if (error) {
        throw base::Error(say("{} can't be copied for the process of the model: {}", path, error));
    }
}

}  // namespace moescope::node
