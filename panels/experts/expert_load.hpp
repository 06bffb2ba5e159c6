// The expert load panel: which expert got how many tokens. A layer x expert map of one step, the history of one layer
// over steps, the bars and balance numbers of that layer; for all text, English, Chinese, or the difference of the two.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nodes/history/load_metrics.hpp"
#include "panels/experts/load_sums.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/panel.hpp"

namespace moescope::panels {

class ExpertLoadPanel final : public ui::Panel {
 public:
    void draw(ui::Context& ctx) override;
    /// load.all, load.english, load.chinese, load.difference, load.live, load.layer_next, load.layer_previous,
    /// load.expert_next, load.expert_previous.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    enum Mode { kAll, kEnglish, kChinese, kDifference };
    /// What is shown of loads() in one mode, worked out when a step or the mode changes, not in every frame.
    struct Cells {
        std::vector<double> value;  ///< [layers][experts] share of the layer, or difference of shares (may be NaN)
        std::vector<double> sigma;  ///< of a difference, see history::ShareDifference
        std::vector<std::uint8_t> beyond;  ///< 1: the difference is larger than chance
        std::size_t beyond_count = 0;
        double highest = 0;                                ///< largest value, without its sign
        std::vector<history::LoadMetrics> layers;          ///< [layers] in this mode; of English in kDifference
        std::vector<history::LoadMetrics> layers_chinese;  ///< in kDifference only
        std::vector<ImU32> colors;                         ///< [layers][experts] with the scale of color_key
    };
    struct ColorKey {
        std::uint64_t cells = 0;
        double scale = 0;
        bool dark = false;
        bool operator==(const ColorKey&) const = default;
    };
    /// One row of the history: a step, or several next to each other.
    struct Row {
        std::uint64_t first = 0, last = 0;
        std::vector<ImU32> colors;
        LoadSums::Step end;  ///< its last step: a run that went back to a checkpoint has others under the same numbers
    };
    struct RowsKey {
        std::uint32_t run = 0;
        std::uint64_t newest = 0;
        std::size_t size = 0, layer = 0, limit = 0;
        double from = 0, to = 0, scale = 0;
        int mode = 0;
        bool dark = false;
        bool operator==(const RowsKey&) const = default;
    };
    struct Cell {
        int layer = 0, expert = 0;
    };
    struct Area {
        ImVec2 min, max;
        float width() const { return max.x - min.x; }
        float height() const { return max.y - min.y; }
    };

    void load(const history::TrainingRun& run, const ui::Selection& selection);
    void refresh_cells();
    void refresh_colors(const ui::Context& ctx);
    void update_scale();
    double share(std::size_t layer, std::size_t expert) const;
    history::ShareDifference difference(std::size_t layer, std::size_t expert) const;
    ImU32 color(const ui::Context& ctx, double value) const;
    std::size_t layer(const ui::Context& ctx) const;

    void draw_toolbar(ui::Context& ctx);
    void draw_step(ui::Context& ctx);
    void draw_map(ui::Context& ctx, ImVec2 size);
    void draw_cells(ui::Context& ctx, const Area& area);
    bool marked(std::size_t cell) const { return experts_[cell] != ExpertState(); }
    void draw_marks(const ui::Context& ctx, std::size_t cell, const Area& area, bool with_number) const;
    /// At the right end of the line, and not wider than `room`; gives the width that it takes.
    float draw_legend(const ui::Context& ctx, float room) const;
    std::string marked_experts(const ui::Context& ctx, bool ExpertState::*set) const;
    void draw_scale(const ui::Context& ctx, const Area& area) const;
    void draw_history(ui::Context& ctx, const history::TrainingRun& run, ImVec2 size);
    void refresh_rows(const ui::Context& ctx, const history::TrainingRun& run, const RowsKey& key);
    void draw_rows(ui::Context& ctx, const Area& area);
    void hover_rows(ui::Context& ctx, const history::TrainingRun& run, const Area& area);
    void draw_bars(ui::Context& ctx, ImVec2 size);
    void draw_bar_axis(const ui::Context& ctx, const Area& area) const;
    void draw_numbers(ui::Context& ctx, const history::TrainingRun& run, bool compact);
    void draw_chance(ui::Context& ctx) const;
    void draw_menu(ui::Context& ctx, const history::TrainingRun& run);
    void draw_expert_menu(ui::Context& ctx, const history::TrainingRun& run, Cell cell);
    void draw_expert_ids(const ui::Context& ctx, const Area& area) const;
    void select(ui::Context& ctx, std::size_t layer, std::size_t expert) const;
    void cell_tooltip(const ui::Context& ctx, std::size_t layer, std::size_t expert) const;
    std::vector<double> layer_load(std::size_t layer, int mode) const;

    std::optional<Cell> hovered_cell_;  ///< of the map, in this frame
    std::optional<Cell> menu_cell_;     ///< the one that the open menu is about
    std::vector<ExpertState> experts_;  ///< [layers][experts] in the step on show, of this frame
    int mode_ = kAll;
    int window_ = 0;         ///< index into the offered numbers of steps
    double scale_ = 2;       ///< top of the colour scale in units of 1/N
    double difference_ = 1;  ///< end of the diverging scale in units of 1/N
    const Loads& loads() const { return sums_.loads(); }
    LoadSums sums_;
    std::uint64_t loaded_key_[4] = {};
    std::uint64_t loads_version_ = 0;  ///< rises when loads() changes
    Cells cells_;
    std::uint64_t cells_version_ = 0;  ///< rises when cells_ changes
    std::uint64_t cells_of_ = 0;       ///< loads_version_ that cells_ were made from
    int cells_mode_ = -1;
    ColorKey color_key_;
    RowsKey rows_key_;
    std::vector<Row> rows_;
};

}  // namespace moescope::panels
