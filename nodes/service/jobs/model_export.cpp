#include "nodes/service/jobs/model_export.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string_view>
#include <utility>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/text.hpp"
#include "engine/exchange/gguf_precisions.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/library/model_library.hpp"
#include "nodes/service/workers/worker_process.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// What a folder in Hugging Face's layout consists of.
bool is_of_hugging_face(const std::string& name) {
    constexpr std::array kNames = {"config.json",
                                   "generation_config.json",
                                   "model.safetensors.index.json",
                                   "tokenizer.json",
                                   "tokenizer_config.json",
                                   "tokenizer.model",
                                   "special_tokens_map.json",
                                   "added_tokens.json",
                                   "vocab.json",
                                   "merges.txt",
                                   "chat_template.json",
                                   "chat_template.jinja",
                                   "README.md"};
    return (name.starts_with("model") && name.ends_with(".safetensors")) ||
           std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

/// The sentence with `name` in the place of whatever lies in the folder `work`, which nobody knows.
Sentence with_name(const Sentence& sentence, const fs::path& work, const fs::path& name) {
    if (sentence.is_verbatim()) {
        const std::size_t at = sentence.id().find(work.string());
        return at == std::string::npos ? sentence : Sentence::verbatim(sentence.id().substr(0, at) + name.string());
    }
    std::vector<Sentence> values = sentence.arguments();
    for (Sentence& value : values) {
        value = with_name(value, work, name);
    }
    return {sentence.id(), std::move(values)};
}

struct Work {
    const fs::path& program;
    const ModelExport& order;
    const std::atomic<bool>& stop;
    const ExportProgress& progress;
    const fs::path work;  ///< folder of what is on the way

    /// The answer of a process that ends with it.
    json ask(const json& request) const {
        try {
            WorkerProcess worker(program);
            return worker.ask(
                request, say("exporting {}", order.title),
                [&](WorkerMessageKind kind, std::span<const std::byte> body) {
                    const auto said = kind == WorkerMessageKind::progress && progress
                                          ? base::parse_object(body, body.size())
                                          : std::nullopt;
                    if (said) {
                        progress(base::count_of(*said, "progress"), base::count_of(*said, "total"));
                    }
                },
                stop, std::chrono::milliseconds(0));
        } catch (const WorkerError& error) {
            if (stop) {
                throw_export_cancelled();
            }
            throw base::Error(with_name(error.sentence(), work, order.out));
        }
    }

    /// Fills what is at `to`, in the folder `work`.
    ExportedModel fill(const fs::path& to) const {
        const json answer = ask({{"op", "export"},
                                 {"from", fs::absolute(order.model).string()},
                                 {"to", to.string()},
                                 {"format", order.format},
                                 {"precision", order.precision},
                                 {"router_too", order.router_too()},
                                 {"threads", cores()},
                                 {"whole", (work / "whole").string()},
                                 {"scratch", (work / "scratch").string()}});
        ExportedModel exported{base::text_of(answer, "type"), base::texts_of(answer, "files"),
                               sentences_in(answer, "notes")};
        if (order.is_gguf()) {
            exported.files = {order.out.filename().string()};
            exported.details["precision"] = order.precision;
            for (const char* key : {"router", "types", "fell_back"}) {
                if (const json& value = base::member(answer, key); !value.is_null()) {
                    exported.details[key] = value;
                }
            }
        }
        if (stop) {
            throw_export_cancelled();
        }
        return exported;
    }
};

template <class Names>
bool is_among(const Names& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::vector<std::string> export_precisions() {
    std::vector<std::string> names;
    for (const engine::GgufPrecision& one : engine::kGgufPrecisions) {
        names.emplace_back(one.name);
    }
    return names;
}

void check(const ModelExport& order) {
    if (!is_among(kExportFormats, order.format)) {
        throw CommandError(
            say("a model can't be written as '{}'; the forms are {}", order.format, base::joined(kExportFormats)));
    }
    if (!engine::find_gguf_precision(order.precision)) {
        throw CommandError(
            say("there is no precision '{}'; there are {}", order.precision, base::joined(export_precisions())));
    }
    if (!is_among(kExportRouters, order.router)) {
        throw CommandError(
            say("routers can't be kept as '{}'; there are {}", order.router, base::joined(kExportRouters)));
    }
}

void throw_export_cancelled() {
    throw CommandError(say("the export was cancelled; nothing was written"));
}

ExportedModel export_model(const fs::path& program, const ModelExport& order, const std::atomic<bool>& stop,
                           const ExportProgress& progress) {
    check(order);
    const sessions::Sources sources = files_of_model(order.model);
    if (order.is_gguf()) {
        sessions::OutputFile output(order.out, order.existing, sources);
        ExportedModel exported = Work{program, order, stop, progress, output.work()}.fill(output.temporary());
        output.commit();
        return exported;
    }
    sessions::OutputFolder output(order.out, order.existing, {is_of_hugging_face, is_hugging_face_folder}, sources);
    ExportedModel exported = Work{program, order, stop, progress, output.work()}.fill(output.temporary());
    output.commit();
    return exported;
}

}  // namespace moescope::node
