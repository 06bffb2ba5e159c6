// The window goes from session to session and shows each as a window does that never saw another one: twelve random
// switches with all panels open, after each of them every letter on the screen. Sessions that are left stay open in
// their tabs, or are closed; who comes back to a tab finds it as it was left, and nothing of the others in it.
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <imgui_internal.h>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>
#include <set>
#include <signal.h>
#include <unistd.h>

#include "app/platform.hpp"
#include "app/workbench.hpp"
#include "nodes/history/journal_reader.hpp"
#include "panels/panels.hpp"
#include "tests/files.hpp"
#include "tests/gui/screen_text.hpp"
#include "tests/gui/written_session.hpp"
#include "tests/paths.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;

constexpr int kWidth = 4080, kHeight = 1800;
constexpr int kFramesAtRest = 8;

/// Where each panel floats: all are seen at once, none hides another.
constexpr struct {
    const char* key;
    int x, y, width, height;
} kPlaces[] = {
    {"training", 0, 40, 660, 370},    {"expert_load", 660, 40, 660, 370},  {"runs", 1320, 40, 340, 370},
    {"knobs", 1660, 40, 340, 560},    {"compare", 0, 410, 660, 750},       {"probe", 660, 410, 660, 750},
    {"log", 1320, 410, 340, 370},     {"models", 1320, 780, 340, 380},     {"nodes", 1660, 600, 340, 300},
    {"manual", 1660, 900, 340, 260},  {"routing", 2000, 40, 700, 560},     {"change", 2000, 600, 700, 560},
    {"expert", 0, 1160, 660, 600},    {"structure", 660, 1160, 660, 600},  {"routing_diff", 1320, 1160, 680, 600},
    {"overlay", 2700, 40, 680, 1120}, {"placement", 2000, 1160, 690, 600}, {"ranks", 2690, 1160, 690, 600},
    {"timeline", 0, 1760, 3400, 40},  // a strip, which stands below all by itself
    {"notes", 3400, 40, 680, 500}};

/// What it says differs from start to start (ages, process numbers, memory, what the node has told so far): there only
/// words of other sessions are looked for.
bool is_about_the_machine(const std::string& window) {
    return window.rfind("panel.", 0) != 0 || window == "panel.nodes" || window == "panel.log";
}

std::string without_numbers(const std::string& text) {
    static const std::regex number("[0-9][0-9.,:]*( ?[kMGT]?B)?");
    return std::regex_replace(text, number, "#");
}

/// The words of a window in the order in which they stand there.
using Screen = std::map<std::string, std::vector<std::string>>;

/// The program with all panels side by side, drawn off screen; the test is its mouse and keyboard.
class Window {
 public:
    Window(const fs::path& settings, const fs::path& session) {
        app::PlatformOptions window;
        window.headless = true;
        window.width = kWidth;
        window.height = kHeight;
        platform_ = std::make_unique<app::Platform>(window);
        app::WorkbenchOptions options;
        options.session = session;
        options.node_program = fs::path(test::binary_folder()) / "moescope-node";
        options.assets = fs::path(test::binary_folder()) / "assets";
        options.settings_folder = settings;
        options.language = "en";
        options.native_dialogs = false;
        workbench_ = std::make_unique<app::Workbench>(*platform_, std::move(options));
        add_hook(ImGuiContextHookType_NewFramePre,
                 [](ImGuiContext*, ImGuiContextHook* own) { static_cast<Window*>(own->UserData)->give_input(); });
        // What is read are the triangles. Their pixels are drawn as a thumbnail: a software renderer needs its time.
        add_hook(ImGuiContextHookType_RenderPost, [](ImGuiContext*, ImGuiContextHook*) {
            ImGui::GetDrawData()->FramebufferScale = {0.02f, 0.02f};
        });
    }
    ~Window() {
        for (const ImGuiID hook : hooks_) {
            ImGui::RemoveContextHook(ImGui::GetCurrentContext(), hook);
        }
    }
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;

    app::Workbench& workbench() { return *workbench_; }
    const client::Snapshot& snapshot() const { return workbench_->snapshot(); }

    void frames(int n) {
        for (int i = 0; i < n; ++i) {
            usleep(5000);
            workbench_->frame();
        }
    }
    bool wait(double seconds, const std::function<bool()>& holds) {
        const double end = client::now_seconds() + seconds;
        while (!holds()) {
            if (client::now_seconds() > end) {
                return false;
            }
            frames(1);
        }
        return true;
    }

