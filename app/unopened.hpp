// What the window shows when the node could not open the session: why, and what can be done about it. GUI thread only.
#pragma once

#include "app/node_copy.hpp"
#include "panels/ui/context.hpp"

namespace moescope::app {

/// A bar below the menu while there is something to say: "###unopened" with the buttons "###unopened.read" (where
/// opening for reading helps), "###unopened.again", "###unopened.other" and "###unopened.new". They run
/// "file.open_session" and "file.new_session", or start the node again. For another machine that lacks moescope-node,
/// or has one that does not fit, "###unopened.copy" puts this one there, and "###unopened.stop_copy" stops that.
void draw_unopened(ui::Context& ctx, NodeCopy& copy);

}  // namespace moescope::app
