// The node behind the window: state, machine, link, and the work it is doing.
#pragma once

#include <string>

#include "panels/ui/panel.hpp"

namespace moescope::panels {

class NodesPanel : public ui::Panel {
 public:
    void draw(ui::Context& context) override;
    /// node.restart.
    bool act(const std::string& action, ui::Context& context) override;

 private:
    void draw_link(ui::Context& ctx);
    void draw_machine(ui::Context& ctx);
    void draw_tasks(ui::Context& ctx);
};

}  // namespace moescope::panels