    void move_mouse(ImVec2 to) {
        mouse_ = to;
        frames(2);
    }
    void click(ImVec2 at) {
        move_mouse(at);
        pressed_ = true;
        frames(1);
        pressed_ = false;
        frames(2);
    }
    /// On the first line of the window that holds these words; false when there is none.
    bool click(const std::string& window, const std::string& words) {
        for (const ScreenLine& line : screen_lines()) {
            if (line.window == window && line.text.find(words) != std::string::npos) {
                click(line.middle());
                return true;
            }
        }
        return false;
    }
    void type(const std::string& text) {
        typed_ = text;
        frames(2);
    }

    /// All of a session of so many runs is there, and nothing on the screen changes any more.
    Screen settled_screen(std::size_t runs) {
        mouse_ = {-FLT_MAX, -FLT_MAX};
        const auto complete = [&] {
            const client::Snapshot& now = snapshot();
            const auto has_rates = [](const auto& run) { return !run.second->statistics.is_null(); };
            return now.link.state == client::Link::State::connected && now.node.cores > 0 && !now.models.empty() &&
                   !now.catalogue->is_null() &&
                   now.training.size() + now.generations.size() + now.probes.size() + now.routes.size() == runs &&
                   std::all_of(now.probes.begin(), now.probes.end(), has_rates) && now.tasks.empty();
        };
        if (!wait(30, complete)) {
            ADD_FAILURE() << "the session did not come: " << snapshot().link.message.english();
        }
        // Where a list was scrolled to is the window's, not the session's.
        for (ImGuiWindow* window : ImGui::GetCurrentContext()->Windows) {
            ImGui::SetScrollX(window, 0);
            ImGui::SetScrollY(window, 0);
        }
        frames(2);
        Screen screen = read();
        int same = 0;
        std::string moved;
        for (const double end = client::now_seconds() + 30; same < kFramesAtRest && client::now_seconds() < end;) {
            frames(1);
            Screen next = read();
            moved = first_difference(screen, next);
            same = moved.empty() && !is_reading(next) ? same + 1 : 0;
            screen = std::move(next);
        }
        EXPECT_EQ(same, kFramesAtRest) << "the screen does not come to rest; last in " << moved;
        return screen;
    }

    static std::string first_difference(const Screen& one, const Screen& other) {
        for (const auto& [window, lines] : other) {
            const auto before = one.find(window);
            if (before == one.end() || before->second != lines) {
                return window;
            }
        }
        return one.size() == other.size() ? "" : "a window that has gone";
    }
    /// Figures of a trace are computed on a thread of their own, which may not have had a turn in many frames.
    static bool is_reading(const Screen& screen) {
        return std::any_of(screen.begin(), screen.end(), [](const auto& window) {
            return std::any_of(window.second.begin(), window.second.end(), [](const std::string& line) {
                return squeezed(line).find(squeezed("reading the trace")) != std::string::npos;
            });
        });
    }

    static Screen read() {
        Screen screen;
        for (const ScreenLine& line : screen_lines()) {
            if (line.window == "panel.runs" && screen.count(line.window) == 0 &&
                line.text.find("New run") == std::string::npos) {
                continue;  // the tabs
            }
            screen[line.window].push_back(is_about_the_machine(line.window) ? without_numbers(line.text) : line.text);
        }
        for (auto& [window, lines] : screen) {
            if (is_about_the_machine(window)) {
                std::sort(lines.begin(), lines.end());
                lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
            }
        }
        return screen;
    }

 private:
    void add_hook(ImGuiContextHookType type, ImGuiContextHookCallback callback) {
        ImGuiContextHook hook;
        hook.Type = type;
        hook.UserData = this;
        hook.Callback = callback;
        hooks_.push_back(ImGui::AddContextHook(ImGui::GetCurrentContext(), &hook));
    }

    void give_input() {
        ImGuiIO& io = ImGui::GetIO();
        io.ClearEventsQueue();
        io.AddMousePosEvent(mouse_.x, mouse_.y);
        io.AddMouseButtonEvent(ImGuiMouseButton_Left, pressed_);
        io.AddInputCharactersUTF8(typed_.c_str());
        typed_.clear();
    }

    std::unique_ptr<app::Platform> platform_;
    std::unique_ptr<app::Workbench> workbench_;
    std::vector<ImGuiID> hooks_;
    ImVec2 mouse_{-FLT_MAX, -FLT_MAX};
    bool pressed_ = false;
    std::string typed_;
};

class SessionWalk : public testing::Test {
 protected:
    struct Known {
        fs::path folder;
        std::string root;
        std::size_t runs = 0;
        std::string kinds;
        Screen screen;           ///< of a window that has seen no other session
        std::uint64_t tab = 0;   ///< OpenSession::id while it is open; 0: it is not
        ui::Selection selected;  ///< when it was left
    };

