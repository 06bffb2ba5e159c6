// What a person can read on the screen: every letter of the frame that was drawn last, taken from the triangles that
// went to the graphics card. No panel can show a text past it, however it draws.
#pragma once

#include <imgui.h>
#include <string>
#include <vector>

namespace moescope::gui_test {

/// Letters that follow each other on one line.
struct ScreenLine {
    std::string window;  ///< id of the window that it stands in: "panel.compare"
    std::string part;    ///< name of the child window, down from `window`; empty: in the window itself
    std::string text;    ///< UTF-8; a gap between letters is a space
    ImVec2 min, max;     ///< pixels
    bool cut = false;    ///< a letter at its left or right end is not whole: the window, or a column of it, ends there
    bool cut_in_frame = false;  ///< the same, but at the edge of its own frame: a field, a list, a button
    std::string owner;          ///< name of the ImGuiWindow that drew it
    std::string tallest;        ///< the letter that is highest, alone
    ImVec2 middle() const { return {(min.x + max.x) / 2, (min.y + max.y) / 2}; }
};

/// In the order in which they were drawn. Between two frames, on the GUI thread. Letters outside of the clip rectangle
/// are left out, as they are on the screen.
std::vector<ScreenLine> screen_lines();

/// Without white space: where lines are broken says nothing about what is said.
std::string squeezed(const std::string& text);

}  // namespace moescope::gui_test
