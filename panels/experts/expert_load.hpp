// The expert load panel: which expert got how many tokens. A layer x expert map of one step, the history of one layer
// over steps, the bars and balance numbers of that layer; for all text, English, Chinese, or the difference of the two.
// What is shown is in load_model.hpp; here the views get their places.
#pragma once

#include <string>

#include "panels/experts/expert_map.hpp"
#include "panels/experts/expert_menu.hpp"
#include "panels/experts/load_history.hpp"
#include "panels/experts/load_model.hpp"
#include "panels/ui/panel.hpp"

namespace moescope::panels {

class ExpertLoadPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(ui::Context& ctx) override;
    /// load.all, load.english, load.chinese, load.difference, load.live, load.layer_next, load.layer_previous,
    /// load.expert_next, load.expert_previous.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    void draw_views(const LoadView& view, bool open_menu);
    void draw_layer(const LoadView& view, float height) const;

    LoadModel model_;
    ExpertMap map_;
    LoadHistory history_;
    ExpertMenu menu_;
};

}  // namespace moescope::panels