    void SetUp() override { write_settings(); }

    fs::path settings() const { return folder_ / "settings"; }

    void write_settings() const {
        std::string ini;
        nlohmann::json panels = nlohmann::json::array();
        std::set<std::string> missing;
        for (const ui::PanelDescription& panel : panels::all_panels()) {
            missing.insert(panel.key);
        }
        for (const auto& place : kPlaces) {
            ini += fmt::format("[Window][###panel.{}]\nPos={},{}\nSize={},{}\nCollapsed=0\n\n", place.key, place.x,
                               place.y, place.width, place.height);
            panels.push_back(place.key);
            missing.erase(place.key);
        }
        ASSERT_TRUE(missing.empty()) << "a panel has no place in this test: " << *missing.begin();
        fs::create_directories(settings());
        std::ofstream(settings() / "settings.json")
            << nlohmann::json{{"welcome_done", true},
                              {"text_scale", 0.6},
                              {"layout", "training"},
                              {"layouts", {{"training", {{"ini", ini}, {"panels", panels}}}}}};
    }

    void write_sessions(std::uint64_t seed) {
        const auto add = [&](const char* root, const char* kinds) {
            Known known;
            known.folder = folder_ / fmt::format("session-{}", sessions_.size() + 1);  // a tab shows its name
            known.root = root;
            known.kinds = kinds;
            for (const char kind : known.kinds) {
                known.runs += kind == 'A' ? 2 : kind == 'B' ? 3 : kind == 'C' ? 0 : 1;
            }
            WrittenSession(known.folder, root, seed + sessions_.size()).write(kinds);
            sessions_.push_back(std::move(known));
        };
        // Two of a kind: the same run numbers, kinds and sizes. A third in which each number is something else.
        add("Zuva", "TATARPTBAPRCC");
        add("Kemo", "TATARPTBAPRCC");
        add("Hirq", "PBATRPTA");
        Known empty;
        empty.folder = folder_ / "empty";
        sessions_.push_back(empty);
    }

    void check_against_journal(const Known& known) const;
    void check_no_foreign_word(const Known& known, const Screen& screen) const;
    void stroll(Window& window, std::mt19937_64& random, const Known& known) const;
    void close_others(Window& window, const Known& front);

    const test::TemporaryFolder folder_;
    std::vector<Known> sessions_;
};

std::string all_text(const std::string& window, const std::string& part = "") {
    std::string text;
    for (const ScreenLine& line : screen_lines()) {
        if (line.window == window && line.part.find(part) != std::string::npos) {
            text += squeezed(line.text);
        }
    }
    return text;
}

/// The texts of the answers' columns from left to right.
std::vector<std::string> columns_on_screen() {
    std::map<std::string, std::pair<float, std::string>> columns;
    for (const ScreenLine& line : screen_lines()) {
        if (line.window == "panel.compare" && line.part.find("###answer") != std::string::npos) {
            auto& [left, text] = columns.try_emplace(line.part, line.min.x, "").first->second;
            left = std::min(left, line.min.x);
            text += squeezed(line.text);
        }
    }
    std::map<float, std::string> by_place;
    for (auto& [part, column] : columns) {
        by_place[column.first] = column.second;
    }
    std::vector<std::string> texts;
    for (auto& [left, text] : by_place) {
        texts.push_back(std::move(text));
    }
    return texts;
}

/// Of two long lists of lines, for people.
std::string first_difference(const std::vector<std::string>& now, const std::vector<std::string>& alone) {
    const auto [one, other] = std::mismatch(now.begin(), now.end(), alone.begin(), alone.end());
    return fmt::format("line {} is \"{}\" and was \"{}\" in a window alone", one - now.begin(),
                       one == now.end() ? "" : *one, other == alone.end() ? "" : *other);
}

