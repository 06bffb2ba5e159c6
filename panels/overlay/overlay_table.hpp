// The table of runs: the settings in which they differ, and what is left of their curves. GUI thread.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "panels/overlay/overlay_model.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

class OverlayTableView {
 public:
    void draw(ui::Context& ctx, const std::vector<ShownRun>& runs);
    void take_over(const OverlayTableView& before) { kind_ = before.kind_; }

 private:
    void refresh(const ui::Context& ctx, const std::vector<ShownRun>& runs);
    void draw_toolbar(ui::Context& ctx, const std::vector<ShownRun>& runs);
    void draw_headers(const ui::Context& ctx) const;
    void draw_row(const ui::Context& ctx, const ShownRun& run, std::size_t row) const;

    /// What the table was made of.
    struct Key {
        std::vector<std::pair<const void*, const void*>> runs;  ///< the values themselves: they never change
        std::shared_ptr<const nlohmann::json> catalogue;
        bool operator==(const Key&) const = default;
    };
    std::vector<ShownRun> of_;  ///< keeps what key_ points to
    Key key_;
    OverlayTable table_;
    SummaryKind kind_ = SummaryKind::mean;
    std::size_t sorted_by_ = 0;
    bool descending_ = false, sorted_ = false;
};

}  // namespace moescope::panels
