#include "nodes/service/workers/worker_export.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/error.hpp"
#include "engine/exchange/gguf_export.hpp"
#include "engine/exchange/hugging_face_export.hpp"
#include "engine/exchange/open_weights.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"
#include "engine/runner/quantise.hpp"
#include "nodes/protocol/records.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using base::say;
using base::Sentence;
using nlohmann::json;

namespace {

struct Written {
    std::string type;
    std::vector<std::string> files;
    std::vector<Sentence> notes;
    json more = json::object();  ///< further keys of the answer
};

/// Notes of reading, then those of writing that reading has not told already.
Written written(const engine::OpenedWeights& weights, engine::ExportReport report) {
    Written out{std::move(report.type), std::move(report.files), weights.notes};
    if (const std::size_t disabled = weights.model->disabled.size(); disabled > 0) {
        out.notes.push_back(
            say("{} experts are disabled in the run of this model; other programs choose them all the same", disabled));
    }
    for (Sentence& note : report.notes) {
        const bool told = std::find(weights.notes.begin(), weights.notes.end(), note) != weights.notes.end();
        if (!told && (note != Sentence(engine::kNoTokenizer) || weights.model->no_tokenizer.empty())) {
            out.notes.push_back(std::move(note));
        }
    }
    return out;
}

Written write_gguf(const engine::OpenedWeights& weights, engine::GgufFloat type, const fs::path& to) {
    const auto& model = *weights.model;
    engine::GgufExportOptions settings;
    settings.type = type;
    settings.name = model.config.name;
    settings.vocabulary = model.vocabulary.get();
    settings.rules = model.text;
    return written(weights, engine::export_gguf(to, model.config.model, model.layout, model.parameters,
                                                model.tokenizer.get(), settings));
}

Written write_hugging_face(const engine::OpenedWeights& weights, const fs::path& to) {
    const auto& model = *weights.model;
    return written(weights, engine::export_hugging_face(to, model.config.model, model.layout, model.parameters,
                                                        model.tokenizer.get(), {}, engine::kMaxShardBytes,
                                                        model.vocabulary.get(), model.text));
}

/// "blk.0.attn_k.weight and 3 others are Q5_0 instead of Q4_K: ...", one sentence for each pair of types.
void note_fallbacks(const std::vector<engine::Quantised::Fallback>& fell_back, std::vector<Sentence>& notes) {
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> by_types;
    for (const engine::Quantised::Fallback& one : fell_back) {
        by_types[{one.wanted, one.type}].push_back(one.tensor);
    }
    for (const auto& [types, tensors] : by_types) {
        const auto& [wanted, type] = types;
        notes.push_back(
            tensors.size() == 1
                ? say("{} is {} instead of {}: the length of its rows is no multiple of its blocks", tensors.front(),
                      type, wanted)
                : say("{} and {} others are {} instead of {}: the length of their rows is no multiple of its blocks",
                      tensors.front(), tensors.size() - 1, type, wanted));
    }
}

/// `from` is a GGUF file. What `out` says already stays.
void quantise(const json& request, const engine::GgufPrecision& precision, const fs::path& from, WorkerWriter& writer,
              Written& out) {
    engine::QuantiseOrder order;
    order.from = from;
    order.to = request.at("to").get<std::string>();
    order.scratch = request.at("scratch").get<std::string>();
    order.precision = precision;
    order.router_too = request.value("router_too", false);
    order.threads = request.value("threads", 0);
    const engine::Quantised result = engine::quantise_gguf(order, [&](std::uint64_t done, std::uint64_t total) {
        writer.write(WorkerMessageKind::progress, protocol::encode_json({{"progress", done}, {"total", total}}));
    });
    if (out.type.empty()) {
        out.type = result.architecture;
    }
    if (!result.source.empty()) {
        out.notes.push_back(say("The weights were {} before; what that lost does not come back", result.source));
    }
    note_fallbacks(result.fell_back, out.notes);
    json fell_back = json::array();
    for (const engine::Quantised::Fallback& one : result.fell_back) {
        fell_back.push_back({{"tensor", one.tensor}, {"wanted", one.wanted}, {"type", one.type}});
    }
    out.more = {{"types", result.types}, {"fell_back", std::move(fell_back)}, {"router", result.router}};
}

Written export_gguf_file(const json& request, WorkerWriter& writer) {
    const fs::path from = request.at("from").get<std::string>(), to = request.at("to").get<std::string>(),
                   whole = request.at("whole").get<std::string>();
    const auto name = request.at("precision").get<std::string>();
    const engine::GgufPrecision* precision = engine::find_gguf_precision(name);
    if (precision == nullptr) {
        throw engine::Error(say("there is no precision '{}'", name));
    }
    const engine::FileReport report = engine::inspect_file(from);
    Written out;
    if (report.kind == engine::FileKind::gguf) {
        quantise(request, *precision, from, writer, out);
        return out;
    }
    if (precision->is_float() && !request.value("router_too", false)) {
        const auto type = precision->name == "f16"    ? engine::GgufFloat::f16
                          : precision->name == "bf16" ? engine::GgufFloat::bf16
                                                      : engine::GgufFloat::f32;
        out = write_gguf(engine::open_weights(from, report), type, to);
        out.more = {{"router", "F32"}};
        return out;
    }
    out = write_gguf(engine::open_weights(from, report), engine::GgufFloat::f32, whole);  // not kept open any longer
    quantise(request, *precision, whole, writer, out);
    return out;
}

}  // namespace

json export_model(const json& request, WorkerWriter& writer) {
    const bool gguf = request.at("format").get<std::string>() == "gguf";
    const Written out = gguf ? export_gguf_file(request, writer)
                             : write_hugging_face(engine::open_weights(request.at("from").get<std::string>()),
                                                  request.at("to").get<std::string>());
    json notes = json::array();
    for (const Sentence& note : out.notes) {
        notes.push_back(base::sentence_to_json(note));
    }
    json answer = out.more;
    answer.update({{"op", "ended"}, {"type", out.type}, {"files", out.files}, {"notes", std::move(notes)}});
    return answer;
}

}  // namespace moescope::node
