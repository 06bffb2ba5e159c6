// Both themes: every colour of Dear ImGui is ours, and text keeps a contrast of 4.5:1 on every ground it stands on.
#include <gtest/gtest.h>
#include <implot.h>

#include "panels/experts/load_view.hpp"
#include "panels/ui/map_view.hpp"
#include "panels/ui/theme.hpp"

namespace {

using moescope::ui::contrast;
using moescope::ui::Theme;

/// `color` over the opaque `ground`.
ImVec4 over(const ImVec4& ground, const ImVec4& color) {
    const float a = color.w;
    return {ground.x + (color.x - ground.x) * a, ground.y + (color.y - ground.y) * a,
            ground.z + (color.z - ground.z) * a, 1};
}

ImVec4 tint(const ImVec4& ground, ImVec4 color, float alpha) {
    color.w = alpha;
    return over(ground, color);
}

class Themes : public testing::TestWithParam<bool> {
 protected:
    Themes() {
        ImGui::CreateContext();
        ImPlot::CreateContext();
        theme = moescope::ui::make_theme(GetParam());
        moescope::ui::apply_theme(theme, 1);
    }
    ~Themes() override {
        ImPlot::DestroyContext();
        ImGui::DestroyContext();
    }
    ImVec4 color(ImGuiCol index) const { return ImGui::GetStyle().Colors[index]; }

