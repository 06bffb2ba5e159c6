// The decision of one token: a row per layer, and of the selected layer everything that the choice was made of, as bars
// and as a table. GUI thread.
#pragma once

#include <cstdint>
#include <imgui.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "panels/routing/bar_picture.hpp"
#include "panels/routing/decision_cache.hpp"
#include "panels/routing/decision_rows.hpp"
#include "panels/routing/read_again.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

class DecisionView {
 public:
    /// Draws the decision of a token into this room. True when the person wants the text read again with scores;
    /// `again`: whether that can be.
    bool draw(ui::Context& ctx, const history::RunRouting& routing, std::uint64_t token,
              const DecisionCache::Place& place, const ReadAgain& again, ImVec2 size);
    /// Of the token that was drawn last, as CSV.
    const std::vector<LayerRow>& rows() const { return rows_; }

 private:
    struct Key {
        const routing::PackedTrace* trace = nullptr;
        std::uint64_t token = 0, bytes = 0;
        bool there = false;
        bool operator==(const Key&) const = default;
    };
    void refresh(const history::RunRouting& routing, std::uint64_t token, const DecisionCache::Place& place);
    void refresh_detail(const ui::Context& ctx, const history::RunRouting& routing, std::size_t place);
    void draw_layers(ui::Context& ctx, const history::RunRouting& routing, ImVec2 size);
    void draw_layer_row(ui::Context& ctx, const history::RunRouting& routing, const LayerRow& row, bool selected);
    void draw_chosen(ui::Context& ctx, const LayerRow& row);
    bool draw_detail(ui::Context& ctx, const history::RunRouting& routing, const ReadAgain& again, ImVec2 size);
    void draw_summary(const ui::Context& ctx, const history::RunRouting& routing, const LayerRow& row) const;
    void draw_picture(ui::Context& ctx, ImVec2 size);
    void draw_experts(ui::Context& ctx, ImVec2 size);
    void draw_expert_row(ui::Context& ctx, const ExpertRow& row, const std::vector<ExpertColumn>& columns);
    void draw_menus(ui::Context& ctx, const history::RunRouting& routing);
    std::string name_of_file(const history::RunRouting& routing, const char* what) const;

    Key key_;
    std::vector<LayerRow> rows_;
    std::vector<routing::LayerDecision> scores_;
    std::uint32_t plan_of_ = 0;
    std::shared_ptr<const routing::InterventionPlan> plan_;  ///< null: nothing was changed, or it can't be told

    std::optional<LayerDetail> detail_;
    BarPicture picture_;
    bool detail_due_ = true, dark_ = true;
    int detail_layer_ = -1;
    std::string detail_language_;
    std::vector<std::size_t> order_;  ///< of the experts' table
    ExpertColumn sorted_by_ = ExpertColumn::selection;
    bool descending_ = true;

    int shown_layer_ = -1;  ///< the table has scrolled to it
    int menu_layer_ = -1, menu_expert_ = -1;
    bool open_menu_ = false;
    ImVec2 picture_min_{}, picture_max_{};
};

}  // namespace moescope::panels
