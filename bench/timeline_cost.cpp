// What the timeline costs the window: a session is opened without a display in the layout of training, and rounds with
// and without the strip take turns in one run while the position moves over the steps. Prints the time that a frame
// takes to build (NewFrame to Render).
//   timeline_cost MOESCOPE_NODE ASSETS SESSION [FRAMES] [ROUNDS]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "app/platform.hpp"
#include "app/workbench.hpp"
#include "base/scratch_folder.hpp"

namespace {

using namespace moescope;

struct Measured {
    double mean = 0, p95 = 0;  ///< ms, best of the rounds
};

void measure(app::Platform& platform, app::Workbench& workbench, int frames, Measured& best) {
    const auto& run = *workbench.snapshot().training.rbegin()->second;
    const auto frame = [&](int i) {
        const auto at = static_cast<std::size_t>(i) % run.step.size();
        workbench.selection().pinned_step = static_cast<std::uint64_t>(run.step[at]);
        platform.wait(0.001);
        workbench.frame();
    };
    for (int i = 0; i < 20; ++i) {
        frame(i);
    }
    workbench.frame_times().reset();
    for (int i = 0; i < frames; ++i) {
        frame(i);
    }
    const app::FrameTimes::Summary times = workbench.frame_times().summary();
    best.mean = best.mean == 0 ? times.mean : std::min(best.mean, times.mean);
    best.p95 = best.p95 == 0 ? times.p95 : std::min(best.p95, times.p95);
}

int run(const char* node, const char* assets, const char* session, int frames, int rounds) {
    const base::ScratchFolder scratch;
    app::PlatformOptions window;
    window.headless = true;
    window.width = 1920;
    window.height = 1080;
    app::Platform platform(window);
    app::WorkbenchOptions options;
    options.session = session;
    options.node_program = node;
    options.assets = assets;
    options.settings_folder = scratch.path() / "settings";
    options.language = "en";
    options.native_dialogs = false;
    app::Workbench workbench(platform, std::move(options));
    if (workbench.welcome_visible()) {
        workbench.command("help.welcome");
    }
    workbench.set_layout("training");
    const double end = client::now_seconds() + 60;
    while (workbench.snapshot().training.empty() || workbench.snapshot().training.rbegin()->second->step.size() < 2) {
        if (client::now_seconds() > end) {
            throw std::runtime_error("the session has no training with two steps");
        }
        platform.wait(0.01);
        workbench.frame();
    }
    Measured with, without;
    for (int round = 0; round < rounds; ++round) {
        workbench.show_panel("timeline", true);
        measure(platform, workbench, frames, with);
        workbench.show_panel("timeline", false);
        measure(platform, workbench, frames, without);
    }
    std::printf("%zu steps, %d rounds of %d frames, 1920x1080\n",
                workbench.snapshot().training.rbegin()->second->step.size(), rounds, frames);
    std::printf("with the timeline     mean %.3f ms   95 %% %.3f ms\n", with.mean, with.p95);
    std::printf("without the timeline  mean %.3f ms   95 %% %.3f ms\n", without.mean, without.p95);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: timeline_cost MOESCOPE_NODE ASSETS SESSION [FRAMES] [ROUNDS]\n");
        return 2;
    }
    try {
        return run(argv[1], argv[2], argv[3], argc > 4 ? std::max(10, std::atoi(argv[4])) : 600,
                   argc > 5 ? std::max(1, std::atoi(argv[5])) : 3);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
