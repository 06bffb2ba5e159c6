// The open sessions as tabs: in a narrow panel in several rows, no name cut that has room. GUI thread, inside a window.
#pragma once

#include <vector>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// In pixels: of the panel, of a tab at least and at most, between two, and of the button behind them.
struct TabRoom {
    float room = 0, least = 0, most = 0, gap = 0, last = 0;
};
/// How wide the tabs are that would be `natural` wide: in more than two rows they would hide the runs, so all get the
/// same smaller width then. Empty where that would be less than `least`.
std::vector<float> tab_widths(const std::vector<float>& natural, const TabRoom& where);

/// A tab of each session ("session3/###tab", "session3/###close"), or where these have no room a list of them
/// ("###sessions.choice"), and a button for one more ("###sessions.new").
void draw_session_tabs(ui::Context& ctx);
/// What a tab says of its session when the mouse rests on it: where it is, its connection, what works there.
std::string session_words(const ui::Context& ctx, const ui::OpenedSession& session);

}  // namespace moescope::panels
