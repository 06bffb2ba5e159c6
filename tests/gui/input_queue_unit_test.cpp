// Key strokes that come faster than frames: all letters, every chord, and no more frames than letters.
#include <gtest/gtest.h>
#include <imgui.h>
#include <imgui_stdlib.h>
#include <string>

#include "app/input_queue.hpp"

namespace {

using moescope::app::InputQueue;

/// Dear ImGui without a window: one field that has the keyboard, and two shortcuts.
class Frames {
 public:
    Frames() {
        ImGui::CreateContext();
        ImGuiIO& io = ImGui::GetIO();
        io.IniFilename = nullptr;
        io.DisplaySize = {400, 300};
        io.DeltaTime = 1.0f / 60;
        io.BackendFlags |= ImGuiBackendFlags_RendererHasTextures;
        for (int i = 0; i < 4; ++i) {
            frame();
        }
    }
    ~Frames() {
        for (ImTextureData* texture : ImGui::GetPlatformIO().Textures) {
            texture->SetStatus(ImTextureStatus_Destroyed);
        }
        ImGui::DestroyContext();
    }
    Frames(const Frames&) = delete;
    Frames& operator=(const Frames&) = delete;

    void frame() {
        queue_.before_frame();
        ImGui::NewFrame();
        queue_.after_frame();
        palette += ImGui::Shortcut(ImGuiMod_Ctrl | ImGuiKey_P, ImGuiInputFlags_RouteGlobal) ? 1 : 0;
        whole += ImGui::Shortcut(ImGuiMod_Ctrl | ImGuiKey_A, ImGuiInputFlags_RouteGlobal) ? 1 : 0;
        ImGui::Begin("window");
        if (ImGui::GetFrameCount() == 2) {
            ImGui::SetKeyboardFocusHere();
        }
        ImGui::InputText("field", &text);
        ImGui::End();
        ImGui::Render();
        for (ImTextureData* texture : ImGui::GetPlatformIO().Textures) {
            texture->SetStatus(ImTextureStatus_OK);
        }
        ++count;
    }
    /// Frames until nothing waits; how many.
    int drain() {
        count = 0;
        do {
            frame();
        } while (queue_.waiting());
        return count;
    }

    std::string text;
    int palette = 0, whole = 0, count = 0;

 private:
    InputQueue queue_;
};

void key(ImGuiKey which, bool down) {
    ImGui::GetIO().AddKeyEvent(which, down);
}

void chord(ImGuiKey which, bool modifier_first) {
    ImGuiIO& io = ImGui::GetIO();
    io.AddKeyEvent(ImGuiMod_Ctrl, true);
    key(ImGuiKey_LeftCtrl, true);
    key(which, true);
    if (!modifier_first) {
        key(which, false);
    }
    io.AddKeyEvent(ImGuiMod_Ctrl, false);
    key(ImGuiKey_LeftCtrl, false);
    if (modifier_first) {
        key(which, false);
    }
}

TEST(InputQueue, FifteenLettersInOneGo) {
    Frames frames;
    for (int i = 0; i < 15; ++i) {
        const auto letter = static_cast<ImGuiKey>(ImGuiKey_A + i);
        key(letter, true);
        ImGui::GetIO().AddInputCharacter(static_cast<unsigned>('a' + i));
        key(letter, false);
    }
    EXPECT_LE(frames.drain(), 16);
    EXPECT_EQ(frames.text, "abcdefghijklmno");
}

TEST(InputQueue, AChordCountsWhicheverKeyGoesUpFirst) {
    for (const bool modifier_first : {false, true}) {
        Frames frames;
        chord(ImGuiKey_P, modifier_first);
        frames.drain();
        EXPECT_EQ(frames.palette, 1) << modifier_first;
        EXPECT_EQ(frames.text, "");
    }
}

/// A letter, and the modifier of the next chord before the letter is up: fast typing rolls over.
TEST(InputQueue, ALetterBeforeAModifierIsNoChord) {
    Frames frames;
    key(ImGuiKey_A, true);
    ImGui::GetIO().AddInputCharacter('a');
    chord(ImGuiKey_P, true);
    key(ImGuiKey_A, false);
    frames.drain();
    EXPECT_EQ(frames.whole, 0);
    EXPECT_EQ(frames.palette, 1);
    EXPECT_EQ(frames.text, "a");
}

}  // namespace
