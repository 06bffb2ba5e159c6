// Settings survive damage, files are written whole, PNG files decode to the same pixels.
#include "app/settings.hpp"

#include <atomic>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <sstream>

#include "app/background.hpp"
#include "panels/ui/png.hpp"
#include "tests/files.hpp"
#include "tests/gui/png_reader.hpp"

namespace {

using namespace moescope::app;
namespace fs = std::filesystem;

struct Folder {
    const moescope::test::TemporaryFolder temporary;
    const fs::path& path = temporary.path();
};

Settings sample() {
    Settings s;
    s.language = "zh";
    s.dark = false;
    s.text_scale = 1.25f;
    s.width = 1280;
    s.height = 720;
    s.welcome_done = true;
    s.layout = "probe";
    s.layouts["probe"] = {"[Window][x]\nPos=1,2\n", {"probe", "log"}};
    s.folders = {.last = {{"save", "/home/a/pictures"}}, .recent = {"/home/a/pictures", "/tmp"}};
    s.sessions = {{"/home/a/evening", 1'764'000'000, 3, {4.5f, 3.25f, 3}, "\u674eLW"}, {"/home/a/empty", 0, 0, {}, ""}};
    return s;
}

TEST(Settings, RoundTrip) {
    const Folder folder;
    const fs::path file = folder.path / "deep" / "settings.json";
    ASSERT_TRUE(write_file(file, settings_text(sample())).empty());
    const Settings again = load_settings(file);
    EXPECT_EQ(settings_text(again), settings_text(sample()));
    EXPECT_EQ(again.layouts.at("probe").panels.size(), 2u);
    ASSERT_EQ(again.sessions.size(), 2u);
    EXPECT_EQ(again.sessions[0].coder, sample().sessions[0].coder);
    EXPECT_EQ(again.sessions[0].curve, sample().sessions[0].curve);
}

TEST(Settings, DamagedAndStrangeFilesGiveDefaults) {
    const Folder folder;
    const fs::path file = folder.path / "settings.json";
    const std::string good = settings_text(sample());
    for (std::size_t cut = 0; cut < good.rfind('}'); cut += 7) {
        std::ofstream(file) << good.substr(0, cut);
        EXPECT_EQ(load_settings(file).width, Settings{}.width);
    }
    std::ofstream(file)
        << R"({"width": "wide", "height": 1e9, "text_scale": 900, "language": "xx", "layouts": {"a": 3}, "dark": 7,
             "folders": {"save": 3}, "recent_folders": "x",
             "sessions": [7, {"folder": "relative"}, {"folder": "/a", "seen": "x", "runs": -1, "curve": ["x", 1]}]})";
    const Settings strange = load_settings(file);
    EXPECT_EQ(strange.width, Settings{}.width);
    EXPECT_LE(strange.height, 8000);
    EXPECT_LE(strange.text_scale, 2.5f);
    EXPECT_EQ(strange.language, "");
    EXPECT_TRUE(strange.layouts.empty());
    EXPECT_TRUE(strange.folders.last.empty());
    EXPECT_TRUE(strange.folders.recent.empty());
    EXPECT_TRUE(strange.dark);
    ASSERT_EQ(strange.sessions.size(), 1u);
    EXPECT_EQ(strange.sessions[0].curve, std::vector<float>{1});
    EXPECT_EQ(load_settings(folder.path / "none.json").width, Settings{}.width);
}

TEST(Sessions, WhatIsOpenedAsOne) {
    const Folder folder;
    const auto holds = [&](const char* name, std::initializer_list<const char*> files,
                           std::initializer_list<const char*> folders) {
        fs::create_directories(folder.path / name);
        for (const char* file : files) {
            std::ofstream(folder.path / name / file) << "{}";
        }
        for (const char* inner : folders) {
            fs::create_directories(folder.path / name / inner);
        }
        return holds_session(folder.path / name);
    };
    EXPECT_TRUE(holds("whole", {"manifest.json", "session.db"}, {"segments", "checkpoints"}));
    EXPECT_TRUE(holds("begun", {"manifest.json"}, {}));
    EXPECT_TRUE(holds("without a manifest", {}, {"segments"}));
    EXPECT_TRUE(holds("labels alone", {"session.db"}, {}));
    EXPECT_FALSE(holds("empty", {}, {}));
    EXPECT_FALSE(holds("model", {"config.json", "manifest.json", "model.safetensors"}, {}));
    EXPECT_FALSE(holds("texts", {"segments"}, {}));  // a file of that name
    EXPECT_FALSE(holds_session(folder.path / "nowhere"));
}

TEST(Settings, ADamagedFileIsKept) {
    const Folder folder;
    const fs::path file = folder.path / "settings.json", first = file.string() + ".damaged-1";
    for (const std::string& good : {std::string("{}"), settings_text(sample())}) {
        std::ofstream(file) << good;
        EXPECT_EQ(set_damaged_settings_aside(file).english(), "");
        EXPECT_TRUE(fs::exists(file));
    }
    fs::remove(file);
    EXPECT_EQ(set_damaged_settings_aside(file).english(), "") << "nothing is there";
    std::ofstream(first) << "an earlier one";
    std::ofstream(file) << "{\"width\": 1200, \"lay";
    const std::string told = set_damaged_settings_aside(file).english();
    EXPECT_NE(told.find(file.string() + ".damaged-2"), std::string::npos) << told;
    EXPECT_FALSE(fs::exists(file));
    EXPECT_EQ(moescope::test::read_text(first), "an earlier one");
    EXPECT_EQ(moescope::test::read_text(file.string() + ".damaged-2"), "{\"width\": 1200, \"lay");
}

/// A session in which nothing was run has no checkpoints, and not even a folder for them.
TEST(Sessions, AnUntouchedOneIsUsedAgain) {
    const Folder folder;
    const char* was = std::getenv("XDG_DATA_HOME");
    const std::string before = was != nullptr ? was : "";
    setenv("XDG_DATA_HOME", folder.path.c_str(), 1);
    const fs::path first = new_session_folder();
    EXPECT_EQ(first.parent_path(), folder.path / "moescope" / "sessions");
    fs::create_directories(first / "segments");
    std::ofstream(first / "segments" / "seg-000001.wbj") << R"({"level":"info","text":"node started"})";
    EXPECT_EQ(new_session_folder(), first);
    fs::create_directories(first / "checkpoints");
    EXPECT_EQ(new_session_folder(), first);
    std::ofstream(first / "segments" / "seg-000002.wbj") << R"({"run":1,"kind":"train","manifest":{}})";
    EXPECT_NE(new_session_folder(), first);
    if (was != nullptr) {
        setenv("XDG_DATA_HOME", before.c_str(), 1);
    } else {
        unsetenv("XDG_DATA_HOME");
    }
}

TEST(WriteFile, SaysWhichFileFailedAndLeavesNothingBehind) {
    const Folder folder;
    std::ofstream(folder.path / "file") << "x";
    const std::string problem = write_file(folder.path / "file" / "below", "y").english();
    EXPECT_NE(problem.find("below"), std::string::npos);
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()), 1);
}

