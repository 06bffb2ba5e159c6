// How wide the columns of a table are that cuts no number. Pure.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace moescope::ui {

struct TableFit {
    float first = 0;       ///< width of the first column
    bool scrolls = false;  ///< the table is wider than its room
};

/// The next multiple of `step` that is not below `width`: what a column takes that keeps its width for a while.
inline float stepped_width(float width, float step) {
    return std::ceil(width / step) * step;
}

/// All columns but the first keep their `natural` widths: those of their longest texts. The first one, a name, takes
/// the rest of `room`, and gives way as far as `least`; where that is not enough, the table scrolls sideways.
/// `between`: pixels that each column takes beside its width.
inline TableFit fit_table(std::span<const float> natural, float between, float least, float room) {
    if (natural.empty()) {
        return {};
    }
    float others = between;
    for (std::size_t i = 1; i < natural.size(); ++i) {
        others += natural[i] + between;
    }
    const float shortest = std::min(natural.front(), least);
    return others + shortest <= room ? TableFit{room - others, false} : TableFit{shortest, true};
}

}  // namespace moescope::ui
