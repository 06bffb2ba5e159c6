// The table of panels: one line here makes a panel. Its describe_<name>() is defined in its own file and says
// everything else that the window knows of it.
#pragma once

#include <vector>

#include "panels/ui/panel.hpp"

namespace moescope::panels {

// In the order of the View menu.
// clang-format off
#define MOESCOPE_PANELS(PANEL) \
    PANEL(runs)                \
    PANEL(knobs)               \
    PANEL(training)            \
    PANEL(timeline)            \
    PANEL(expert_load)         \
    PANEL(placement)           \
    PANEL(ranks)               \
    PANEL(overlay)             \
    PANEL(routing)             \
    PANEL(change)              \
    PANEL(expert)              \
    PANEL(structure)           \
    PANEL(routing_diff)        \
    PANEL(compare)             \
    PANEL(probe)               \
    PANEL(notes)               \
    PANEL(models)              \
    PANEL(nodes)               \
    PANEL(log)                 \
    PANEL(manual)

// clang-format on

#define MOESCOPE_DECLARE(name) ui::PanelDescription describe_##name();
MOESCOPE_PANELS(MOESCOPE_DECLARE)
#undef MOESCOPE_DECLARE

inline std::vector<ui::PanelDescription> all_panels() {
    std::vector<ui::PanelDescription> panels;
#define MOESCOPE_ADD(name) panels.push_back(describe_##name());
    MOESCOPE_PANELS(MOESCOPE_ADD)
#undef MOESCOPE_ADD
    return panels;
}
#undef MOESCOPE_PANELS

}  // namespace moescope::panels
