// What of a model's routers a job records and changes: how it is asked for, kept and told, the same for answers, probes
// and texts that are read.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/scratch_folder.hpp"
#include "nodes/service/jobs/record_sink.hpp"
#include "nodes/service/library/parameters.hpp"
#include "nodes/service/workers/worker_wire.hpp"
#include "routing/decision.hpp"
#include "routing/interventions.hpp"
#include "sessions/journal.hpp"

namespace moescope::node {

struct RoutingOrder {
    std::optional<routing::Detail> detail;                   ///< that is recorded; nothing: not recorded
    nlohmann::json interventions = nlohmann::json::array();  ///< items, as routing::items_to_json has them
    std::string set;                                         ///< what people call them; empty without any

    bool changes() const { return !interventions.empty(); }
    bool operator==(const RoutingOrder&) const = default;
};

/// Throws CommandError where a layer gets two limits, of which one would be passed over (biases add up instead).
void refuse_two_limits(const routing::Interventions& changes);

/// Items of interventions from outside, in the one way of writing them. Throws CommandError or base::Error: unknown
/// kinds and keys, values out of range, two limits of one layer, more than kMostChanges (limits.hpp).
nlohmann::json checked_interventions(const nlohmann::json& items);
/// "interventions" and "set" of a command. Throws as above.
RoutingOrder parse_changes(const Parameters& parameters);
/// A detail by name, under that key. Throws CommandError.
routing::Detail parse_detail(const Parameters& parameters, const char* key, routing::Detail otherwise);

/// "routing", "interventions" and "set" of a run's manifest, as far as there is something to say.
void put_routing(nlohmann::json& manifest, const RoutingOrder& order);

/// The run that "run:7", as the source of a replay, stands for; 0: it is anything else, a path.
std::uint32_t run_named(std::string_view source);

/// The trace that a replay among the changes takes its choices from, as a file for the model's process: "run:7" is that
/// of a run of the session, which is written into a file that goes with this; anything else is the path of a trace.
class ReplayFile {
 public:
    ReplayFile() = default;  ///< none
    /// Without a replay there is no file. Throws base::Error: no such run, no trace, no room on the disk.
    ReplayFile(const RoutingOrder& order, const sessions::Journal& journal);
    /// Empty: none.
    const std::filesystem::path& path() const { return path_; }

 private:
    std::optional<base::ScratchFolder> scratch_;
    std::filesystem::path path_;
};

/// The model that is named, without the set that the order has its changes from.
std::string model_alone(const std::string& name, const RoutingOrder& order);

/// What the order adds to a request to a model's process (workers/worker_routing.hpp), the detail left out.
void put_changes(nlohmann::json& request, const RoutingOrder& order, const ReplayFile& replay);

/// Writes what a model tells of its routers as records of the runs, waiting for room. `order_of` gives the order of a
/// run that the model's process speaks of, null for one that is none of ours. Other parts are left alone.
void write_routing(RecordSink& sink, WorkerMessageKind kind, std::span<const std::byte> body,
                   const std::function<const RoutingOrder*(std::uint32_t run)>& order_of,
                   const std::atomic<bool>& stop);
/// The record that a trace begins with.
void write_routing_started(RecordSink& sink, std::uint32_t run, const nlohmann::json& router,
                           const RoutingOrder& order);

}  // namespace moescope::node