TEST(Background, JobsInOrderCompletionsOnTheCaller) {
    std::vector<int> order;
    std::atomic<int> wakes = 0;
    Background background([&] { ++wakes; });
    for (int i = 0; i < 50; ++i) {
        background.post([&order, i]() -> Background::Completion { return [&order, i] { order.push_back(i); }; });
    }
    while (order.size() < 50) {
        background.finish();
        std::this_thread::yield();
    }
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
    }
    EXPECT_EQ(wakes, 50);
}

TEST(Png, SamePixels) {
    std::mt19937 random(7);
    for (const auto& [width, height] : {std::pair{1, 1}, std::pair{3, 5}, std::pair{64, 33}}) {
        std::vector<unsigned char> rgba(static_cast<std::size_t>(width * height) * 4);
        std::string expected;
        for (std::size_t i = 0; i < rgba.size(); ++i) {
            rgba[i] = static_cast<unsigned char>(random());
            if (i % 4 != 3) {
                expected += static_cast<char>(rgba[i]);
            }
        }
        const auto picture = moescope::gui_test::read_png(moescope::ui::encode_png(rgba.data(), width, height));
        ASSERT_TRUE(picture);
        EXPECT_EQ(picture->width, width);
        EXPECT_EQ(picture->height, height);
        EXPECT_EQ(picture->rgb, expected);
    }
    EXPECT_EQ(moescope::ui::encode_png(nullptr, 1, 1), "");
}

}  // namespace
