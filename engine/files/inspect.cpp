#include "engine/files/inspect.hpp"

#include <algorithm>
#include <exception>

#include "base/text.hpp"
#include "engine/error.hpp"
#include "engine/files/file_reader.hpp"
#include "engine/files/inspect_parts.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

bool has_pickle_extension(const fs::path& path) {
    const std::string extension = base::lower(path.extension().string());
    for (const char* known : {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib"}) {
        if (extension == known) {
            return true;
        }
    }
    return false;
}

bool looks_like_safetensors(const std::string& start) {
    // A length in 8 bytes, then the JSON text. The two highest bytes of a sane length are zero.
    return start.size() >= 9 && start[8] == '{' && start[6] == 0 && start[7] == 0;
}

void inspect_by_content(const fs::path& path, FileReport& report) {
    FileReader file(path);
    if (file.size() == 0) {
        throw Error(say("is empty; get it again"));
    }
    report.details["bytes"] = file.size();
    const std::string start = file.text(std::min<std::uint64_t>(file.size(), 64), marked("its start"));
    if (start.starts_with("GGUF")) {
        report.kind = FileKind::gguf;
        inspect_gguf(path, report);
    } else if (start.starts_with("\x93NUMPY")) {
        report.kind = FileKind::npy;
        inspect_npy(path, report);
    } else if (looks_like_pickle(path, start)) {
        report.kind = FileKind::pickle;
        throw Error(
            say("is a Python pickle, and a pickle can run any code when it is opened, so Moescope never opens one; use "
                "the safetensors or GGUF version of this model, or convert it where you trust it"));
    } else if (looks_like_safetensors(start) || path.extension() == ".safetensors") {
        report.kind = FileKind::safetensors;
        inspect_safetensors(path, report);
    } else if (path.extension() == ".gguf") {
        throw Error(say(
            "has a GGUF name but does not start with the GGUF mark; the download may have failed, so get it again"));
    } else if (has_pickle_extension(path)) {
        throw Error(
            say("is no known model format; files with this ending are usually Python pickles, which Moescope never "
                "opens, so use the safetensors or GGUF version of this model"));
    } else {
        throw Error(say(
            "is no model file that Moescope knows; it opens GGUF files, safetensors and its own checkpoint folders"));
    }
}

void inspect_path(const fs::path& path, FileReport& report) {
    std::error_code error;
    if (fs::is_directory(path, error)) {
        inspect_folder(path, report);
    } else {
        inspect_by_content(path, report);
    }
}

}  // namespace

const char* file_kind_name(FileKind kind) {
    switch (kind) {
        case FileKind::gguf:
            return "GGUF";
        case FileKind::safetensors:
            return "safetensors";
        case FileKind::npy:
            return "npy";
        case FileKind::checkpoint:
            return "checkpoint";
        case FileKind::hugging_face:
            return "Hugging Face folder";
        case FileKind::pickle:
            return "pickle";
        case FileKind::unknown:
            return "unknown";
    }
    return "";
}

FileReport inspect_file(const fs::path& path) {
    FileReport report;
    report.kind = FileKind::unknown;
    report.details = nlohmann::json::object();
    try {
        inspect_path(path, report);
        report.safe = true;
    } catch (const std::bad_alloc&) {
        report.problem = say("{} needs more memory to be checked than there is", path);
    } catch (const std::exception& error) {
        // The readers of tensors name the file themselves, as they are also used alone.
        const std::string what = error.what(), name = path.string();
        const Sentence sentence = base::sentence_of(error);
        report.problem = what.starts_with(name) ? sentence : say("{} {}", name, sentence);
    }
    return report;
}

}  // namespace moescope::engine
