// Tooltips stay within the window and show their whole text, at any size of window and letters, wherever the mouse is.
#include <gtest/gtest.h>
#include <imgui.h>
#include <imgui_internal.h>
#include <implot.h>
#include <string>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/theme.hpp"
#include "panels/ui/widgets.hpp"

namespace {

using moescope::ui::begin_tooltip;
using moescope::ui::text_wrapped;
using moescope::ui::tooltip;

/// Dear ImGui without a window of the system: one button that fills all of it.
class Tooltips : public testing::Test {
 protected:
    Tooltips() {
        ImGui::CreateContext();
        ImPlot::CreateContext();
        ImGuiIO& io = ImGui::GetIO();
        io.IniFilename = nullptr;
        io.DisplaySize = {900, 600};
        io.DeltaTime = 1.0f / 10;
        io.BackendFlags |= ImGuiBackendFlags_RendererHasTextures;
        moescope::ui::apply_theme(moescope::ui::make_theme(true), 2);
    }
    ~Tooltips() override {
        for (ImTextureData* texture : ImGui::GetPlatformIO().Textures) {
            texture->SetStatus(ImTextureStatus_Destroyed);
        }
        ImPlot::DestroyContext();
        ImGui::DestroyContext();
    }

    /// The tooltip that `draw` shows once the mouse has rested there.
    template <class Draw>
    const ImGuiWindow* shown_at(ImVec2 mouse, const Draw& draw) {
        ImGui::GetIO().AddMousePosEvent(mouse.x, mouse.y);
        for (int frame = 0; frame < 12; ++frame) {
            ImGui::NewFrame();
            ImGui::SetNextWindowPos({0, 0});
            ImGui::SetNextWindowSize(ImGui::GetIO().DisplaySize);
            ImGui::Begin("window", nullptr, ImGuiWindowFlags_NoDecoration);
            ImGui::SetCursorPos({0, 0});
            ImGui::Button("###all", ImGui::GetIO().DisplaySize);
            draw();
            ImGui::End();
            ImGui::Render();
            for (ImTextureData* texture : ImGui::GetPlatformIO().Textures) {
                texture->SetStatus(ImTextureStatus_OK);
            }
        }
        return ImGui::FindWindowByName("##Tooltip_00");
    }

    static void expect_inside(const ImGuiWindow* window) {
        ASSERT_NE(window, nullptr);
        ASSERT_TRUE(window->Active && !window->Hidden);
        const ImVec2 all = ImGui::GetIO().DisplaySize;
        EXPECT_GE(window->Pos.x, 0);
        EXPECT_GE(window->Pos.y, 0);
        EXPECT_LE(window->Pos.x + window->Size.x, all.x);
        EXPECT_LE(window->Pos.y + window->Size.y, all.y);
        // Nothing sticks out of the tooltip itself.
        EXPECT_LE(window->ContentSize.x + 2 * window->WindowPadding.x, window->Size.x + 1);
        EXPECT_LE(window->ContentSize.y + 2 * window->WindowPadding.y, window->Size.y + 1);
    }

    const ImVec2 places_[5] = {{450, 300}, {20, 20}, {880, 20}, {20, 580}, {880, 580}};
};

std::string words(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
        text += "expert ";
    }
    return text;
}

TEST_F(Tooltips, OfOneTextWrapWithinTheWindow) {
    for (const int count : {3, 30, 70}) {
        for (const ImVec2 mouse : places_) {
            SCOPED_TRACE(std::to_string(count) + " words at " + std::to_string(mouse.x));
            expect_inside(shown_at(mouse, [&] { tooltip(words(count)); }));
        }
    }
}

TEST_F(Tooltips, ThatAreTooLongForAnyPlaceEndWithAnEllipsis) {
    for (const ImVec2 mouse : places_) {
        expect_inside(shown_at(mouse, [] { tooltip(words(2000)); }));
    }
}

TEST_F(Tooltips, OfSeveralPiecesWrapWithinTheWindow) {
    for (const ImVec2 mouse : places_) {
        const ImGuiWindow* window = shown_at(mouse, [] {
            if (ImGui::IsItemHovered() && begin_tooltip()) {
                ImGui::TextUnformatted(words(40).c_str());
                text_wrapped(words(40), {}, 40 * ImGui::GetFontSize());
                ImGui::EndTooltip();
            }
        });
        expect_inside(window);
        EXPECT_GT(window->Size.x, 450);
    }
}

}  // namespace
