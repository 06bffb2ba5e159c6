#include "nodes/service/workers/worker_export.hpp"

#include <string>

#include "engine/error.hpp"
#include "engine/runner/quantise.hpp"
#include "nodes/protocol/records.hpp"

namespace moescope::node {
using nlohmann::json;

json quantise_file(const json& request, WorkerWriter& writer) {
    const auto name = request.at("precision").get<std::string>();
    const engine::GgufPrecision* precision = engine::find_gguf_precision(name);
    if (precision == nullptr) {
        throw engine::Error(base::say("there is no precision '{}'", name));
    }
    engine::QuantiseOrder order;
    order.from = request.at("from").get<std::string>();
    order.to = request.at("to").get<std::string>();
    order.scratch = request.at("scratch").get<std::string>();
    order.precision = *precision;
    order.router_too = request.value("router_too", false);
    order.threads = request.value("threads", 0);
    const engine::Quantised result = engine::quantise_gguf(order, [&](std::uint64_t done, std::uint64_t total) {
        writer.write(WorkerMessageKind::progress, protocol::encode_json({{"progress", done}, {"total", total}}));
    });
    json fell_back = json::array();
    for (const engine::Quantised::Fallback& one : result.fell_back) {
        fell_back.push_back({{"tensor", one.tensor}, {"wanted", one.wanted}, {"type", one.type}});
    }
    return {{"op", "ended"},           {"architecture", result.architecture},
            {"types", result.types},   {"fell_back", std::move(fell_back)},
            {"router", result.router}, {"source", result.source}};
}

}  // namespace moescope::node
