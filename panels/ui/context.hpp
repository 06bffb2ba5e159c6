// What a panel is given each frame. A panel reads the snapshot and sends commands; it knows no socket, file or
// database.
#pragma once

#include <cstdint>
#include <functional>
#include <imgui.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nodes/client/client.hpp"
#include "nodes/client/snapshot.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/language.hpp"
#include "panels/ui/sessions.hpp"
#include "panels/ui/shared.hpp"
#include "panels/ui/theme.hpp"

namespace moescope::ui {

/// One selection for all panels of a session; Escape clears layer, expert, token and step.
struct Selection {
    std::uint32_t training_run = 0;      ///< 0: the newest
    client::CommandId starting_run = 0;  ///< the latest train.start or train.continue; 0: none in this session
    int layer = -1, expert = -1;
    std::uint32_t routing_run = 0;    ///< whose routing is shown; 0: the newest that has any
    std::int64_t routing_token = -1;  ///< number of a token in its trace; -1: none is selected
    std::optional<double>
        hovered_step;  ///< of the plot under the mouse; drawn as a line on all step plots, cleared each frame
    std::optional<std::uint64_t> pinned_step;        ///< expert load shows this step instead of the newest
    std::uint32_t probe_run = 0;                     ///< 0: the newest
    std::optional<history::NotePlace> probe_answer;  ///< that the probe panel shall show; it takes it
    std::uint32_t experiment = 0;                    ///< that the overlay shall show; it takes it and sets 0
    std::uint32_t generation = 0;  ///< answer that the compare panel shall show; it takes it and sets 0
    int hovered_frame = -1;        ///< ImGui frame in which hovered_step was set; the app clears it when that is over
    /// Linked step axis of all training plots; follow = newest steps stay in sight.
    double step_min = 0, step_max = 100;
    bool follow = true;
    double last_beside = 0;  ///< the last step of the curves of other tools that are drawn beside the run; 0: none
};

/// Pixels that lie on the graphics card, to be drawn with ImDrawList::AddImage(). Freed with its last owner, on the GUI
/// thread.
struct Picture {
    Picture() = default;
    virtual ~Picture() = default;
    Picture(const Picture&) = delete;
    Picture& operator=(const Picture&) = delete;
    ImTextureID id = ImTextureID_Invalid;
};

/// Commands of the program (the one list behind menu, palette, shortcuts and tour), as panels may trigger them:
/// run("run.start").
using RunCommand = std::function<void(const std::string& key)>;

struct Context {
    const client::Snapshot& snapshot;
    client::NodeClient& client;
    const Language& text;
    const Theme& theme;
    Selection& selection;
    Floating& floating;
    std::string& coder;  ///< initials under which the person labels in this session, kept between starts; may be empty
    Shared& shared;
    Sessions& sessions;
    RunCommand run;
    /// Whether the command exists and would do something now.
    std::function<bool(const std::string& key)> available;
    /// The keys of a command as text ("Ctrl+R"), empty when it has none.
    std::function<std::string(const std::string& key)> shortcut;
    float em = 16;   ///< current font size in pixels: every size in panels is a multiple of it
    double now = 0;  ///< client::now_seconds()
    ImFont* bold = nullptr;
    ImFont* mono = nullptr;
    /// Opens the panel of that key and brings it to the front.
    std::function<void(const std::string& key)> show_panel;
    /// Puts a line into the status line; errors open their details on click.
    std::function<void(const std::string& sentence, bool error)> notify;
    /// Shows the file dialog without blocking; the callback comes on the GUI thread with the chosen path, or not at
    /// all. The folder is remembered under `place`: one word for files of one kind ("model").
    std::function<void(const std::string& title, const std::string& place, std::function<void(const std::string&)>)>
        choose_file;
    /// The same for a folder.
    std::function<void(const std::string& title, const std::string& place, std::function<void(const std::string&)>)>
        choose_folder;
    /// Asks where to save and writes the whole file in the background (temporary file, then rename); the status line
    /// says where it is. `name` is what the dialog proposes ("loss.csv"); its ending is the kind of file. `make` gives
    /// the bytes; it runs on the background thread and must own what it reads.
    std::function<void(const std::string& name, std::function<std::string()> make)> save_as;
    /// Asks where to save a file that the node is to write; `name` as in save_as. The path comes on the GUI thread, or
    /// not at all; a file that is there may be replaced then.
    std::function<void(const std::string& name, std::function<void(const std::string& path)> done)> choose_target;
    /// The same as save_as for a picture (PNG) of a part of the panels, as they are in this frame: menus, tooltips and
    /// floating windows above them are not in it.
    std::function<void(const std::string& name, ImVec2 min, ImVec2 max)> save_picture;
    /// Runs `work` on the background thread, and what it gives back on the GUI thread; a frame follows. `work` must own
    /// what it reads.
    std::function<void(std::function<std::function<void()>()> work)> in_background;
    /// [height][width], top row first, packed as ImU32. Drawn pixel by pixel it is exact.
    std::function<std::shared_ptr<const Picture>(int width, int height, const std::vector<ImU32>& pixels)> make_picture;
    /// Another frame comes after so many seconds at most, though nothing else happens: for who shows work that goes on
    /// elsewhere. Asked for anew in each frame.
    std::function<void(double seconds)> draw_within;
    /// Puts what `make` gives into the clipboard; `make` runs on the background thread as well.
    std::function<void(std::function<std::string()> make)> copy_text;

    bool connected() const { return snapshot.link.state == client::Link::State::connected; }
};

/// The command `id` was sent and has no answer yet; false for 0.
inline bool pending(const client::Snapshot& snapshot, client::CommandId id) {
    if (id == 0) {
        return false;
    }
    const auto& results = snapshot.results;
    const auto found = results.find(id);
    if (found != results.end()) {
        return found->second.state == client::CommandResult::State::pending;
    }
    // Newer than all: the client has not taken it up yet. Older ones that are missing were answered and dropped.
    return results.empty() || id > results.rbegin()->first;
}

/// The answer to the command `id`, once: then `id` is 0. Null while there is none, and when `id` is 0. Valid as long as
/// the snapshot.
inline const client::CommandResult* take_answer(const Context& ctx, client::CommandId& id) {
    const auto found = ctx.snapshot.results.find(id);
    if (id == 0 || found == ctx.snapshot.results.end() ||
        found->second.state == client::CommandResult::State::pending) {
        return nullptr;
    }
    id = 0;
    return &found->second;
}

}  // namespace moescope::ui