/// What the files of the session say is what the panels show: the newest run of each kind.
void SessionWalk::check_against_journal(const Known& known) const {
    const auto journal = sessions::Journal::open(known.folder, sessions::Journal::Mode::read_only);
    const history::Session history = history::read_session(*journal);
    const auto shows = [](const std::string& window, const std::string& text) {
        return testing::AssertionResult(all_text(window).find(squeezed(text)) != std::string::npos)
               << window << " does not show \"" << text << "\" but\n"
               << all_text(window);
    };
    if (!history.trainings().empty()) {
        const history::TrainingRun& run = history.trainings().rbegin()->second.value;
        const auto last = static_cast<std::uint64_t>(run.step.back());
        EXPECT_TRUE(shows("panel.training", run.name));
        EXPECT_TRUE(shows("panel.training", fmt::format("step {} / {}", last, last)));
        EXPECT_TRUE(shows("panel.knobs", run.samples.back().text));
        for (const auto& [id, training] : history.trainings()) {
            EXPECT_TRUE(shows("panel.runs", training.value.name));
        }
    }
    if (!history.answers().empty()) {
        const std::string group = history.answers().rbegin()->second.value.group;
        std::vector<std::string> expected;
        for (const auto& [id, answer] : history.answers()) {
            if (answer.value.group != group) {
                continue;
            }
            expected.push_back(squeezed(answer.value.text));
            EXPECT_TRUE(shows("panel.compare", answer.value.model));
            EXPECT_TRUE(shows("panel.compare", answer.value.manifest.at("prompt")));
            EXPECT_TRUE(shows("panel.compare",
                              fmt::format("{} tokens · prompt {} · seed {}", answer.value.tokens.size(),
                                          answer.value.prompt_tokens, answer.value.manifest.at("seed").get<int>())));
        }
        EXPECT_EQ(columns_on_screen(), expected);
    } else {
        EXPECT_TRUE(columns_on_screen().empty());
    }
    if (!history.probes().empty()) {
        const history::ProbeRun& run = history.probes().rbegin()->second.value;
        EXPECT_TRUE(shows("panel.probe", fmt::format("{} of {} answers", run.draws.size(), run.planned)));
        for (const std::string& model : run.models) {
            EXPECT_TRUE(shows("panel.probe", model));
        }
        const bool one_of_its_answers = std::any_of(run.draws.begin(), run.draws.end(), [&](const auto& draw) {
            return all_text("panel.probe").find(squeezed(draw->answer.substr(0, 40))) != std::string::npos;
        });
        EXPECT_TRUE(one_of_its_answers) << all_text("panel.probe");
    }
    if (!history.routing().empty()) {
        const history::RunRouting& routing = history.routing().rbegin()->second.value;
        const auto chunk = routing.trace->chunk(0, routing::kTokens);
        ASSERT_NE(chunk, nullptr);
        EXPECT_TRUE(shows("panel.routing", history.routes().rbegin()->second.value.model));
        EXPECT_TRUE(shows("panel.routing", std::string(chunk->piece_of(0)) + std::string(chunk->piece_of(1))));
    }
    EXPECT_TRUE(shows("panel.nodes", known.folder.filename().string()));
}

void SessionWalk::check_no_foreign_word(const Known& known, const Screen& screen) const {
    for (const Known& other : sessions_) {
        if (other.root.empty() || other.root == known.root) {
            continue;
        }
        for (const auto& [window, lines] : screen) {
            for (const std::string& line : lines) {
                EXPECT_EQ(line.find(other.root), std::string::npos)
                    << window << " shows \"" << line << "\" of another session";
            }
        }
    }
}

/// What a person may have done before they go to another session: selections, other views, half typed text, open forms
/// and lists, commands without an answer.
void SessionWalk::stroll(Window& window, std::mt19937_64& random, const Known& known) const {
    app::Workbench& workbench = window.workbench();
    const auto any = [&](const auto& runs) {
        return std::next(runs.begin(), static_cast<int>(random() % runs.size()));
    };
    for (int i = 0; i < 4 && known.runs > 0; ++i) {
        switch (random() % 10) {
            case 0: {
                workbench.selection().training_run = any(window.snapshot().training)->first;
                workbench.selection().pinned_step = 1 + random() % 40;
                workbench.selection().layer = static_cast<int>(random() % 2);
                workbench.selection().expert = static_cast<int>(random() % 8);
                break;
            }
            case 1:
                workbench.selection().generation = any(window.snapshot().generations)->first;
                break;
            case 2:
                workbench.selection().probe_run = any(window.snapshot().probes)->first;
                break;
            case 3:
                EXPECT_TRUE(window.click("panel.compare", "Difference"));
                break;
            case 4:
                EXPECT_TRUE(window.click("panel.compare", "Probab"));
                break;
            case 5:  // and the field keeps the keyboard
                EXPECT_TRUE(window.click("panel.compare", known.root));
                window.type(known.root + "typed");
                break;
            case 6:
                workbench.command("runs.new");
                break;
            case 7:
                window.move_mouse({330, 200});  // over the loss
                break;
            case 8:
                workbench.selection().routing_run = any(window.snapshot().routing)->first;
                workbench.selection().routing_token = static_cast<std::int64_t>(random() % 60);
                workbench.selection().layer = 1 + static_cast<int>(random() % 4);
                EXPECT_TRUE(workbench.command("routing.copy_link"));
                EXPECT_TRUE(workbench.command("change.name=" + known.root + "set"));
                break;
            default:
                window.click("panel.probe", "%");
        }
        window.frames(3);
    }
}

