// The table of panels: one line here and one pair of files make a panel.
#pragma once

#include <memory>
#include <vector>

#include "panels/ui/context.hpp"

namespace moescope::panels {

// Each is defined in panels/<name>.cpp.
std::unique_ptr<ui::Panel> make_runs();         ///< "runs": list of training runs of the session
std::unique_ptr<ui::Panel> make_knobs();        ///< "knobs": learning rate, balance, samples of the selected run
std::unique_ptr<ui::Panel> make_training();     ///< "training"
std::unique_ptr<ui::Panel> make_expert_load();  ///< "expert_load"
std::unique_ptr<ui::Panel> make_compare();      ///< "compare"
std::unique_ptr<ui::Panel> make_probe();        ///< "probe"
std::unique_ptr<ui::Panel> make_models();       ///< "models"
std::unique_ptr<ui::Panel> make_nodes();        ///< "nodes"
std::unique_ptr<ui::Panel> make_log();          ///< "log"
std::unique_ptr<ui::Panel> make_manual();       ///< "manual"

/// All of the above, in the order of the View menu.
inline std::vector<std::unique_ptr<ui::Panel>> make_all() {
    std::vector<std::unique_ptr<ui::Panel>> panels;
    for (auto* make : {make_runs, make_knobs, make_training, make_expert_load, make_compare, make_probe, make_models,
                       make_nodes, make_log, make_manual})
        panels.push_back(make());
    return panels;
}

}  // namespace moescope::panels
