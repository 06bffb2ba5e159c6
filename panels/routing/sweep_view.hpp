// Every expert of a layer knocked out alone, over some texts: what is asked, how far it is, and the effect of each
// beside its control. GUI thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "panels/routing/bar_picture.hpp"
#include "panels/routing/effect_result.hpp"
#include "panels/ui/context.hpp"
#include "panels/ui/undo.hpp"

namespace moescope::panels {

class SweepView {
 public:
    /// Over the width that is there; the panel scrolls.
    void draw(ui::Context& ctx);
    void set_model(const std::string& model) { model_ = model; }
    /// What stands there until a person chooses another one.
    void offer_model(const std::string& model) { model_ = model_.empty() ? model : model_; }
    /// Asks for the sweep as the fields stand.
    void start(ui::Context& ctx);
    /// For scripts and tests: the texts, one per line.
    void set_texts(const std::string& texts) {
        texts_ = texts;
        built_in_ = 0;
    }

 private:
    std::vector<std::string> wanted_texts(const ui::Context& ctx) const;
    const history::RouteRun* shown(const ui::Context& ctx) const;
    void draw_question(ui::Context& ctx);
    void draw_layer(ui::Context& ctx);
    void watch(ui::Context& ctx);
    void draw_choice(ui::Context& ctx);
    void draw_progress(ui::Context& ctx, const history::RouteRun& run);
    void refresh(const ui::Context& ctx, const history::RouteRun& run);
    void draw_result(ui::Context& ctx, const history::RouteRun& run);
    void draw_table(ui::Context& ctx);
    void draw_menu(ui::Context& ctx, const history::RouteRun& run);

    ui::FieldWatch watch_;  ///< of what is asked
    std::string model_, texts_;
    int layer_ = 0, built_in_ = 1;
    int figure_ = 0;  ///< 0: KL, 1: loss
    client::CommandId starting_ = 0;
    std::uint32_t run_ = 0;  ///< on show; 0: the newest

    std::string result_of_;  ///< the run and how much of its result is there
    std::string language_;
    int drawn_figure_ = -1;
    bool dark_ = true;
    std::optional<SweepResult> result_;
    BarPicture picture_;
    std::vector<std::size_t> order_;
    SweepColumn sorted_by_ = SweepColumn::kl;
    bool descending_ = true;
    int menu_expert_ = -1;
    bool open_menu_ = false;
    ImVec2 picture_min_{}, picture_max_{};
};

}  // namespace moescope::panels
