// The open sessions as tabs: in a narrow panel in several rows, no name cut that has room. GUI thread, inside a window.
#pragma once

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// A tab of each session ("session3/###tab", "session3/###close"), and a button for one more ("###sessions.new").
void draw_session_tabs(ui::Context& ctx);
/// What a tab says of its session when the mouse rests on it: where it is, its connection, what works there.
std::string session_words(const ui::Context& ctx, const ui::OpenedSession& session);

}  // namespace moescope::panels
