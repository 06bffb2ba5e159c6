// What the records of a session say of routers: the traces of runs that were watched, and the named sets of changes.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "nodes/history/runs.hpp"
#include "routing/packed_trace.hpp"

namespace moescope::history {

/// The routing of one run: of an answer, of a text that was read, of another program's recording.
struct RunRouting {
    std::uint32_t run = 0;
    routing::Detail detail = routing::Detail::weights;
    nlohmann::json interventions;  ///< as routing::interventions_from_json takes them; an empty list: none
    std::string set;               ///< the name of the set that they come from; empty: none
    /// Grows while the run goes on; `tokens` are those that were there when this snapshot was made.
    std::shared_ptr<const routing::PackedTrace> trace;
    std::uint64_t tokens = 0;
    /// Pieces that are damaged, did not come, or were given up because all of the session's took too much memory
    /// (Keep::routing_bytes): there are tokens that the trace does not have.
    std::uint64_t lost = 0;
};

/// A text that was read, or what was measured on texts. What it found stands in `result`, null until it is there; its
/// routing, where it has any, in Snapshot::routing under its number.
struct RouteRun : RunHeader {
    RouteRun() { kind = RunKind::route; }
    enum class What : std::uint8_t {
        read,    ///< a text or a corpus was read with the routers watched
        effect,  ///< read twice and more: untouched, changed, and with changes at random of equal size
        sweep,   ///< every expert of a layer knocked out alone
        import,  ///< another program's recording
        other,   ///< of a later version
    };
    What what = What::read;
    std::string model;
    std::string group;      ///< runs that were started together: an answer, its changed twin and their effect
    nlohmann::json result;  ///< docs/protocol.md, record `routing_result`
};

}  // namespace moescope::history