void SessionWalk::close_others(Window& window, const Known& front) {
    for (Known& known : sessions_) {
        if (&known != &front && known.tab != 0) {
            window.workbench().close_session(known.tab);
            window.frames(2);
            known.tab = 0;
        }
    }
    EXPECT_EQ(window.workbench().sessions().size(), 1u);
}

TEST_F(SessionWalk, EachSessionLooksAsIfItWereTheOnlyOne) {
    std::uint64_t seed = std::random_device()();
    if (const char* given = std::getenv("MOESCOPE_TEST_SEED")) {
        seed = std::strtoull(given, nullptr, 10);
    }
    std::printf("seed %llu (MOESCOPE_TEST_SEED repeats it)\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    SCOPED_TRACE(fmt::format("MOESCOPE_TEST_SEED={}", seed));
    std::mt19937_64 random(seed);
    write_sessions(seed);
    for (Known& known : sessions_) {
        SCOPED_TRACE("alone: " + known.folder.filename().string());
        Window window(settings(), known.folder);
        known.screen = window.settled_screen(known.runs);
        check_against_journal(known);
        check_no_foreign_word(known, known.screen);
    }
    std::size_t at = random() % sessions_.size();
    Window window(settings(), sessions_[at].folder);
    window.settled_screen(sessions_[at].runs);
    sessions_[at].tab = window.workbench().sessions().front()->id;
    constexpr std::size_t kTurns = 12;
    const std::size_t stopped = random() % kTurns;
    std::size_t returns = 0;
    for (std::size_t turn = 0; turn < kTurns && !HasFailure(); ++turn) {
        stroll(window, random, sessions_[at]);
        if (turn == stopped) {
            // A node that answers nothing any more: what is asked of it stays without an answer.
            kill(window.workbench().client().node_process(), SIGSTOP);
            window.workbench().command("compare.run");
            window.workbench().command("run.start");
            window.frames(3);
        }
        const std::size_t next = (at + 1 + random() % (sessions_.size() - 1)) % sessions_.size();
        SCOPED_TRACE(fmt::format("switch {}: {} to {}", turn + 1, sessions_[at].folder.filename().string(),
                                 sessions_[next].folder.filename().string()));
        sessions_[at].selected = window.workbench().selection();
        at = next;
        Known& known = sessions_[at];
        const bool again = known.tab != 0;
        window.workbench().open_session(known.folder);
        ASSERT_TRUE(window.wait(10, [&] { return window.workbench().session() == known.folder; }));
        check_no_foreign_word(known, Window::read());  // from the first frame on
        const app::OpenSessions& open = window.workbench().sessions();
        EXPECT_EQ(open.size(),
                  static_cast<std::size_t>(std::count_if(sessions_.begin(), sessions_.end(), [&](const Known& one) {
                      return one.tab != 0 || &one == &known;
                  })));
        if (again) {
            ++returns;
            const ui::Selection& now = window.workbench().selection();
            EXPECT_EQ(now.training_run, known.selected.training_run);
            EXPECT_EQ(now.routing_run, known.selected.routing_run);
            EXPECT_EQ(now.probe_run, known.selected.probe_run);
            EXPECT_EQ(now.layer, known.selected.layer);
        } else {
            known.tab = open.back()->id;
        }
        const bool alone = turn == stopped || random() % 3 == 0;
        if (alone) {
            close_others(window, known);
        }
        const Screen screen = window.settled_screen(known.runs);
        check_no_foreign_word(known, screen);
        if (again) {
            continue;  // it shows what was selected there
        }
        check_against_journal(known);
        if (!alone) {
            continue;  // forms offer a choice of session, too
        }
        for (const auto& [panel, lines] : known.screen) {
            if (!is_about_the_machine(panel)) {
                const auto found = screen.find(panel);
                const auto now = found == screen.end() ? std::vector<std::string>() : found->second;
                EXPECT_EQ(now, lines) << panel << ": " << first_difference(now, lines);
            }
        }
        for (const auto& [name, lines] : screen) {
            EXPECT_TRUE(known.screen.count(name) != 0) << "a window too many: " << name;
        }
    }
    std::printf("%zu returns to a tab\n", returns);
}

}  // namespace
}  // namespace moescope::gui_test
