#include "panels/ui/theme.hpp"

#include <algorithm>
#include <cmath>
#include <implot.h>
#include <utility>

#include "base/palette.hpp"

namespace moescope::ui {
namespace {

constexpr ImVec4 rgb(unsigned hex, float alpha = 1.0f) {
    return {static_cast<float>((hex >> 16) & 255) / 255.0f, static_cast<float>((hex >> 8) & 255) / 255.0f,
            static_cast<float>(hex & 255) / 255.0f, alpha};
}

ImVec4 mix(const ImVec4& a, const ImVec4& b, float t) {
    return {a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * t, a.z + (b.z - a.z) * t, a.w + (b.w - a.w) * t};
}

/// Relative luminance of WCAG 2.2.
double luminance(const ImVec4& color) {
    const auto linear = [](float part) {
        const double c = part;
        return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * linear(color.x) + 0.7152 * linear(color.y) + 0.0722 * linear(color.z);
}

template <std::size_t N>
ImU32 interpolate(const std::array<unsigned, N>& anchors, double t) {
    t = std::isnan(t) ? 0 : std::clamp(t, 0.0, 1.0);
    const double place = t * static_cast<double>(N - 1);
    const std::size_t i = std::min<std::size_t>(static_cast<std::size_t>(place), N - 2);
    return packed(mix(rgb(anchors[i]), rgb(anchors[i + 1]), static_cast<float>(place - static_cast<double>(i))));
}

/// Viridis: even in lightness, readable without colour vision and on a grey print.
constexpr std::array<unsigned, 9> kLoad = {0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c,
                                           0x28ae80, 0x5ec962, 0xaddc30, 0xfde725};
constexpr std::array<unsigned, 7> kDifferenceDark = {0xffc35c, 0xc98a1b, 0x80551c, 0x2b303a,
                                                     0x2a5680, 0x3f94cf, 0x7cc9f5};
constexpr std::array<unsigned, 7> kDifferenceLight = {0x914c00, 0xd98c21, 0xf3cf96, 0xf2f2f2,
                                                      0xa9d0e8, 0x4f9bcb, 0x08519c};

Theme dark_theme() {
    Theme t;
    t.dark = true;
    t.background = rgb(0x12151a);
    t.panel = rgb(0x191d24);
    t.border = rgb(0x2d3440);
    t.grid = rgb(0x2a303b);
    t.text = rgb(0xe4e7ec);
    t.text_dim = rgb(0xa9b1be);
    t.accent = rgb(base::kAccent.dark);
    t.good = rgb(0x6cc990);
    t.warning = rgb(0xecbb55);
    t.error = rgb(0xf6938a);
    t.english = rgb(base::kEnglish.dark);
    t.chinese = rgb(base::kChinese.dark);
    t.series = {rgb(0xe69f00), rgb(0x56b4e9), rgb(0x1fb88a), rgb(0xf0e442),
                rgb(0x5b8fe8), rgb(0xe8703a), rgb(0xd78fb8), rgb(0xb9bec8)};
    return t;
}

Theme light_theme() {
    Theme t;
    t.dark = false;
    t.background = rgb(0xeceef2);
    t.panel = rgb(0xffffff);
    t.border = rgb(0xcdd2db);
    t.grid = rgb(0xe2e5eb);
    t.text = rgb(0x1b2027);
    t.text_dim = rgb(0x525c6b);
    t.accent = rgb(base::kAccent.light);
    t.good = rgb(0x146536);
    t.warning = rgb(0x7a4e00);
    t.error = rgb(0xa8221a);
    t.english = rgb(base::kEnglish.light);
    t.chinese = rgb(base::kChinese.light);
    t.series = {rgb(0xa87300), rgb(0x2b84ba), rgb(0x00805d), rgb(0x857b00),
                rgb(0x0060a0), rgb(0xc24e00), rgb(0xa84f80), rgb(0x5c6370)};
    return t;
}

void apply_colors(const Theme& t, ImGuiStyle& style) {
    const ImVec4 field = t.dark ? mix(t.panel, rgb(0xffffff), 0.06f) : mix(t.panel, rgb(0x000000), 0.045f);
    const ImVec4 hovered = t.dark ? mix(t.panel, rgb(0xffffff), 0.12f) : mix(t.panel, rgb(0x000000), 0.08f);
    const ImVec4 active = mix(hovered, t.accent, 0.30f);
    const ImVec4 chosen = mix(t.panel, t.accent, t.dark ? 0.22f : 0.14f);
    ImVec4* c = style.Colors;
    c[ImGuiCol_Text] = t.text;
    c[ImGuiCol_TextDisabled] = t.text_dim;
    c[ImGuiCol_TextLink] = t.accent;
    c[ImGuiCol_WindowBg] = c[ImGuiCol_MenuBarBg] = t.panel;
    c[ImGuiCol_ChildBg] = rgb(0, 0);
    c[ImGuiCol_PopupBg] = t.dark ? mix(t.panel, rgb(0xffffff), 0.035f) : t.panel;
    c[ImGuiCol_Border] = t.border;
    c[ImGuiCol_BorderShadow] = rgb(0, 0);
    c[ImGuiCol_FrameBg] = c[ImGuiCol_Button] = field;
    c[ImGuiCol_FrameBgHovered] = c[ImGuiCol_ButtonHovered] = hovered;
    c[ImGuiCol_FrameBgActive] = c[ImGuiCol_ButtonActive] = active;
    c[ImGuiCol_TitleBg] = c[ImGuiCol_TitleBgActive] = c[ImGuiCol_TitleBgCollapsed] = t.background;
    c[ImGuiCol_ScrollbarBg] = rgb(0, 0);
    c[ImGuiCol_ScrollbarGrab] = faded(t.text_dim, 0.35f);
    c[ImGuiCol_ScrollbarGrabHovered] = faded(t.text_dim, 0.55f);
    c[ImGuiCol_ScrollbarGrabActive] = faded(t.text_dim, 0.75f);
    c[ImGuiCol_CheckMark] = c[ImGuiCol_SliderGrab] = c[ImGuiCol_SliderGrabActive] = t.accent;
    c[ImGuiCol_CheckboxSelectedBg] = c[ImGuiCol_Header] = c[ImGuiCol_HeaderActive] = chosen;
    c[ImGuiCol_HeaderHovered] = hovered;
    c[ImGuiCol_InputTextCursor] = c[ImGuiCol_UnsavedMarker] = t.text;
    c[ImGuiCol_Separator] = t.border;
    c[ImGuiCol_SeparatorHovered] = c[ImGuiCol_SeparatorActive] = t.accent;
    c[ImGuiCol_ResizeGrip] = rgb(0, 0);
    c[ImGuiCol_ResizeGripHovered] = c[ImGuiCol_ResizeGripActive] = t.accent;
    c[ImGuiCol_Tab] = c[ImGuiCol_TabDimmed] = t.background;
    c[ImGuiCol_TabHovered] = hovered;
    c[ImGuiCol_TabSelected] = c[ImGuiCol_TabDimmedSelected] = t.panel;
    c[ImGuiCol_TabSelectedOverline] = t.accent;
    c[ImGuiCol_TabDimmedSelectedOverline] = faded(t.accent, 0.35f);
    c[ImGuiCol_DockingPreview] = faded(t.accent, 0.45f);
    c[ImGuiCol_DockingEmptyBg] = t.background;
    c[ImGuiCol_PlotLines] = c[ImGuiCol_PlotHistogram] = t.accent;
    c[ImGuiCol_PlotLinesHovered] = c[ImGuiCol_PlotHistogramHovered] = t.text;
    c[ImGuiCol_TableHeaderBg] = field;
    c[ImGuiCol_TableBorderStrong] = t.border;
    c[ImGuiCol_TableBorderLight] = t.grid;
    c[ImGuiCol_TableRowBg] = rgb(0, 0);
    c[ImGuiCol_TableRowBgAlt] = faded(t.text_dim, 0.05f);
    c[ImGuiCol_TextSelectedBg] = faded(t.accent, 0.35f);
    c[ImGuiCol_NavCursor] = t.accent;
    c[ImGuiCol_NavWindowingHighlight] = c[ImGuiCol_DragDropTarget] = t.accent;
    c[ImGuiCol_DragDropTargetBg] = faded(t.accent, 0.15f);
    c[ImGuiCol_TreeLines] = t.border;
    c[ImGuiCol_ModalWindowDimBg] = c[ImGuiCol_NavWindowingDimBg] = rgb(0x000000, 0.45f);
}

void apply_sizes(ImGuiStyle& style, float scale) {
    style.WindowPadding = {12, 10};
    style.FramePadding = {9, 5};
    style.ItemSpacing = {8, 7};
    style.ItemInnerSpacing = {6, 5};
    style.CellPadding = {8, 4};
    style.IndentSpacing = 16;
    style.ScrollbarSize = 12;
    style.GrabMinSize = 12;
    style.WindowRounding = 6;
    style.ChildRounding = style.FrameRounding = style.PopupRounding = style.GrabRounding = style.TabRounding = 5;
    style.ScrollbarRounding = 6;
    style.WindowBorderSize = style.PopupBorderSize = 1;
    style.FrameBorderSize = style.ChildBorderSize = 0;
    style.TabBarOverlineSize = 2;
    style.DockingSeparatorSize = 2;
    style.SeparatorTextBorderSize = 1;
    style.WindowMenuButtonPosition = ImGuiDir_None;
    style.WindowTitleAlign = {0, 0.5f};
    style.SelectableTextAlign = {0, 0.5f};
    style.HoverStationaryDelay = 0.12f;
    style.HoverDelayShort = 0.15f;
    style.ScaleAllSizes(scale);
    style.FontSizeBase = 16;
    style.FontScaleMain = scale;
}

void apply_plot_style(const Theme& t, float scale) {
    ImPlotStyle& plot = ImPlot::GetStyle();
    plot = ImPlotStyle();
    plot.PlotPadding = {8 * scale, 8 * scale};
    plot.LabelPadding = {4 * scale, 4 * scale};
    plot.LegendPadding = {8 * scale, 8 * scale};
    plot.LegendInnerPadding = {6 * scale, 4 * scale};
    plot.LegendSpacing = {10 * scale, 1 * scale};
    plot.MousePosPadding = {8 * scale, 8 * scale};
    plot.PlotMinSize = {80 * scale, 60 * scale};
    plot.PlotBorderSize = 1;
    plot.MinorAlpha = 0.25f;
    plot.Colors[ImPlotCol_FrameBg] = rgb(0, 0);
    plot.Colors[ImPlotCol_PlotBg] = t.dark ? mix(t.panel, t.background, 0.6f) : mix(t.panel, t.background, 0.25f);
    plot.Colors[ImPlotCol_PlotBorder] = t.border;
    plot.Colors[ImPlotCol_LegendBg] = faded(t.panel, 0.82f);
    plot.Colors[ImPlotCol_LegendBorder] = rgb(0, 0);
    plot.Colors[ImPlotCol_LegendText] = t.text;
    plot.Colors[ImPlotCol_TitleText] = t.text;
    plot.Colors[ImPlotCol_InlayText] = t.text;
    plot.Colors[ImPlotCol_AxisText] = t.text_dim;
    plot.Colors[ImPlotCol_AxisGrid] = faded(t.text_dim, 0.22f);
    plot.Colors[ImPlotCol_Selection] = t.accent;
    plot.Colors[ImPlotCol_Crosshairs] = t.text_dim;
}

}  // namespace

ImVec4 faded(ImVec4 color, float alpha) {
    color.w *= alpha;
    return color;
}

ImU32 packed(ImVec4 color, float alpha) {
    return ImGui::ColorConvertFloat4ToU32(faded(color, alpha));
}

ImU32 ink_on(ImU32 ground) {
    const double l = luminance(ImGui::ColorConvertU32ToFloat4(ground));
    return 1.05 / (l + 0.05) > (l + 0.05) / 0.05 ? IM_COL32_WHITE : IM_COL32_BLACK;
}

double contrast(const ImVec4& a, const ImVec4& b) {
    const double la = luminance(a), lb = luminance(b);
    return (std::max(la, lb) + 0.05) / (std::min(la, lb) + 0.05);
}

ImU32 Theme::load_color(double t) const {
    return interpolate(kLoad, t);
}

ImU32 Theme::difference_color(double t) const {
    return interpolate(dark ? kDifferenceDark : kDifferenceLight, (t + 1) / 2);
}

Theme make_theme(bool dark) {
    return dark ? dark_theme() : light_theme();
}

ImVec4 on_paper(const ImVec4& color) {
    const Theme dark = dark_theme(), light = light_theme();
    // As a draw list has them: a colour may have been packed on its way here.
    const auto same = [wanted = packed({color.x, color.y, color.z, 1})](const ImVec4& other) {
        return packed(other) == wanted;
    };
    for (const auto& [from, to] :
         {std::pair{&dark.accent, &light.accent}, std::pair{&dark.text, &light.text},
          std::pair{&dark.text_dim, &light.text_dim}, std::pair{&dark.good, &light.good},
          std::pair{&dark.warning, &light.warning}, std::pair{&dark.error, &light.error},
          std::pair{&dark.english, &light.english}, std::pair{&dark.chinese, &light.chinese}}) {
        if (same(*from)) {
            return *to;
        }
    }
    const auto found = std::find_if(dark.series.begin(), dark.series.end(), same);
    return found == dark.series.end() ? color : light.series[static_cast<std::size_t>(found - dark.series.begin())];
}

void apply_theme(const Theme& theme, float scale) {
    ImGuiStyle& style = ImGui::GetStyle();
    style = ImGuiStyle();
    apply_sizes(style, scale);
    apply_colors(theme, style);
    if (ImPlot::GetCurrentContext() != nullptr) {
        apply_plot_style(theme, scale);
    }
}

}  // namespace moescope::ui
