// The node behind the window: state, machine, link, and the work it is doing.
#pragma once

#include <string>

#include "panels/ui/context.hpp"

namespace moescope::panels {

class NodesPanel : public ui::Panel {
 public:
    const char* key() const override { return "nodes"; }
    void draw(ui::Context& context) override;

 private:
    void draw_link(ui::Context& ctx);
    void draw_machine(ui::Context& ctx);
    void draw_tasks(ui::Context& ctx);
};

}  // namespace moescope::panels
