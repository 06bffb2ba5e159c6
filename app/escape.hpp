// The one place that decides what the Escape key does: it closes what is on top and nothing behind it. In this order: a
// menu, list or context menu that hangs open; the edit of a field; the topmost floating window (form, list, dialog,
// palette, welcome page); and when nothing is open, the selection. The edit of a text ends with the text as it was
// typed. GUI thread only.
#pragma once

#include <imgui.h>

#include "panels/ui/floating.hpp"

namespace moescope::app {

class Escape {
 public:
    /// Call before ImGui::NewFrame(), which closes menus and ends edits by itself: what is open now.
    void before_frame();
    /// Call after ImGui::NewFrame(). `floating.shown` holds the windows of the frame before; sets `floating.closing`.
    /// Gives true when Escape was pressed and nothing was open: the selection goes.
    bool after_frame(ui::Floating& floating) const;

 private:
    int popups_ = 0;
    ImGuiID edited_in_ = 0;  ///< root window of the item that is being edited or dragged; 0: none
    bool menu_bar_ = false, dragging_ = false;
};

}  // namespace moescope::app
