// What a session's journal says about its runs: read once when a node starts, and by the report.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nodes/history/session.hpp"
#include "nodes/protocol/records.hpp"
#include "sessions/session.hpp"

namespace moescope::history {

struct KnownRun {
    std::uint32_t run = 0;
    std::string kind, name, state, message;
    nlohmann::json manifest;
    std::uint64_t step = 0;      ///< of its end, when it has one
    sessions::Position started;  ///< just before its first record
    bool open() const { return state == "running" || state == "paused" || state == "planned"; }
};

/// Every record of one channel, in order; `visit` gives false to stop.
void for_each_record(const sessions::Journal& journal, protocol::Channel channel, sessions::Position from,
                     const std::function<bool(const sessions::Record&)>& visit);

/// All runs, by number.
std::map<std::uint32_t, KnownRun> read_runs(const sessions::Journal& journal);

/// Steps of one training run as they count: what a rewind took back is left out.
std::vector<protocol::StepRecord> read_steps(const sessions::Journal& journal, const KnownRun& run);
/// What a person changed while the run went on, by the step that it acted on first and in order: {"knobs": {name:
/// value}} or {"expert": {"layer", "expert", "action"}}. What a rewind took back is left out.
std::multimap<std::uint64_t, nlohmann::json> read_changes(const sessions::Journal& journal, const KnownRun& run);
/// The number of the last step of a run in the journal, 0 when there is none.
std::uint64_t read_last_step(const sessions::Journal& journal, const KnownRun& run);

/// The probe_draw records of one run, in order, each answer once (the last one counts).
std::vector<nlohmann::json> read_draws(const sessions::Journal& journal, const KnownRun& run);

/// Steps of the complete checkpoints of a run, oldest first. Takes the word of each folder: no file is read whole.
std::vector<std::uint64_t> complete_checkpoints(const sessions::Session& session, std::uint32_t run);

}  // namespace moescope::history
