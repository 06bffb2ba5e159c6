// The menu of the expert load panel: what can be done with the expert under the mouse, and saving. GUI thread.
#pragma once

#include <cstdint>
#include <optional>

#include "panels/experts/load_view.hpp"

namespace moescope::panels {

class ExpertMenu {
 public:
    /// Opens it, about `cell` or about none.
    void open(const LoadView& view, std::optional<ExpertCell> cell);
    /// Call in the panel's window, every frame; a right click in it opens the menu about `hovered`.
    void draw(const LoadView& view, std::optional<ExpertCell> hovered);

 private:
    std::optional<ExpertCell> cell_;
    std::uint64_t step_ = 0;  ///< under the mouse, or the one that is shown
};

}  // namespace moescope::panels
