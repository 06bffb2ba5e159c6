// The expert load panel: which expert got how many tokens. A layer x expert map of one step, the history of one layer
// over steps, the bars and balance numbers of that layer; for all text, English, Chinese, or the difference of the two.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "panels/metrics.hpp"
#include "panels/run_tools.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// Counts of one step, or summed over a window of steps that ends there.
struct Loads {
    std::size_t layers = 0, experts = 0;
    std::uint64_t first_step = 0, last_step = 0;
    std::array<std::vector<double>, protocol::kTextLanguages> counts;  ///< [layers][experts] per text language
    std::array<std::vector<double>, protocol::kTextLanguages> totals;  ///< [layers]
};

class ExpertLoadPanel final : public ui::Panel {
 public:
    const char* key() const override { return "expert_load"; }
    void draw(ui::Context& ctx) override;
    /// load.all, load.english, load.chinese, load.difference, load.live, load.layer_next, load.layer_previous.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    enum Mode { kAll, kEnglish, kChinese, kDifference };
    /// One row of the history: a step, or several next to each other.
    struct Row {
        std::uint64_t first = 0, last = 0;
        std::vector<ImU32> colors;
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
    struct Area {
        ImVec2 min, max;
        float width() const { return max.x - min.x; }
        float height() const { return max.y - min.y; }
    };

    void load(const client::TrainingRun& run, const ui::Selection& selection);
    void update_scale();
    double share(std::size_t layer, std::size_t expert) const;
    metrics::ShareDifference difference(std::size_t layer, std::size_t expert) const;
    ImU32 color(const ui::Context& ctx, double value) const;
    std::size_t layer(const ui::Context& ctx) const;

    void draw_toolbar(ui::Context& ctx);
    void draw_step(ui::Context& ctx);
    void draw_map(ui::Context& ctx, ImVec2 size);
    void draw_cells(ui::Context& ctx, const Area& area);
    void draw_scale(const ui::Context& ctx, const Area& area) const;
    void draw_history(ui::Context& ctx, const client::TrainingRun& run, ImVec2 size);
    void refresh_rows(const ui::Context& ctx, const client::TrainingRun& run, const RowsKey& key);
    void draw_rows(ui::Context& ctx, const Area& area);
    void hover_rows(ui::Context& ctx, const client::TrainingRun& run, const Area& area);
    void draw_bars(ui::Context& ctx, ImVec2 size);
    void draw_bar_axis(const ui::Context& ctx, const Area& area) const;
    void draw_numbers(ui::Context& ctx, const client::TrainingRun& run, bool compact);
    void draw_chance(ui::Context& ctx) const;
    void draw_menu(ui::Context& ctx, const client::TrainingRun& run);
    std::string csv() const;
    void draw_expert_ids(const ui::Context& ctx, const Area& area) const;
    void select(ui::Context& ctx, std::size_t layer, std::size_t expert) const;
    void cell_tooltip(const ui::Context& ctx, std::size_t layer, std::size_t expert) const;
    std::vector<double> layer_load(std::size_t layer, int mode) const;

    int mode_ = kAll;
    int window_ = 0;         ///< index into the offered numbers of steps
    double scale_ = 2;       ///< top of the colour scale in units of 1/N
    double difference_ = 1;  ///< end of the diverging scale in units of 1/N
    Loads loads_;
    std::uint64_t loaded_key_[4] = {};
    RowsKey rows_key_;
    std::vector<Row> rows_;
};

}  // namespace moescope::panels
