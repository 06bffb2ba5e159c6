// What the client knows of a node: the history that its records tell, and its gauges. Pure: no socket, no clock. Owned
// by the client's I/O thread; only the snapshots it gives out are shared.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nodes/client/snapshot.hpp"
#include "nodes/history/session.hpp"
#include "nodes/protocol/frame.hpp"

namespace moescope::client {

class NodeView {
 public:
    /// A record from the journal, or many packed ones (Frame::type without 0x8000). A body that can't be read becomes a
    /// line of the log. How many records.
    std::size_t apply(const protocol::Frame& record);
    /// Records that will not come.
    void apply_gap(const nlohmann::json& gap, std::uint64_t time_ns) { history_.add_gap(gap, time_ns); }
    /// Gauges, any subset of the keys.
    void apply_state(const nlohmann::json& state);
    void set_catalogue(nlohmann::json catalogue) {
        head_.catalogue = std::make_shared<const nlohmann::json>(std::move(catalogue));
    }
    void add_log(history::LogLine line) { history_.add_log(std::move(line)); }

    /// The node greeted us in this epoch: what older epochs left running will never go on by itself.
    void node_came(std::uint32_t epoch);
    /// The node is gone: every run that was not at its end is interrupted.
    void node_went(const base::Sentence& message);

    /// A new snapshot without link, results and version; runs that did not change are shared with the one before.
    std::shared_ptr<Snapshot> snapshot();

 private:
    void state_of_run(const nlohmann::json& entry);
    template <class T>
    bool is_orphan(const history::Session::Run<T>& run) const;
    template <class Map, class Published>
    void publish(Map& runs, Published& published);

    history::Session history_;
    Snapshot head_;              ///< everything but the runs and the log, which are above
    bool sets_changed_ = false;  ///< those of changes to routers, since the last snapshot
    bool notes_changed_ = false;
    std::map<std::uint32_t, nlohmann::json> run_gauges_;  ///< for runs whose first record has not come yet
    /// Runs whose end a gauge told, and where their state was from before.
    std::map<std::uint32_t, protocol::StreamPosition> ended_by_gauge_;
    std::uint32_t epoch_ = 0;
    bool gone_ = false;
    base::Sentence gone_message_;
};

}  // namespace moescope::client
