// Text in a window: wrapped (Chinese aware), elided, selectable. GUI thread, inside a window.
#pragma once

#include <imgui.h>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "panels/ui/context.hpp"

namespace moescope::ui {

/// Lines of UTF-8 `text` broken to `width` pixels in the current font: between words, between Han characters (closing
/// punctuation never starts a line), at '\n'. The views point into `text`. Costs one table look-up per character; keep
/// the result for long texts.
std::vector<std::string_view> wrap_lines(std::string_view text, float width);
/// Draws wrapped text (Chinese aware) over the rest of the row, or `width` pixels when above 0.
void text_wrapped(std::string_view text, std::optional<ImVec4> color = {}, float width = 0);
/// The same as a read-only field in which a person can select and copy; right click copies all. `id` must be unique in
/// the window.
void text_selectable(const Context& ctx, const char* id, const std::string& text, float width = 0);
void text_colored(const ImVec4& color, std::string_view text);
void text_dim(const Context& ctx, std::string_view text);
/// The first line of UTF-8 `text`, cut to `width` pixels with an ellipsis where it is longer.
std::string elided(std::string_view text, float width);
/// The same cut in its middle: for names that differ at their ends.
std::string elided_middle(std::string_view text, float width);
/// Draws elided(); the whole text is the tooltip when it was cut.
void text_elided(std::string_view text, float width);

}  // namespace moescope::ui
