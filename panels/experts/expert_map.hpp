// The map of the expert load panel: layers down, experts across, one coloured cell each, with the scale of the colours
// beside it. GUI thread.
#pragma once

#include <optional>
#include <vector>

#include "panels/experts/load_view.hpp"

namespace moescope::panels {

class ExpertMap {
 public:
    /// A click selects an expert, a double click opens the expert view. Gives the one under the mouse.
    std::optional<ExpertCell> draw(const LoadView& view, ImVec2 size);

 private:
    struct Key {
        std::uint64_t cells = 0;
        double scale = 0;
        bool dark = false;
        bool operator==(const Key&) const = default;
    };
    void refresh_colors(const LoadView& view);
    void draw_cells(const LoadView& view, const Area& area) const;
    void draw_marks_and_numbers(const LoadView& view, const Area& area) const;
    void draw_selection(const LoadView& view, const Area& area) const;

    Key key_;
    std::vector<ImU32> colors_;  ///< [layers][experts]
};

}  // namespace moescope::panels
