// The sessions that are open in the window, as panels see them: tabs, of which one is in front. A panel is of one
// session (see panel.hpp); what it learns here of the others is for their names, for runs that are drawn beside its
// own, and for the way to them. Owned by the app, reached through Context::sessions. GUI thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nodes/client/snapshot.hpp"

namespace moescope::ui {

struct Context;
class Panel;

struct OpenedSession {
    std::uint64_t id = 0;  ///< of the window: never 0, and never that of another one
    std::string name;      ///< short, for a tab: the last part of its folder
    std::string machine;   ///< where its node is; empty: here
    std::string place;     ///< the folder, or the address of the node
    bool front = false;
    std::shared_ptr<const client::Snapshot> snapshot;  ///< never null; of this frame
};

struct Sessions {
    std::vector<OpenedSession> open;  ///< in the order of the tabs, one of them in front
    /// Runs of training that a person wants beside those of the other sessions: Snapshot::session, run.
    std::set<std::pair<std::uint64_t, std::uint32_t>> beside;

    /// Sends a command to the node of an open session, also of one that is not in front; its result comes in that
    /// session's snapshot. 0 when no session with this id is open.
    std::function<client::CommandId(std::uint64_t id, std::string name, nlohmann::json parameters)> send;

    // What these do is done before the next frame begins.
    std::function<void(std::uint64_t id)> show;
    /// Asks first when work would end with it.
    std::function<void(std::uint64_t id)> close;
    /// Shows the session, and has its panel of that key take over what a person has put together for it here.
    std::function<void(std::uint64_t id, std::string panel, std::function<void(Panel& there, Context& context)> take)>
        hand_over;
};

}  // namespace moescope::ui
