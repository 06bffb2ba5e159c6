// Windows that float above the panels: forms, lists, dialogs, the palette. They stay inside the window of the system
// however small that becomes, and Escape closes the topmost of them; which one that is decides app/escape. GUI thread.
#pragma once

#include <imgui.h>
#include <map>
#include <vector>

namespace moescope::ui {

struct Context;

/// What the app knows of the floating windows. Owned by it, reached through Context::floating.
struct Floating {
    struct Window {
        ImGuiID id = 0;
        bool at_once = false;  ///< see FloatingWindow
    };
    /// How large a window is; one that had to become smaller with the system's window is as large as before with it.
    struct Size {
        ImVec2 wanted{};  ///< em, as a person dragged it; 0: as it comes
        ImVec2 set{};     ///< pixels, in the last frame
    };
    std::vector<Window> shown;  ///< in this frame, so far
    ImGuiID closing = 0;        ///< the one that Escape closes in this frame; 0: none
    std::map<ImGuiID, Size> sizes;
};

struct FloatingWindow {
    ImVec2 size{};                ///< em, until a person drags it; a height of 0 follows the content
    ImVec2 least{};               ///< em, below which a person cannot make it; a smaller screen can
    ImVec2 place = {0.5f, 0.5f};  ///< 0 to 1: of it, at the same place of the room that is there, when it appears
    bool fixed = false;           ///< always there and of that size
    bool at_once = false;         ///< a dialog: Escape closes it even while one of its fields is being edited
    ImGuiWindowFlags flags = 0;   ///< besides those of all: no docking, no collapsing, nothing saved
};

/// ImGui::Begin() for such a window; ImGui::End() is always due. `open` becomes false when its cross was clicked or
/// Escape closes it.
bool begin_floating(const Context& ctx, const char* name, bool& open, const FloatingWindow& window);
/// For windows that are placed otherwise: takes part in the order of Escape. True when it is to close now. Call between
/// Begin and End.
bool escape_closes(const Context& ctx, bool at_once = false);
/// Whether a dialog (see FloatingWindow::at_once) stands in front of the window that is being drawn: a person is asked
/// something there, and what lies behind keeps quiet. False in menus and lists, which hang above everything.
bool behind_a_dialog();
/// Menus and lists that hang open come back inside when the window of the system has become smaller. Once per frame.
void keep_popups_inside();

}  // namespace moescope::ui
