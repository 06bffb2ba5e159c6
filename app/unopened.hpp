// What the window shows when the node could not open the session: why, and what can be done about it. GUI thread only.
#pragma once

#include "panels/ui/context.hpp"

namespace moescope::app {

/// A bar below the menu while there is something to say: "###unopened" with the buttons "###unopened.read" (where
/// opening for reading helps), "###unopened.again", "###unopened.other" and "###unopened.new". They run
/// "file.open_session" and "file.new_session", or start the node again.
void draw_unopened(ui::Context& ctx);

}  // namespace moescope::app
