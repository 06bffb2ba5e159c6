// Runs GUI tests on the real program: the real Workbench without a display, the real node, Dear ImGui's test engine
// clicking and typing. A file of tests defines `void register_<name>(Harness&)` and adds one line to harness.cpp's
// table.
#pragma once

#include <filesystem>
#include <functional>
#include <imgui.h>
#include <imgui_te_context.h>
#include <imgui_te_engine.h>
#include <memory>
#include <string>
#include <vector>

#include "app/platform.hpp"
#include "app/workbench.hpp"
#include "tests/gui/screen_text.hpp"

namespace moescope::gui_test {

class Harness {
 public:
    explicit Harness(std::filesystem::path folder);  ///< a scratch folder: session and settings
    ~Harness();
    /// Runs all tests whose name contains `filter`; the number that failed.
    int run(const char* filter);

    app::Workbench& workbench() { return *workbench_; }
    app::Platform& platform() { return *platform_; }
    ImGuiTestEngine* engine() { return engine_; }
    const std::filesystem::path& folder() const { return folder_; }
    const client::Snapshot& snapshot() const { return workbench_->snapshot(); }

    /// Adds a test. The name says what a person does and sees.
    void add(const char* category, const char* name, std::function<void(ImGuiTestContext*)> body);
    /// Inside a test: lets frames pass until the condition holds; after `seconds` of real time the test fails.
    bool wait(ImGuiTestContext* ctx, double seconds, const std::function<bool()>& condition);
    /// Inside a test: every letter of the next frame.
    std::vector<ScreenLine> screen(ImGuiTestContext* ctx);
    /// Inside a test: saves what is on the screen as `path`.png.
    void take_picture(ImGuiTestContext* ctx, const std::string& path);
    /// Connected, welcome page closed, English, training layout, letters and window of the usual size.
    void settle(ImGuiTestContext* ctx);
    /// Ends what works, opens the session, waits until it is there, with its models and what else is `there`, and
    /// closes all others.
    bool open_session(
        ImGuiTestContext* ctx, const std::filesystem::path& folder,
        const std::function<bool()>& there = [] { return true; });
    /// Inside a test: closes all sessions but the one in front; nothing may work in them.
    bool close_others(ImGuiTestContext* ctx);
    /// A training run in the state "running" with at least one step, started through the program's command when there
    /// is none.
    const history::TrainingRun& ensure_training(ImGuiTestContext* ctx);
    const history::TrainingRun& training() const { return *snapshot().training.rbegin()->second; }
    /// Whether the library has the two models of the default comparison (they may be left out with --no-models).
    bool has_models() const;

 private:
    std::filesystem::path folder_;
    std::string
        picture_;  ///< the main loop saves the next frame under this name: the graphics context belongs to its thread
    bool screen_wanted_ = false;  ///< the main loop reads it: inside a test the next frame has begun already
    std::vector<ScreenLine> screen_;
    std::unique_ptr<app::Platform> platform_;
    ImGuiTestEngine* engine_ = nullptr;
    std::unique_ptr<app::Workbench> workbench_;
};

}  // namespace moescope::gui_test