    Theme theme;
};

TEST_P(Themes, EveryColourIsOurs) {
    const ImGuiStyle plain;
    for (int i = 0; i < ImGuiCol_COUNT; ++i) {
        const ImVec4 ours = color(i), theirs = plain.Colors[i];
        const bool same = ours.x == theirs.x && ours.y == theirs.y && ours.z == theirs.z && ours.w == theirs.w;
        EXPECT_FALSE(same && ours.w > 0) << ImGui::GetStyleColorName(i) << " was left as it comes";
    }
}

TEST_P(Themes, TextIsReadableOnEveryGround) {
    const ImVec4 panel = theme.panel;
    const std::pair<const char*, ImVec4> texts[] = {
        {"text", theme.text},   {"text_dim", theme.text_dim}, {"good", theme.good},       {"warning", theme.warning},
        {"error", theme.error}, {"accent", theme.accent},     {"english", theme.english}, {"chinese", theme.chinese}};
    const std::pair<const char*, ImVec4> grounds[] = {{"panel", panel},
                                                      {"background", theme.background},
                                                      {"popup", over(panel, color(ImGuiCol_PopupBg))},
                                                      {"menu bar", over(panel, color(ImGuiCol_MenuBarBg))},
                                                      {"field", over(panel, color(ImGuiCol_FrameBg))},
                                                      {"button", over(panel, color(ImGuiCol_Button))},
                                                      {"hovered button", over(panel, color(ImGuiCol_ButtonHovered))},
                                                      {"chosen row", over(panel, color(ImGuiCol_Header))},
                                                      {"hovered row", over(panel, color(ImGuiCol_HeaderHovered))},
                                                      {"pressed row", over(panel, color(ImGuiCol_HeaderActive))},
                                                      {"checked box", over(panel, color(ImGuiCol_CheckboxSelectedBg))},
                                                      {"tab", over(panel, color(ImGuiCol_Tab))},
                                                      {"table head", over(panel, color(ImGuiCol_TableHeaderBg))},
                                                      {"table row", over(panel, color(ImGuiCol_TableRowBgAlt))}};
    for (const auto& [name, text] : texts) {
        for (const auto& [where, ground] : grounds) {
            EXPECT_GE(contrast(text, ground), 4.5) << name << " on " << where;
        }
    }
    // Pressed buttons and chosen labels carry plain text only; so does selected text in a field.
    EXPECT_GE(contrast(theme.text, over(panel, color(ImGuiCol_ButtonActive))), 4.5);
    EXPECT_GE(contrast(theme.text, over(over(panel, color(ImGuiCol_FrameBg)), color(ImGuiCol_TextSelectedBg))), 4.5);
    EXPECT_GE(contrast(color(ImGuiCol_CheckMark), over(panel, color(ImGuiCol_CheckboxSelectedBg))), 3.0);
}

TEST_P(Themes, WordsOnTheirOwnTintAreReadable) {
    for (const ImVec4& tone : {theme.text_dim, theme.accent, theme.good, theme.warning, theme.error}) {
        for (const ImVec4& ground : {theme.panel, theme.background, over(theme.panel, color(ImGuiCol_PopupBg))}) {
            EXPECT_GE(contrast(tone, tint(ground, tone, 0.14f)), 4.5);        // badges
            EXPECT_GE(contrast(theme.text, tint(ground, tone, 0.15f)), 4.5);  // banners
        }
    }
    // The strongest tint of an unlikely token, and a full cell of the probe table.
    EXPECT_GE(contrast(theme.text, tint(theme.panel, theme.accent, 0.55f * 0.95f)), 4.5);
    EXPECT_GE(contrast(theme.text, tint(theme.panel, theme.accent, 0.42f)), 4.5);
}

TEST_P(Themes, LinesOfPlotsStandOut) {
    const ImVec4 plot = over(theme.panel, ImPlot::GetStyle().Colors[ImPlotCol_PlotBg]);
    for (const ImVec4& line : theme.series) {
        EXPECT_GE(contrast(line, plot), 3.0);
    }
    for (const ImVec4& line : {theme.accent, theme.english, theme.chinese, theme.warning}) {
        EXPECT_GE(contrast(line, plot), 3.0);
    }
    EXPECT_GE(contrast(over(plot, ImPlot::GetStyle().Colors[ImPlotCol_AxisText]), theme.panel), 4.5);
}

TEST_P(Themes, NumbersOnMapsAreReadable) {
    for (int i = 0; i <= 256; ++i) {
        const double t = i / 256.0;
        for (const ImU32 ground : {theme.load_color(t), theme.difference_color(2 * t - 1)}) {
            const ImVec4 ink = ImGui::ColorConvertU32ToFloat4(moescope::ui::ink_on(ground));
            EXPECT_GE(contrast(ink, ImGui::ColorConvertU32ToFloat4(ground)), 4.5) << t;
        }
    }
}

TEST_P(Themes, WhatIsAboveZeroIsBlueInEveryView) {
    const auto is_blue = [](ImU32 packed) {
        const ImVec4 color = ImGui::ColorConvertU32ToFloat4(packed);
        return color.z > color.x;
    };
    const moescope::panels::MapColors map =
        moescope::panels::map_colors(theme, {.low = -1, .high = 1, .diverging = true});
    const auto load = [&](double value) {
        return moescope::panels::load_color(theme, {value, 0, true}, moescope::panels::LoadMode::difference, 1, 1, 0);
    };
    EXPECT_TRUE(is_blue(map(1)) && is_blue(load(1)));
    EXPECT_FALSE(is_blue(map(-1)) || is_blue(load(-1)));
    EXPECT_EQ(map(1), load(1));
    EXPECT_EQ(map(-1), load(-1));
}

TEST_P(Themes, PicturesOnWhiteHaveColoursThatShow) {
    std::vector<ImVec4> colours(theme.series.begin(), theme.series.end());
    colours.insert(colours.end(), {theme.accent, theme.english, theme.chinese, theme.good, theme.warning, theme.error,
                                   theme.text, theme.text_dim});
    for (const ImVec4& colour : colours) {
        EXPECT_GE(contrast(moescope::ui::on_paper(colour), {1, 1, 1, 1}), 3.0);
        const ImVec4 drawn = ImGui::ColorConvertU32ToFloat4(moescope::ui::packed(colour));
        EXPECT_GE(contrast(moescope::ui::on_paper(drawn), {1, 1, 1, 1}), 3.0) << "as a draw list has it";
    }
}

TEST(Contrast, IsThatOfTheStandard) {
    EXPECT_NEAR(contrast({0, 0, 0, 1}, {1, 1, 1, 1}), 21, 1e-9);
    EXPECT_NEAR(contrast({1, 1, 1, 1}, {1, 1, 1, 1}), 1, 1e-9);
    EXPECT_NEAR(contrast({119 / 255.0f, 119 / 255.0f, 119 / 255.0f, 1}, {1, 1, 1, 1}), 4.48, 0.01);  // #777 on white
}

INSTANTIATE_TEST_SUITE_P(DarkAndLight, Themes, testing::Bool(),
                         [](const auto& which) { return which.param ? "Dark" : "Light"; });

}  // namespace
