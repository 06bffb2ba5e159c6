// The history of the expert load panel: steps down, the experts of one layer across. Its step axis is that of the
// training plots. GUI thread.
#pragma once

#include <vector>

#include "panels/experts/load_view.hpp"

namespace moescope::panels {

class LoadHistory {
 public:
    /// A click pins a step, a double click takes that back and shows all steps.
    void draw(const LoadView& view, ImVec2 size);

 private:
    struct Key {
        std::uint64_t rows = 0;
        double scale = 0;
        bool dark = false;
        bool operator==(const Key&) const = default;
    };
    void refresh_colors(const LoadView& view);
    void draw_rows(const LoadView& view, const Area& area) const;
    void draw_step_axis(const LoadView& view, const Area& area) const;
    void draw_marks(const LoadView& view, const Area& area) const;
    void draw_missing(const LoadView& view, const Area& area, const OldRange& old) const;
    void draw_notes(const LoadView& view, const Area& area) const;
    void hover(const LoadView& view, const Area& area) const;
    float y_of(double step, const Area& area) const;

    LoadRows rows_;
    Key key_;
    std::vector<ImU32> colors_;  ///< [rows][experts]
};

}  // namespace moescope::panels
