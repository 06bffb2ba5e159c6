// Somebody types faster than frames are drawn: the loop of the window takes all of it in at once.
#include <gtest/gtest.h>
#include <imgui_internal.h>

#include "app/platform.hpp"
#include "app/workbench.hpp"
#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace {

using namespace moescope;
namespace fs = std::filesystem;

struct Folder {
    const moescope::test::TemporaryFolder temporary;
    const fs::path& path = temporary.path();
};

app::WorkbenchOptions options(const fs::path& folder) {
    app::WorkbenchOptions o;
    o.session = folder / "session";
    o.node_program = fs::path(test::binary_folder()) / "moescope-node";
    o.assets = fs::path(test::binary_folder()) / "assets";
    o.language = "en";
    o.native_dialogs = false;
    return o;
}

/// As the back end gives them, all before the next frame.
void press(ImGuiKey key, bool with_ctrl) {
    ImGuiIO& io = ImGui::GetIO();
    if (with_ctrl) {
        io.AddKeyEvent(ImGuiMod_Ctrl, true);
        io.AddKeyEvent(ImGuiKey_LeftCtrl, true);
    } else {
        io.AddKeyEvent(key, true);
        io.AddInputCharacter(static_cast<unsigned>('a' + (key - ImGuiKey_A)));
        io.AddKeyEvent(key, false);
        return;
    }
    io.AddKeyEvent(key, true);
    io.AddKeyEvent(ImGuiMod_Ctrl, false);
    io.AddKeyEvent(ImGuiKey_LeftCtrl, false);
    io.AddKeyEvent(key, false);
}

/// The window has nothing to do: no frame for half a second.
void settle(app::Workbench& workbench) {
    const double end = client::now_seconds() + 40;
    std::uint64_t frames = 0;
    int still = 0;
    while (still < 5 && client::now_seconds() < end) {
        workbench.turn(0.1);
        const bool connected = workbench.snapshot().link.state == client::Link::State::connected;
        still = connected && frames == workbench.frame_times().frames() ? still + 1 : 0;
        frames = workbench.frame_times().frames();
    }
}

TEST(Typing, AnIdleWindowTakesAChordAndFifteenLettersAtOnce) {
    const Folder folder;
    app::PlatformOptions window;
    window.headless = true;
    window.width = 1280;
    window.height = 720;
    app::Platform platform(window);
    app::Workbench workbench(platform, options(folder.path));
    workbench.command("help.welcome");  // away with the page
    settle(workbench);

    press(ImGuiKey_P, true);
    workbench.turn(0);
    EXPECT_EQ(ImGui::GetCurrentContext()->InputEventsQueue.Size, 0);
    for (int i = 0; i < 4; ++i) {
        workbench.turn(0);
    }
    ASSERT_FALSE(workbench.floating().shown.empty());  // the palette
    settle(workbench);

    const std::uint64_t before = workbench.frame_times().frames();
    for (int i = 0; i < 15; ++i) {
        press(static_cast<ImGuiKey>(ImGuiKey_A + i), false);
    }
    workbench.turn(0);
    EXPECT_EQ(ImGui::GetCurrentContext()->InputEventsQueue.Size, 0);
    EXPECT_LE(workbench.frame_times().frames() - before, 18u);
    const ImGuiInputTextState& field = ImGui::GetCurrentContext()->InputTextState;
    ASSERT_EQ(field.ID, ImGui::GetCurrentContext()->ActiveId);
    EXPECT_EQ(std::string(field.TextSrc, static_cast<std::size_t>(field.TextLen)), "abcdefghijklmno");

    // Idle again: nothing is drawn that nobody asked for.
    settle(workbench);
    const std::uint64_t idle = workbench.frame_times().frames();
    for (int i = 0; i < 5; ++i) {
        workbench.turn(0.1);
    }
    EXPECT_LE(workbench.frame_times().frames() - idle, 2u);
}

}  // namespace
