// moescope: the workbench. Reads the command line, opens the window, runs it.
#include <CLI/CLI.hpp>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>

#include "app/platform.hpp"
#include "app/settings.hpp"
#include "app/tour.hpp"
#include "app/workbench.hpp"
#include "base/installation.hpp"
#include "panels/ui/png.hpp"
#include "sessions/outputs.hpp"

namespace {

namespace fs = std::filesystem;
using namespace moescope::app;

struct Arguments {
    std::string session, node, node_program, language, tour, size, screenshot;
    std::vector<std::string> commands;
    float scale = 0;
    bool headless = false, force = false;
    TourOptions tour_options;
};

bool has_display() {
    const char* display = std::getenv("DISPLAY");
    return display != nullptr && *display != '\0';
}

/// "1280x720"; throws on anything else.
void parse_size(const std::string& text, int& width, int& height) {
    int used = 0;
    if (std::sscanf(text.c_str(), "%dx%d%n", &width, &height, &used) != 2 ||
        static_cast<std::size_t>(used) != text.size() || width < 640 || height < 400 || width > 8192 || height > 8192) {
        throw std::runtime_error("--size wants WIDTHxHEIGHT in pixels between 640x400 and 8192x8192, not \"" + text +
                                 "\"");
    }
}

WorkbenchOptions workbench_options(const Arguments& arguments) {
    WorkbenchOptions options;
    options.node_program = arguments.node_program.empty()
                               ? moescope::base::own_program().parent_path() / "moescope-node"
                               : fs::path(arguments.node_program);
    options.assets = moescope::base::own_assets();
    options.language = arguments.language;
    options.scale = arguments.scale;
    const bool scripted = !arguments.tour.empty() || !arguments.screenshot.empty();
    options.native_dialogs = !scripted && !arguments.headless;
    if (!scripted) {
        options.settings_folder = settings_folder();
    }
    if (!arguments.node.empty()) {
        if (const auto problem = moescope::client::node_address_problem(arguments.node); !problem.empty()) {
            throw moescope::base::Error(problem);
        }
        options.node = arguments.node;
        return options;
    }
    options.session = !arguments.session.empty() ? fs::absolute(arguments.session)
                      : !arguments.tour.empty()  ? fs::absolute(arguments.tour) / "session"
                                                 : new_session_folder();
    return options;
}

void draw_frames(Workbench& workbench, Platform& platform, int n) {
    for (int i = 0; i < n; ++i) {
        platform.wait(0.02);
        workbench.frame();
    }
}

/// Frames until the node is there (at most 20 s), then the commands one after the other.
void run_commands(Workbench& workbench, Platform& platform, const std::vector<std::string>& commands) {
    const double start = moescope::client::now_seconds();
    while (workbench.snapshot().link.state != moescope::client::Link::State::connected &&
           moescope::client::now_seconds() - start < 20) {
        draw_frames(workbench, platform, 1);
    }
    draw_frames(workbench, platform, 5);
    for (const std::string& key : commands) {
        if (!workbench.command(key)) {
            throw std::runtime_error("there is no command \"" + key + "\", or it is not available now");
        }
        draw_frames(workbench, platform, 5);
    }
}

/// One picture after the commands. Nobody waits for this window: the file is written here and now.
void take_screenshot(Workbench& workbench, Platform& platform, const std::vector<std::string>& commands,
                     moescope::sessions::OutputFile& file) {
    run_commands(workbench, platform, commands);
    draw_frames(workbench, platform, 20);
    const Image image = platform.read_pixels();
    file.fill(moescope::ui::encode_png(image.rgba.data(), image.width, image.height));
    file.commit();
}

int run(const Arguments& arguments) {
    const WorkbenchOptions options = workbench_options(arguments);
    const Settings saved =
        options.settings_folder.empty() ? Settings{} : load_settings(options.settings_folder / "settings.json");
    PlatformOptions window;
    window.headless = arguments.headless || (!arguments.tour.empty() && !has_display());
    window.width = saved.width;
    window.height = saved.height;
    if (!arguments.tour.empty()) {
        window.width = 1280;
        window.height = 720;
    }
    if (!arguments.size.empty()) {
        parse_size(arguments.size, window.width, window.height);
        window.fit = false;  // as it was asked for
    }
    if (!window.headless && !has_display()) {
        throw std::runtime_error(
            "there is no display (DISPLAY is not set); start moescope on a desktop, or use --tour DIR, which needs "
            "none");
    }
    std::optional<moescope::sessions::OutputFile> picture;  // where it can't be written is said before the work
    if (!arguments.screenshot.empty()) {
        picture.emplace(arguments.screenshot, moescope::sessions::existing_files(arguments.force, "--force"));
    }
    if (window.headless) {
        std::fprintf(stderr, "moescope: no display, drawing off screen\n");
    }
    Platform platform(window);
    Workbench workbench(platform, options);
    if (!arguments.tour.empty()) {
        return run_tour(workbench, platform, arguments.tour_options, fs::absolute(arguments.tour));
    }
    if (picture) {
        take_screenshot(workbench, platform, arguments.commands, *picture);
        return 0;
    }
    if (!arguments.commands.empty()) {
        run_commands(workbench, platform, arguments.commands);
    }
    workbench.run();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    moescope::base::take_own_name();
    std::setlocale(LC_CTYPE, "");  // typed Chinese arrives through the C library's character type
    Arguments arguments;
    CLI::App cli{"Moescope: watch and steer Mixture-of-Experts models", "moescope"};
    cli.add_option("session", arguments.session, "session folder to open; a new one when left out");
    cli.add_option("--node", arguments.node,
                   "node on another machine: ssh://[user@]host[:port], tls://host:port, or an invitation");
    cli.add_option("--node-program", arguments.node_program, "moescope-node to start (beside this program)");
    cli.add_option("--language", arguments.language, "en or zh (that of the system)")
        ->check(CLI::IsMember({"en", "zh"}));
    cli.add_option("--tour", arguments.tour,
                   "go through the whole program by itself; screenshots and a report go into this folder");
    cli.add_option("--tour-steps", arguments.tour_options.steps, "training steps the tour waits for")
        ->check(CLI::Range(20, 100000));
    cli.add_option("--size", arguments.size, "window size, WIDTHxHEIGHT in pixels");
    cli.add_option("--scale", arguments.scale, "text size, 1 is 16 pixels")->check(CLI::Range(0.6, 2.5));
    auto* screenshot =
        cli.add_option("--screenshot", arguments.screenshot, "save one picture of the window as PNG and leave");
    cli.add_flag("--force", arguments.force, "replace the picture when it is there")->needs(screenshot);
    cli.add_option(
           "--command", arguments.commands,
           "command to run as soon as the node is there, by its key (run.start, view.layout_compare); repeatable")
        ->allow_extra_args(false);
    cli.add_flag("--headless", arguments.headless, "draw off screen, without a display");
    cli.set_version_flag("--version", MOESCOPE_VERSION);
    try {
        cli.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return cli.exit(error) == 0 ? 0 : 2;
    }
    try {
        return run(arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "moescope: %s\n", error.what());
        return 1;
    }
}
