#include "nodes/service/jobs/routing_order.hpp"

#include <charconv>
#include <set>
#include <utility>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/service/jobs/limits.hpp"
#include "nodes/service/library/command_error.hpp"
#include "routing/router_spec.hpp"
#include "routing/trace_file.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;
using protocol::RecordType;

std::uint32_t run_named(std::string_view source) {
    constexpr std::string_view kFront = "run:";
    if (!source.starts_with(kFront)) {
        return 0;
    }
    source.remove_prefix(kFront.size());
    std::uint32_t run = 0;
    const auto [end, error] = std::from_chars(source.data(), source.data() + source.size(), run);
    return error == std::errc() && end == source.data() + source.size() ? run : 0;
}

void refuse_two_limits(const routing::Interventions& changes) {
    std::set<int> layers;
    for (const routing::ChosenLimit& limit : changes.limits) {
        if (!layers.insert(limit.layer).second) {
            throw CommandError(limit.layer == routing::kEvery
                                   ? say("two limits are given for every layer; give one")
                                   : say("two limits are given for layer {}; give one", limit.layer));
        }
    }
    if (layers.size() > 1 && layers.contains(routing::kEvery)) {
        throw CommandError(
            say("a limit for every layer is one for layer {}, too, which has its own; give each layer one",
                *layers.rbegin()));
    }
}

json checked_interventions(const json& items) {
    if (items.is_array() && items.size() > kMostChanges) {
        throw CommandError(
            say("{} changes are more than the {} that are made at once; one without 'expert' is for all of a layer",
                items.size(), kMostChanges));
    }
    const routing::Interventions changes = routing::interventions_from_json(items);
    refuse_two_limits(changes);
    return routing::items_to_json(changes);
}

RoutingOrder parse_changes(const Parameters& parameters) {
    RoutingOrder order;
    if (parameters.has("interventions")) {
        order.interventions = checked_interventions(parameters.list("interventions"));
    }
    const std::string set = base::shown_name(parameters.text("set", ""));
    order.set = order.changes() ? set : std::string();
    return order;
}

routing::Detail parse_detail(const Parameters& parameters, const char* key, routing::Detail otherwise) {
    const std::string name = parameters.text(key, routing::detail_name(otherwise));
    const auto detail = routing::detail_named(name);
    if (!detail) {
        throw CommandError(say("there is no detail '{}'; there are ids, weights and scores", name));
    }
    return *detail;
}

void put_routing(json& manifest, const RoutingOrder& order) {
    if (order.detail) {
        manifest["routing"] = routing::detail_name(*order.detail);
    }
    if (order.changes()) {
        manifest["interventions"] = order.interventions;
        manifest["set"] = order.set;
    }
}

ReplayFile::ReplayFile(const RoutingOrder& order, const sessions::Journal& journal) {
    const std::string source = routing::interventions_from_json(order.interventions).replay.source;
    const std::uint32_t run = run_named(source);
    if (source.empty() || run == 0) {
        path_ = source.empty() ? fs::path() : fs::absolute(source);
        return;
    }
    const history::Session history = history::read_routing(journal, run);
    const auto found = history.routing().find(run);
    if (found == history.routing().end() || found->second.value.tokens == 0) {
        throw base::Error(say("run {} has no routing that could be taken over", run));
    }
    const routing::PackedTrace& trace = *found->second.value.trace;
    scratch_.emplace();
    path_ = scratch_->path() / "replay";
    routing::TraceWriter writer(path_, trace.spec());
    for (std::size_t number = 0; number < trace.chunks(); ++number) {
        const auto chunk = trace.chunk(number, routing::kAllColumns);
        if (!chunk) {
            throw base::Error(
                say("the routing of run {} is damaged, and to replay what is left of it would be another "
                    "experiment",
                    run));
        }
        writer.append(*chunk);
    }
}

std::string model_alone(const std::string& name, const RoutingOrder& order) {
    const auto with_set = history::model_with_set(name);
    return with_set && with_set->set == order.set ? with_set->model : name;
}

void put_changes(json& request, const RoutingOrder& order, const ReplayFile& replay) {
    if (order.changes()) {
        request["interventions"] = order.interventions;
    }
    if (!replay.path().empty()) {
        request["replay"] = replay.path().string();
    }
}

void write_routing_started(RecordSink& sink, std::uint32_t run, const json& router, const RoutingOrder& order) {
    sink.write_json(RecordType::routing_started,
                    {{"run", run},
                     {"router", router},
                     {"interventions", order.interventions},
                     {"set", order.set},
                     {"detail", routing::detail_name(order.detail.value_or(routing::Detail::weights))}});
}

void write_routing(RecordSink& sink, WorkerMessageKind kind, std::span<const std::byte> body,
                   const std::function<const RoutingOrder*(std::uint32_t run)>& order_of,
                   const std::atomic<bool>& stop) {
    if (kind == WorkerMessageKind::routing) {
        const auto started = protocol::decode_json(body);
        const std::uint32_t run = started ? base::run_of(*started) : 0;
        if (const RoutingOrder* order = order_of(run)) {
            write_routing_started(sink, run, base::member(*started, "router"), *order);
        }
    } else if (kind == WorkerMessageKind::chunk || kind == WorkerMessageKind::scores) {
        const auto piece = protocol::decode_routing(body);
        if (piece && order_of(piece->run) != nullptr) {
            sink.write_waiting(
                kind == WorkerMessageKind::chunk ? RecordType::routing_chunk : RecordType::routing_scores,
                {body.begin(), body.end()}, stop);
        }
    }
}

}  // namespace moescope::node
