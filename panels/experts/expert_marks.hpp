// How the map shows what a person has told an expert: a disabled one is crossed, a frozen one has a snowflake.
#pragma once

#include "panels/experts/load_view.hpp"

namespace moescope::panels {

/// The marks of one expert in the middle of its cell of colour `fill`; the snowflake in the corner where something else
/// is in the middle.
void draw_marks(const ui::Context& ctx, const ExpertState& state, const Area& cell, ImU32 fill, bool with_number);
/// The marks that are on the map, with how many experts have them: at the right end of the line, and not wider than
/// `room`; gives the width that it takes.
float draw_marks_legend(const LoadView& view, float room);
/// One sentence for each mark of an expert, in a tooltip.
void draw_mark_sentences(const LoadView& view, const ExpertState& state);

}  // namespace moescope::panels
