#include "engine/error.hpp"
#include "engine/files/gguf_limits.hpp"
#include "engine/files/inspect.hpp"
#include "engine/runner/language_model.hpp"
#include "engine/runner/own_model.hpp"
#ifdef MOESCOPE_HAVE_LLAMA
#include "engine/runner/llama_model.hpp"
#endif

namespace moescope::engine {

std::unique_ptr<LanguageModel> open_model(const std::filesystem::path& path, int threads, const ModelDevice& device) {
    const FileReport report = inspect_file(path);
    if (!report.safe) {
        throw Error(report.problem);
    }
    if (report.kind == FileKind::checkpoint || report.kind == FileKind::hugging_face) {
        return open_own_model(path, report, threads, device);
    }
    if (report.kind == FileKind::safetensors && path.filename() == "model.safetensors") {
        if (const FileReport folder = inspect_file(path.parent_path()); folder.safe) {
            return open_own_model(path.parent_path(), folder, threads, device);
        }
    }
    if (report.kind != FileKind::gguf) {
        throw Error(
            say("{} is a {} file and cannot be run by itself; give a GGUF file, a checkpoint folder or a Hugging Face "
                "folder",
                path, report.format()));
    }
#ifdef MOESCOPE_HAVE_LLAMA
    const GgufModel parts = read_gguf_model(path);
    const std::filesystem::path& first = parts.parts.front();  // libllama finds the others by its name
    try {
        check_limits_of_libllama(first, parts.header);
    } catch (const Error& problem) {
        throw Error(say("{} {}", first, problem));
    }
    return open_llama_model(first, report, threads, device);
#else
    throw Error(say("{} needs libllama, which this build was made without; start ./run, which builds it", path));
#endif
}

}  // namespace moescope::engine
