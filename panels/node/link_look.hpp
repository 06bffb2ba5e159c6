// How the connection to a node is shown: a word, a sign and a tone, the same wherever it stands. GUI thread.
#pragma once

#include "panels/ui/context.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

struct LinkLook {
    const char* key;  ///< of the language: "nodes.link.connected"
    const char* mark;
    ui::Tone tone;
};

/// A living node sends something at least every 5 s: one that has not for longer is silent.
LinkLook link_look(const client::Link& link, double now);
/// Seconds since something came; below 0 when nothing ever did.
double data_age(const client::Link& link, double now);

}  // namespace moescope::panels
