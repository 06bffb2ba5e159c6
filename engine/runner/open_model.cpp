#include "engine/error.hpp"
#include "engine/files/inspect.hpp"
#include "engine/runner/language_model.hpp"
#include "engine/runner/own_model.hpp"
#ifdef MOESCOPE_HAVE_LLAMA
#include "engine/runner/llama_model.hpp"
#endif

namespace moescope::engine {

std::unique_ptr<LanguageModel> open_model(const std::filesystem::path& path, int threads) {
    const FileReport report = inspect_file(path);
    if (!report.safe) {
        throw Error(report.problem);
    }
    if (report.kind == FileKind::checkpoint || report.kind == FileKind::hugging_face) {
        return open_own_model(path, report, threads);
    }
    if (report.kind == FileKind::safetensors && path.filename() == "model.safetensors") {
        if (const FileReport folder = inspect_file(path.parent_path()); folder.safe) {
            return open_own_model(path.parent_path(), folder, threads);
        }
    }
    if (report.kind != FileKind::gguf) {
        throw Error(
            say("{} is a {} file and cannot be run by itself; give a GGUF file, a checkpoint folder or a Hugging Face "
                "folder",
                path, report.format()));
    }
    if (report.details.contains("split")) {
        throw Error(
            say("{} is one part of a model in several files; join them first with llama-gguf-split --merge", path));
    }
#ifdef MOESCOPE_HAVE_LLAMA
    return open_llama_model(path, report, threads);
#else
    throw Error(say("{} needs libllama, which this build was made without; start ./run, which builds it", path));
#endif
}

}  // namespace moescope::engine
