#include <memory>
#include <utility>

#include "routing/imports/import.hpp"
#include "routing/trace_reader.hpp"

namespace moescope::routing {

Import import_trace(const std::filesystem::path& path, const ModelShape& shape) {
    const std::unique_ptr<TraceStream> whole = open_trace(path);
    Import made{whole->spec(), [path](const ChunkSink& sink) {
                    const std::unique_ptr<TraceStream> trace = open_trace(path);
                    while (std::shared_ptr<const Chunk> chunk = trace->next()) {
                        sink(std::move(chunk));
                    }
                }};
    made.interventions = whole->interventions();
    const RouterSpec& spec = made.spec;
    const auto differs = [](int wanted, int is) { return wanted > 0 && wanted != is; };
    if (differs(shape.layers, spec.layers) || differs(shape.experts, spec.experts) ||
        differs(shape.per_token, spec.experts_per_token)) {
        throw Error(
            say("{} is of a router with {} layers of {} experts, {} per token, not of the one that was asked for", path,
                spec.layers, spec.experts, spec.experts_per_token));
    }
    while (whole->next() != nullptr) {
    }
    for (Sentence& problem : whole->problems()) {
        made.spec.doubts.push_back(std::move(problem));
    }
    return made;
}

}  // namespace moescope::routing
