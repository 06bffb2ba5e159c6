// From the files of a session to history::Session: the thin adapter between the journal and the one reader.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nodes/history/session.hpp"
#include "sessions/session.hpp"

namespace moescope::history {

/// Every record of one channel after `from`, in order; `visit` gives false to stop.
void for_each_record(const sessions::Journal& journal, protocol::Channel channel, sessions::Position from,
                     const std::function<bool(const sessions::Record&)>& visit);

struct ReadOptions {
    /// In this order. Runs and their states stand in the events, which are few; who needs no more reads no more. Traces
    /// of routing (bulk) are as large as everything else together: read_routing().
    std::vector<protocol::Channel> channels{protocol::Channel::events, protocol::Channel::metrics,
                                            protocol::Channel::text};
    /// With Keep::run, the channels after the events are read from the run's beginning on.
    Keep keep{};
    /// Called after each record with the run that it belongs to (0: none). May throw to stop.
    std::function<void(const sessions::Record&, std::uint32_t run)> seen{};
    /// Called every few hundred records. May throw to stop.
    std::function<void()> check{};
};

/// What the journal says. Throws what `seen` and `check` throw.
Session read_session(const sessions::Journal& journal, const ReadOptions& options = {});
/// The runs and their states only.
Session read_runs(const sessions::Journal& journal);
/// One run with everything that it did but its trace, labels in the session's database included (these are durable
/// before the journal's are); of a training run the counts of every step.
Session read_run(sessions::Session& session, std::uint32_t run);
/// One run with its trace, however long that is; nothing else of what it did.
Session read_routing(const sessions::Journal& journal, std::uint32_t run);
/// The labels of the database in place of those of the journal: it is durable first, and rebuilt from the journal when
/// it is lost.
void add_stored_labels(Session& history, const sessions::Session& session);

/// The codings of other coders that the journal has of the probe runs in `history`, which need not have been read from
/// it. Cheap: of all channels only the events are read.
void add_stored_codings(Session& history, const sessions::Journal& journal);

/// What a run is now that its records leave in that state: what goes on in them was interrupted when no program writes
/// to the session any more.
RunState present_state(const sessions::Session& session, RunState recorded);

/// Steps of the complete checkpoints of a run, oldest first. Takes the word of each folder: no file is read whole.
std::vector<std::uint64_t> complete_checkpoints(const sessions::Session& session, std::uint32_t run);

}  // namespace moescope::history
