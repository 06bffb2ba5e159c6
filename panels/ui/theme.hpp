// Colours with one meaning each, everywhere: load (perceptually even), difference (diverging, centred on 1/N or 0),
// experts and models (colour-blind safe set), one accent. Light and dark.
#pragma once

#include <array>
#include <cstddef>
#include <imgui.h>

namespace moescope::ui {

struct Theme {
    bool dark = true;
    ImVec4 accent, text, text_dim, good, warning, error, background, panel, border, grid;
    ImVec4 english, chinese;       ///< the two text languages, on plots and in tables
    std::array<ImVec4, 8> series;  ///< experts and models (Okabe-Ito order)
    ImVec4 series_color(std::size_t i) const { return series[i % series.size()]; }
    ImU32 load_color(double t) const;  ///< t in 0..1 (viridis-like, 256 entries interpolated)
    /// t in -1..1, 0 is neutral; what is above 0 is blue, what is below it orange, in every view. So "English minus
    /// Chinese" has the colours of the two languages.
    ImU32 difference_color(double t) const;
};

/// The colour with its alpha multiplied.
ImVec4 faded(ImVec4 color, float alpha);
/// The same as a packed colour for a draw list. Needs no ImGui context.
ImU32 packed(ImVec4 color, float alpha = 1);
/// What a colour of either theme is in a picture on white: that of the light theme with the same meaning.
ImVec4 on_paper(const ImVec4& color);
/// Black or white, whichever has the higher contrast on `ground` (taken as opaque): at least 4.58:1 on any colour.
ImU32 ink_on(ImU32 ground);
/// Contrast of two opaque colours, 1 to 21 (WCAG 2.2, relative luminance).
double contrast(const ImVec4& a, const ImVec4& b);

Theme make_theme(bool dark);
/// Applies colours and sizes to ImGui's and ImPlot's styles; sizes follow `scale` (1 = 16 px text).
void apply_theme(const Theme& theme, float scale);

}  // namespace moescope::ui
