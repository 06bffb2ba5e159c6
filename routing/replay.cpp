#include "routing/replay.hpp"

#include "routing/trace_reader.hpp"

namespace moescope::routing {
namespace {

constexpr std::size_t kMostDecisions = std::size_t{1} << 21;  // of a replay: 4096 tokens in 512 layers

}  // namespace

ReplayedRouter replayed_router(const RouterSpec& spec) {
    return {spec.experts, spec.experts_per_token, spec.routed_layers, spec.source == Source::imported};
}

Replay read_replay(const std::filesystem::path& path) {
    const auto trace = open_trace(path);
    const RouterSpec& spec = trace->spec();
    const std::vector<int>& layers = spec.routed_layers;
    TokenOrder order;
    Replay replay;
    replay.source = path.filename().string();
    replay.router = replayed_router(spec);
    while (const auto chunk = trace->next()) {
        for (std::size_t at = 0; at < chunk->tokens; ++at) {
            try {
                order.add(chunk->document[at], chunk->position[at]);
            } catch (const Error& error) {
                throw Error(say("{} {}", path, error.sentence()));
            }
            if (chunk->document[at] != 0) {
                continue;
            }
            for (std::size_t layer = 0; layer < layers.size(); ++layer) {
                const auto ids = chunk->ids_of(layer, at);
                if (!ids.empty()) {
                    replay.ids[{chunk->position[at], layers[layer]}].assign(ids.begin(), ids.end());
                }
            }
            if (replay.ids.size() > kMostDecisions) {
                throw Error(say("{} has more than {} decisions; replay a shorter text", path, kMostDecisions));
            }
        }
    }
    if (const std::vector<Sentence> problems = trace->problems(); !problems.empty()) {
        throw Error(say("the trace is damaged, and to replay what is left of it would be another experiment: {}",
                        problems.front()));
    }
    if (replay.ids.empty()) {
        throw Error(say("{} has no decisions to replay", path));
    }
    return replay;
}

}  // namespace moescope::routing
