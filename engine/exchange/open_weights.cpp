#include "engine/exchange/open_weights.hpp"

#include "engine/error.hpp"
#include "engine/exchange/gguf_import.hpp"
#include "engine/exchange/hugging_face_import.hpp"

namespace moescope::engine {
namespace {

OpenedWeights take(ImportedModel imported, const std::string& format) {
    auto model = std::make_shared<LoadedModel>();
    model->config.name = imported.type;
    model->config.model = imported.model;
    model->layout = std::move(imported.layout);
    model->memory = std::move(imported.memory);
    model->parameters = imported.parameters;
    model->tokenizer = std::move(imported.tokenizer);
    model->vocabulary = std::move(imported.vocabulary);
    model->text = std::move(imported.text);
    model->no_tokenizer = std::move(imported.no_tokenizer);
    return {std::move(model), format, imported.type, std::move(imported.notes)};
}

}  // namespace

OpenedWeights open_weights(const std::filesystem::path& path) {
    return open_weights(path, inspect_file(path));
}

OpenedWeights open_weights(const std::filesystem::path& path, const FileReport& report) {
    if (!report.safe) {
        throw Error(report.problem);
    }
    if (report.kind == FileKind::checkpoint) {
        return {load_model(path), report.format(), "moescope", {}};
    }
    if (report.kind == FileKind::hugging_face) {
        return take(import_hugging_face(path), report.format());
    }
    if (report.kind == FileKind::gguf) {
        return take(import_gguf(path), report.format());
    }
    throw Error(
        say("{} is a {} file; give a checkpoint folder, a Hugging Face folder or a GGUF file", path, report.format()));
}

}  // namespace moescope::engine
