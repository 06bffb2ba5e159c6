// A session that is open in the window, a tab: its node, what is known of it in this frame, and all that the window and
// the panels keep for it. Nothing of one session is kept anywhere else, so that nothing of it can be shown under the
// name of another one, and all of it goes when it is closed. GUI thread only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <imgui.h>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/notices.hpp"
#include "app/recovery.hpp"
#include "nodes/client/client.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/sessions.hpp"

struct ImPlotContext;

namespace moescope::app {

/// What ImPlot keeps of plots between frames: ranges of axes, hidden lines.
class PlotMemory {
 public:
    PlotMemory();
    ~PlotMemory();  ///< must not be the one in use
    PlotMemory(const PlotMemory&) = delete;
    PlotMemory& operator=(const PlotMemory&) = delete;
    /// From now on plots are of this one; it takes the style of the one that was in use.
    void use() const;

 private:
    ImPlotContext* context_;
};

/// How far the panels and what lies in them are scrolled: Dear ImGui knows windows by name, and all sessions draw
/// theirs under the same names.
class ScrollMemory {
 public:
    /// Notes where everything stands. Between two frames.
    void keep();
    /// From the next frame on everything stands where it was kept, or at its start. Between two frames.
    void use() { due_ = 2; }
    /// Before each frame.
    void before_frame();

 private:
    std::map<ImGuiID, ImVec2> places_;  ///< of those that are scrolled; FLT_MAX: at the end
    int due_ = 0;  ///< frames: in the first one Dear ImGui still limits places by the other session's contents
};

/// A part of a frame that is to be saved as a picture.
struct PictureRequest {
    ImVec2 min, max;
    std::string name;
};

/// All that belongs to one reading of one journal: made anew when the node turns out to have another one, so that none
/// of it needs to be taken back.
struct KeptOfSession {
    std::uint64_t session = 0;                       ///< Snapshot::session
    std::vector<std::unique_ptr<ui::Panel>> panels;  ///< one of each, in the order of panels::all_panels()
    PlotMemory plots;
    ScrollMemory scrolled;
    ui::Selection selection;
    ui::Shared shared;
    Recovery recovery;
    Notices notices;
    double status_until = 0;  ///< client::now_seconds() at which the line in the status line goes; 0: it stays
    std::map<client::CommandId, client::CommandResult::State> seen_results;
    std::vector<base::Sentence> told_problems;     ///< of the session, as they were last
    std::vector<std::string> when_connected;       ///< commands that wait until they are available
    std::vector<PictureRequest> pictures;          ///< to be cut out of this frame when it is finished
    std::map<std::uint32_t, std::string> at_work;  ///< runs that were among the node's tasks, and their titles
    client::Link::State seen_link = client::Link::State::starting;
    std::uint64_t drawn_version = 0;
};

struct OpenSession {
    std::uint64_t id = 0;          ///< see ui::OpenedSession
    std::filesystem::path folder;  ///< empty: on another machine
    std::string node;              ///< its node's address, without the secret of an invitation; empty: one of our own
    std::unique_ptr<client::NodeClient> client;
    std::shared_ptr<const client::Snapshot> snapshot;  ///< never null
    std::shared_ptr<KeptOfSession> kept;               ///< never null once the session is open
    std::string coder;       ///< initials of who labels here; empty: nobody has entered any yet
    std::string kept_coder;  ///< as the settings are saved, or soon will be

    bool own() const { return node.empty(); }  ///< what works in it ends with it
    std::string place() const { return own() ? folder.string() : node; }
    /// Short: the folder's, or of a node elsewhere that of its session; its address until that is known.
    std::string name() const;
};
using OpenSessions = std::vector<std::shared_ptr<OpenSession>>;

/// What panels are told of them; names that several have get their folder's or machine's before them.
std::vector<ui::OpenedSession> opened_sessions(const OpenSessions& sessions, const OpenSession* front);

/// A run that the node was seen at work on, and that has ended.
struct EndedRun {
    std::string title;  ///< as the node calls it
    history::RunState state = history::RunState::done;
    base::Sentence message;  ///< why it failed or was interrupted
};
/// Those that ended since the last call. What a journal tells of earlier days is none: only the node's tasks count. A
/// run that is gone from them is told once its record says how it ended.
std::vector<EndedRun> take_ended(KeptOfSession& kept, const client::Snapshot& snapshot);

}  // namespace moescope::app
