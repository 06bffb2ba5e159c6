// The words of two texts against each other, as one of the two shows them. Pure but for the styles, which come from the
// theme.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "panels/ui/text_tools.hpp"
#include "panels/ui/text_view.hpp"

namespace moescope::panels {

/// Numbers of the styles that a view draws with.
struct DifferenceStyles {
    std::uint16_t plain = 0, added = 1, removed = 2;
};
enum class DifferenceSide {
    base,           ///< what only the first text has is marked as removed
    other,          ///< what only the second text has is marked as added
    other_and_base  ///< and what is missing in it stands there as removed
};
struct DifferenceText {
    std::string text;
    std::vector<StyleRun> runs;
};
/// `diff` is of these two texts.
DifferenceText difference_text(const WordDiff& diff, std::string_view base, std::string_view other, DifferenceSide side,
                               const DifferenceStyles& styles);

/// Underlined, and in the colour of what is good; struck through, and in that of an error.
TextStyle added_style(const ui::Theme& theme);
TextStyle removed_style(const ui::Theme& theme);

}  // namespace moescope::panels
