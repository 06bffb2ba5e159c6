#include "tests/gui/harness.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "tests/kernels/gpu/places.hpp"
#include "tests/paths.hpp"

namespace moescope::gui_test {

// The table of test files.
void register_shell(Harness& harness);
void register_panels(Harness& harness);
void register_across(Harness& harness);
void register_answers(Harness& harness);
void register_overlay(Harness& harness);
void register_placement(Harness& harness);
void register_ranks(Harness& harness);
void register_timeline(Harness& harness);
void register_structure(Harness& harness);
void register_merge(Harness& harness);
void register_tabs(Harness& harness);
void register_routing(Harness& harness);
void register_servers(Harness& harness);
void register_export(Harness& harness);
void register_curves(Harness& harness);
void register_notes(Harness& harness);
void register_undo(Harness& harness);
void register_reproduce(Harness& harness);
void register_window(Harness& harness);
void register_whole_text(Harness& harness);
void register_unopened(Harness& harness);
void register_crash(Harness& harness);  // last: it kills the node

namespace {

using history::RunState;

constexpr int kWidth = 1280, kHeight = 720;

app::WorkbenchOptions options(const std::filesystem::path& folder) {
    app::WorkbenchOptions o;
    o.session = folder / "session";
    o.node_program = std::filesystem::path(moescope::test::binary_folder()) / "moescope-node";
    o.assets = std::filesystem::path(moescope::test::binary_folder()) / "assets";
    o.settings_folder = folder / "settings";
    o.language = "en";
    o.native_dialogs = false;
    return o;
}

}  // namespace

Harness::Harness(std::filesystem::path folder) : folder_(std::move(folder)) {
    app::PlatformOptions window;
    window.headless = true;
    window.width = kWidth;
    window.height = kHeight;
    platform_ = std::make_unique<app::Platform>(window);
    workbench_ = std::make_unique<app::Workbench>(*platform_, options(folder_));
    ImGui::GetIO().ConfigDebugHighlightIdConflicts = true;
    engine_ = ImGuiTestEngine_CreateContext();
    ImGuiTestEngineIO& io = ImGuiTestEngine_GetIO(engine_);
    io.ConfigRunSpeed = ImGuiTestRunSpeed_Fast;
    io.ConfigNoThrottle = true;
    io.ConfigVerboseLevel = ImGuiTestVerboseLevel_Warning;
    io.ConfigVerboseLevelOnError = ImGuiTestVerboseLevel_Info;
    io.ConfigLogToTTY = true;
    io.ConfigWatchdogWarning = 200;
    io.ConfigWatchdogKillTest = 280;
    ImGuiTestEngine_Start(engine_, ImGui::GetCurrentContext());
    register_shell(*this);
    register_panels(*this);
    register_across(*this);
    register_answers(*this);
    register_overlay(*this);
    register_placement(*this);
    register_ranks(*this);
    register_timeline(*this);
    register_structure(*this);
    register_routing(*this);
    register_servers(*this);
    register_export(*this);
    register_curves(*this);
    register_notes(*this);
    register_undo(*this);
    register_reproduce(*this);
    register_window(*this);
    register_whole_text(*this);
    register_unopened(*this);
    register_merge(*this);
    register_tabs(*this);
    register_crash(*this);
}

Harness::~Harness() {
    ImGuiTestEngine_Stop(engine_);
    workbench_.reset();
    platform_.reset();  // ImGui's context must go before the engine
    ImGuiTestEngine_DestroyContext(engine_);
}

int Harness::run(const char* filter) {
    ImGuiTestEngine_QueueTests(engine_, ImGuiTestGroup_Tests, filter);
    while (!ImGuiTestEngine_IsTestQueueEmpty(engine_)) {
        platform_->wait(0.002);
        workbench_->frame();
        ImGuiTestEngine_PostSwap(engine_);
        if (std::exchange(screen_wanted_, false)) {
            screen_ = screen_lines();
        }
        if (!picture_.empty()) {
            const std::filesystem::path file = picture_ + ".png";
            workbench_->save_screenshot(
                file.is_absolute() ? file : std::filesystem::path(moescope::test::binary_folder()) / file);
            workbench_->flush_background();
            picture_.clear();
        }
    }
    ImGuiTestEngineResultSummary summary;
    ImGuiTestEngine_GetResultSummary(engine_, &summary);
    ImVector<ImGuiTest*> tests;
    ImGuiTestEngine_GetTestList(engine_, &tests);
    for (const ImGuiTest* test : tests) {
        if (test->Output.Status == ImGuiTestStatus_Error) {
            std::printf("FAILED: %s/%s\n", test->Category.c_str(), test->Name.c_str());
        }
    }
    std::printf("%d of %d GUI tests passed\n", summary.CountSuccess, summary.CountTested);
    return summary.CountTested == 0 ? 1 : summary.CountTested - summary.CountSuccess;
}

void Harness::add(const char* category, const char* name, std::function<void(ImGuiTestContext*)> body) {
    ImGuiTest* test = ImGuiTestEngine_RegisterTest(engine_, category, name);
    test->TestFunc = std::move(body);
}

bool Harness::wait(ImGuiTestContext* ctx, double seconds, const std::function<bool()>& condition) {
    const double end = client::now_seconds() + seconds;
    while (!condition()) {
        if (ctx->IsError()) {
            return false;
        }
        if (client::now_seconds() > end) {
            ctx->LogError("after %.0f s the condition does not hold", seconds);
            for (const app::Notice& notice : workbench_->notices().list()) {
                ctx->LogError("the window said: %s", notice.text.english().c_str());
            }
            picture_ = std::string("gui-failure-") + ctx->Test->Category.c_str();
            ctx->Yield(3);
            return false;
        }
        ctx->Yield();
    }
    ctx->Yield(2);
    return true;
}

std::vector<ScreenLine> Harness::screen(ImGuiTestContext* ctx) {
    screen_wanted_ = true;
    for (int i = 0; i < 4 && screen_wanted_; ++i) {
        ctx->Yield();
    }
    ctx->Yield();
    return screen_;
}

void Harness::take_picture(ImGuiTestContext* ctx, const std::string& path) {
    picture_ = path;
    ctx->Yield(2);
}

void Harness::settle(ImGuiTestContext* ctx) {
    wait(ctx, 40, [this] { return snapshot().link.state == client::Link::State::connected; });
    if (workbench_->welcome_visible()) {
        workbench_->command("help.welcome");
    }
    workbench_->set_language("en");
    // A test that failed may have left another window, a question or a form.
    for (const char* button : {"//###leaving/###leaving.stay", "//###runs.form/###runs.cancel"}) {
        if (ctx->ItemExists(button)) {
            ctx->ItemClick(button);
        }
    }
    if (workbench_->settings().text_scale != 1) {
        workbench_->set_text_scale(1);
    }
    if (int width = 0, height = 0; platform_->size(width, height), width != kWidth || height != kHeight) {
        platform_->set_size(kWidth, kHeight);
    }
    if (workbench_->settings().layout != "training") {
        workbench_->set_layout("training");
    }
    ctx->Yield(4);
}

bool Harness::open_session(ImGuiTestContext* ctx, const std::filesystem::path& folder,
                           const std::function<bool()>& there) {
    settle(ctx);
    const auto alive = [](const auto& run) {
        return run.second->state == RunState::running || run.second->state == RunState::paused;
    };
    for (const auto& run : snapshot().training) {
        if (alive(run)) {
            workbench_->client().send("train.stop", {{"run", run.first}});
        }
    }
    // Whoever leaves what still works is asked first.
    const auto quiet = [&] {
        const auto none = [&](const auto& runs) { return std::none_of(runs.begin(), runs.end(), alive); };
        const client::Snapshot& now = snapshot();
        return none(now.training) && none(now.probes) && none(now.routes);
    };
    if (!wait(ctx, 60, quiet)) {
        return false;
    }
    workbench_->open_session(folder);
    return wait(ctx, 60,
                [&] {
                    const client::Snapshot& now = snapshot();
                    return now.link.state == client::Link::State::connected && now.node.session == folder.string() &&
                           !now.models.empty() && !now.catalogue->is_null() && there();
                }) &&
           close_others(ctx);
}

bool Harness::close_others(ImGuiTestContext* ctx) {
    const app::OpenSessions open = workbench_->sessions();
    const std::filesystem::path front = workbench_->session();
    for (const auto& session : open) {
        if (session->folder != front) {
            workbench_->close_session(session->id);
            ctx->Yield(2);
        }
    }
    return wait(ctx, 20, [&] { return workbench_->sessions().size() == 1; });
}

const history::TrainingRun& Harness::ensure_training(ImGuiTestContext* ctx) {
    settle(ctx);
    const auto running = [this] {
        return !snapshot().training.empty() && training().state == RunState::running && !training().step.empty();
    };
    if (snapshot().training.empty() ||
        (training().state != RunState::running && training().state != RunState::paused)) {
        workbench_->command("run.start");
    } else if (training().state == RunState::paused) {
        workbench_->command("run.pause");
    }
    wait(ctx, 120, running);
    return training();
}

bool Harness::has_models() const {
    int found = 0;
    for (const client::ModelEntry& model : snapshot().models) {
        if (model.available && (model.name == "qwen2.5-coder-0.5b" || model.name == "smollm2-135m")) {
            ++found;
        }
    }
    return found == 2;
}

}  // namespace moescope::gui_test

int main(int argc, char** argv) {
    char folder[] = "/tmp/moescope-gui-XXXXXX";
    if (mkdtemp(folder) == nullptr) {
        std::fprintf(stderr, "cannot create a folder in /tmp\n");
        return 1;
    }
    // The same devices on every machine: the emulated GPU and one that can't be used.
    setenv("MOESCOPE_CUDA_PLUGIN", moescope::test::gpu_plugin().c_str(), 1);
    setenv("MOESCOPE_CUDA_DRIVER", moescope::test::gpu_driver().c_str(), 1);
    int failed = 1;
    try {
        moescope::gui_test::Harness harness(folder);
        failed = harness.run(argc > 1 ? argv[1] : nullptr);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "gui_tests: %s\n", error.what());
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
    return failed == 0 ? 0 : 1;
}
