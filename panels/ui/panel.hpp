// What a panel is, and what it tells the window about itself: its key, its commands with their keys and menu places,
// and where it stands in the layouts. A panel's own file makes its description; panels/panels.hpp lists them.
#pragma once

#include <cstdint>
#include <imgui.h>
#include <memory>
#include <string>
#include <vector>

#include "panels/ui/context.hpp"

namespace moescope::ui {

/// The content of one window. Owned by the app; GUI thread only. A panel lives as long as one session is open
/// (Snapshot::session): each session has its own ones, so that whatever a panel keeps is of the session that it draws.
/// Only those of the session in front are drawn and told of commands.
class Panel {
 public:
    virtual ~Panel() = default;
    /// Takes what is the person's and not the session's (settings, chosen views) from the panel of the same key that
    /// was in front before, which goes on living: nothing is moved out of it. Called once, before anything else. No
    /// run, number, text or command of a session may come over.
    virtual void take_over(Panel& before) { (void)before; }
    /// Draws the content of the panel's window (Begin/End belong to the app).
    virtual void draw(Context& context) = 0;
    /// Draws what floats above all panels (a form), every frame, also while the panel is closed or behind another tab:
    /// whoever opens a form stays where they are.
    virtual void draw_above(Context& context) { (void)context; }
    /// Of a strip (PanelDescription::strip): how high its content is in this frame, in pixels; at 0 it is not there.
    virtual float strip_height(const Context& context) const {
        (void)context;
        return 0;
    }
    /// Named actions that commands, the tour and tests call: e.g. load.difference. An action that sets something
    /// carries the value behind '=': probes.max_tokens=48. False when unknown.
    virtual bool act(const std::string& action, Context& context) {
        (void)action;
        (void)context;
        return false;
    }
};

/// What an action sets: "48" of "probes.max_tokens=48" for the name "probes.max_tokens"; null when the action has
/// another name or no value.
const char* action_value(const std::string& action, const char* name);

/// Where a command stands in the menu bar.
struct MenuPlace {
    const char* title = "";  ///< language key: "menu.run"
    int group = 0;           ///< groups of a menu rise from top to bottom, a line between them
    int order = 0;           ///< within the group; commands of the same order stay as they were listed
};

/// A command that its panel carries out: act(key). Its text is the language key "command.<key>", and where it has one
/// "command.<key>.unavailable" says what it waits for.
struct PanelCommand {
    std::string key;
    MenuPlace menu;
    ImGuiKeyChord shortcut = 0;                           ///< 0: none
    bool (*available)(const Context& context) = nullptr;  ///< null: always
    bool opens = false;                                   ///< its panel is opened and brought to the front first
    bool while_open = false;                              ///< available only while its panel is open
};

/// The parts of the window that layouts dock panels in; as tabs where several stand in one.
enum class Place : std::uint8_t {
    left_upper,
    left_lower,
    upper,
    lower,
    whole,  ///< of a layout that gives all room to one panel
};

/// Where a panel stands in a layout as it comes, before a person changes it.
struct Stand {
    enum class Show : std::uint8_t {
        closed,  ///< comes to its place when it is opened
        open,
        front,  ///< the tab that is seen
    };
    const char* layout = "";  ///< "training", see app/layouts.hpp
    Place place = Place::whole;
    int order = 0;  ///< among the tabs of its place, from left to right
    Show show = Show::closed;
};

struct PanelDescription {
    /// Stable: window id "###panel.<key>", language keys "panel.<key>" (title) and "command.view.panel.<key>".
    const char* key = "";
    std::unique_ptr<Panel> (*make)() = nullptr;
    /// In a layout that is not named the panel is closed, and opens as the last tab of the layout's main place.
    std::vector<Stand> stands{};
    std::vector<PanelCommand> commands{};
    /// Not docked: over the whole width below all panels, above the status line, as high as it says. Its stands only
    /// say in which layouts it is open.
    bool strip = false;
};

/// The usual `make`.
template <class P>
std::unique_ptr<Panel> make_panel() {
    return std::make_unique<P>();
}

}  // namespace moescope::ui
