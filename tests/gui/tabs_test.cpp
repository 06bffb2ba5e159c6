// Several sessions open at once: tabs of the panel of runs, work that goes on behind, a choice of where new work goes,
// runs of one tab beside those of another, and a node on another machine among them.
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <memory>
#include <nlohmann/json.hpp>

#include "tests/gui/far_node.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/trained_model.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;
using client::Link;
using history::RunState;
using nlohmann::json;

std::string tab(std::uint64_t session, const char* part = "###tab") {
    return fmt::format("//###panel.runs/session{}/{}", session, part);
}

bool is_open(ImGuiTestContext* ctx, const char* window) {
    const ImGuiWindow* found = ctx->GetWindowByRef(window);
    return found != nullptr && found->Active;
}

std::string words(Harness& h, ImGuiTestContext* ctx, const std::string& window) {
    std::string text;
    for (const ScreenLine& line : h.screen(ctx)) {
        text += line.window == window ? squeezed(line.text) : "";
    }
    return text;
}

json small_config(Harness& h, int steps) {
    json config = preset_config(h, "workshop");
    config["model"].update({{"layers", 1}, {"width", 32}, {"experts", 4}, {"context", 16}, {"vocabulary", 1024}});
    config["train"].update({{"steps", steps}, {"batch", 1}});
    return config;
}

/// A second tab with that folder; its id, 0 when it did not come.
std::uint64_t open_beside(Harness& h, ImGuiTestContext* ctx, const fs::path& folder) {
    if (!fs::exists(folder)) {
        sessions::Session::open(folder, sessions::Journal::Mode::read_write);
    }
    h.workbench().open_session(folder);
    const bool there = h.wait(ctx, 60, [&] {
        const client::Snapshot& now = h.snapshot();
        return h.workbench().session() == folder && now.link.state == Link::State::connected &&
               now.node.session == folder.string() && !now.catalogue->is_null();
    });
    return there ? h.workbench().sessions().back()->id : 0;
}

bool comes_to_front(Harness& h, ImGuiTestContext* ctx, const fs::path& folder) {
    return h.wait(ctx, 10, [&] { return h.workbench().session() == folder; });
}

bool told(const app::Notices& notices, const std::string& part) {
    return std::any_of(notices.list().begin(), notices.list().end(), [&](const app::Notice& notice) {
        return notice.text.english().find(part) != std::string::npos;
    });
}

/// One trains behind while a person looks at the other, comes back, closes it and opens it again.
void two_sessions(Harness& h, ImGuiTestContext* ctx) {
    const fs::path first = h.workbench().session(), second = h.folder() / "evening";
    IM_CHECK(h.open_session(ctx, first));
    const std::uint64_t a = h.workbench().sessions().front()->id;
    const client::NodeClient* const client_a = &h.workbench().client();
    const std::uint64_t b = open_beside(h, ctx, second);
    IM_CHECK(b != 0 && b != a);
    IM_CHECK_EQ(h.workbench().sessions().size(), 2u);
    IM_CHECK(h.snapshot().training.empty());
    IM_CHECK_NE(words(h, ctx, "panel.runs").find("evening"), std::string::npos);
    h.workbench().client().send("train.start", {{"config", small_config(h, 4000)}, {"name", "behind-run"}});
    IM_CHECK(h.wait(ctx, 120, [&] {
        return !h.snapshot().training.empty() && h.training().state == RunState::running && !h.training().step.empty();
    }));
    const std::uint32_t run = h.training().id;
    h.workbench().selection().layer = 0;
    h.workbench().selection().expert = 2;

    // The other tab is there at once, on the connection that it had, with nothing of this one in it.
    const std::uint64_t epoch = h.workbench().sessions().front()->snapshot->link.epoch;
    ctx->ItemClick(tab(a).c_str());
    ctx->Yield(2);
    IM_CHECK_EQ(h.workbench().session(), first);
    IM_CHECK(&h.workbench().client() == client_a);
    IM_CHECK(h.snapshot().link.state == Link::State::connected && h.snapshot().link.epoch == epoch);
    IM_CHECK_EQ(h.workbench().selection().expert, -1);
    for (const char* panel : {"panel.runs", "panel.training", "panel.knobs"}) {
        IM_CHECK_EQ(words(h, ctx, panel).find("behind-run"), std::string::npos);
    }
    // The manual is the same in both.
    for (int i = 0; i < 2; ++i) {
        h.workbench().show_panel("manual");
        IM_CHECK(h.wait(ctx, 10, [&] {
            return words(h, ctx, "panel.manual").find(squeezed("Moescope is a workbench")) != std::string::npos;
        }));
        ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_Tab);
        ctx->Yield(3);
    }
    h.workbench().show_panel("training");
    IM_CHECK_EQ(h.workbench().session(), first);
    // It goes on behind, and its end is told here under its name.
    const auto behind = [&]() -> const history::TrainingRun& {
        return *h.workbench().sessions().back()->snapshot->training.at(run);
    };
    const std::size_t steps = behind().step.size();
    IM_CHECK(h.wait(ctx, 60, [&] { return behind().step.size() > steps; }));
    h.workbench().sessions().back()->client->send("train.stop", {{"run", run}});
    IM_CHECK(h.wait(ctx, 60, [&] { return told(h.workbench().notices(), "evening: behind-run: stopped"); }));

    // By keys, forth and back. What was selected there is still selected there.
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_Tab);
    IM_CHECK(comes_to_front(h, ctx, second));
    IM_CHECK_EQ(h.workbench().selection().expert, 2);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_Tab);
    IM_CHECK(comes_to_front(h, ctx, first));
    // What is open already comes to the front.
    h.workbench().open_session(second);
    IM_CHECK(comes_to_front(h, ctx, second));
    IM_CHECK_EQ(h.workbench().sessions().size(), 2u);

    // Closed by its cross: all that was kept of it is given back.
    const std::weak_ptr<const app::OpenSession> session = h.workbench().sessions().back();
    const std::weak_ptr<const client::Snapshot> snapshot = h.workbench().sessions().back()->snapshot;
    const std::weak_ptr<const history::TrainingRun> kept = h.workbench().sessions().back()->snapshot->training.at(run);
    ctx->ItemClick(tab(b, "###close").c_str());
    IM_CHECK(comes_to_front(h, ctx, first));
    IM_CHECK_EQ(h.workbench().sessions().size(), 1u);
    IM_CHECK(!ctx->ItemExists(tab(b).c_str()));
    IM_CHECK(session.expired());
    IM_CHECK(h.wait(ctx, 20, [&] { return snapshot.expired() && kept.expired(); }));
    // The only one stays.
    IM_CHECK(!h.workbench().command("file.close_session"));
    IM_CHECK(!ctx->ItemExists(tab(a, "###close").c_str()));
    // And it opens again with what was done in it.
    IM_CHECK(open_beside(h, ctx, second) > b);
    IM_CHECK(h.wait(ctx, 30, [&] { return h.snapshot().training.count(run) == 1; }));
    IM_CHECK(h.training().state == RunState::stopped);
    IM_CHECK(h.open_session(ctx, first));
}

/// What was closed is in the list of recent ones with what was done in it; what is gone says so and can be taken out.
void recent_sessions(Harness& h, ImGuiTestContext* ctx) {
    const fs::path first = h.workbench().session(), second = h.folder() / "yesterday", third = h.folder() / "lost";
    for (const fs::path& folder : {second, third}) {
        WrittenSession(folder, folder.filename().string(), 3).write("TTA");
        IM_CHECK(h.open_session(ctx, folder, [&] { return h.snapshot().training.size() == 2; }));
    }
    IM_CHECK(h.open_session(ctx, first));
    const auto& known = h.workbench().settings().sessions;
    const auto entry = [&](const fs::path& folder) {
        return std::find_if(known.begin(), known.end(),
                            [&](const app::KnownSession& one) { return one.folder == folder.string(); });
    };
    IM_CHECK(entry(second) != known.end() && entry(third) != known.end());
    IM_CHECK_EQ(entry(second)->runs, std::uint64_t{4});
    IM_CHECK_EQ(entry(second)->curve.size(), std::size_t{40});
    fs::rename(third, h.folder() / "elsewhere-now");
    h.workbench().command("file.open_recent");
    IM_CHECK(h.wait(ctx, 20, [&] {
        const std::string text = words(h, ctx, "recent.list");
        return text.find("yesterday") != std::string::npos && text.find("kB") != std::string::npos &&
               text.find(squeezed("Not there any more")) != std::string::npos;
    }));
    ctx->ItemClick("//###recent.list/**/###recent.forget");
    ctx->Yield(3);
    IM_CHECK(entry(third) == known.end());
    // The newest first: what was opened last is at the top.
    ctx->ItemClick("//###recent.list/**/###recent.0");
    IM_CHECK(comes_to_front(h, ctx, second));
    IM_CHECK(h.wait(ctx, 20, [&] { return h.snapshot().training.size() == 2; }));
    IM_CHECK(!is_open(ctx, "//###recent.list"));
    IM_CHECK(h.open_session(ctx, first));
    h.workbench().command("help.welcome");
    ctx->Yield(3);
    ctx->ItemClick("//###window.welcome/**/###recent.0");
    IM_CHECK(comes_to_front(h, ctx, second));
    IM_CHECK(!h.workbench().welcome_visible());
    IM_CHECK(h.open_session(ctx, first));
}

/// Whoever closes the window is asked once about the work of all.
void leaving_asks_once(Harness& h, ImGuiTestContext* ctx) {
    const fs::path first = h.workbench().session(), second = h.folder() / "evening";
    h.ensure_training(ctx);
    IM_CHECK(open_beside(h, ctx, second) != 0);
    h.workbench().client().send("train.start", {{"config", small_config(h, 4000)}, {"name", "second-run"}});
    IM_CHECK(h.wait(ctx, 120, [&] {
        return !h.snapshot().training.empty() && h.training().name == "second-run" &&
               h.training().state == RunState::running;
    }));
    const bool ended = h.workbench().ended();  // another test may have closed the window
    h.platform().set_should_close(true);
    h.workbench().take_close();
    ctx->Yield(3);
    IM_CHECK(is_open(ctx, "//###leaving"));
    const std::string question = words(h, ctx, "leaving");
    for (const std::string part : {"evening", "second-run", "session", "workshop"}) {
        IM_CHECK_NE(question.find(part), std::string::npos);
    }
    ctx->ItemClick("//###leaving/###leaving.stay");
    ctx->Yield(2);
    IM_CHECK(!is_open(ctx, "//###leaving") && h.workbench().ended() == ended);
    IM_CHECK(h.training().state == RunState::running);
    // The tab of one is asked about alone.
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_W);
    ctx->Yield(3);
    IM_CHECK(is_open(ctx, "//###leaving"));
    IM_CHECK_EQ(words(h, ctx, "leaving").find("workshop"), std::string::npos);
    ctx->ItemClick("//###leaving/###leaving.switch");
    IM_CHECK(h.wait(ctx, 120, [&] { return h.workbench().sessions().size() == 1; }));
    IM_CHECK_EQ(h.workbench().session(), first);
    IM_CHECK(h.training().state == RunState::running);
    IM_CHECK(h.open_session(ctx, second));
    IM_CHECK(h.wait(ctx, 20, [&] { return h.training().state == RunState::stopped; }));
    IM_CHECK(h.open_session(ctx, first));
}

/// A run, a comparison and a probe are put together here and go to the session that is chosen.
void work_goes_where_it_is_sent(Harness& h, ImGuiTestContext* ctx) {
    const fs::path first = h.workbench().session(), second = h.folder() / "elsewhere";
    IM_CHECK(h.open_session(ctx, first));
    const std::uint64_t a = h.workbench().sessions().front()->id;
    h.workbench().command("runs.new");
    ctx->Yield(3);
    IM_CHECK(!ctx->ItemExists("//###runs.form/###where"));  // there is nothing to choose
    ctx->ItemClick("//###runs.form/###runs.cancel");
    const std::uint64_t b = open_beside(h, ctx, second);
    IM_CHECK(b != 0);
    ctx->ItemClick(tab(a).c_str());
    IM_CHECK(comes_to_front(h, ctx, first));
    const std::size_t runs = h.snapshot().training.size();

    h.workbench().command("runs.new");
    ctx->Yield(3);
    ctx->ItemInput("//###runs.form/**/###runs.name");
    ctx->KeyCharsReplaceEnter("sent-away");
    ctx->ItemInput("//###runs.form/###runs.search");
    ctx->KeyCharsReplaceEnter("batch");
    ctx->Yield(3);
    ctx->ItemInput("//###runs.form/**/###runs.field.batch");
    ctx->KeyCharsReplaceEnter("3");
    ctx->Yield(3);
    ctx->ItemClick("//###runs.form/###where");
    ctx->Yield(2);
    ctx->ItemClick(fmt::format("//$FOCUSED/###session{}", b).c_str());
    IM_CHECK(comes_to_front(h, ctx, second));
    IM_CHECK(h.wait(ctx, 10, [&] { return is_open(ctx, "//###runs.form"); }));
    IM_CHECK(h.wait(ctx, 20, [&] { return ctx->ItemExists("//###runs.form/**/###runs.start"); }));
    ctx->Yield(10);
    ctx->ItemClick("//###runs.form/**/###runs.start");
    IM_CHECK(h.wait(ctx, 120, [&] { return !h.snapshot().training.empty(); }));
    IM_CHECK_EQ(h.training().name, std::string("sent-away"));
    IM_CHECK_EQ(h.training().manifest.at("config").at("train").at("batch"), json(3));
    h.workbench().client().send("train.stop", {{"run", h.training().id}});
    IM_CHECK(h.wait(ctx, 120, [&] { return protocol::ended(h.training().state); }));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_Tab);
    IM_CHECK(comes_to_front(h, ctx, first));
    IM_CHECK_EQ(h.snapshot().training.size(), runs);
    IM_CHECK(!is_open(ctx, "//###runs.form"));

    h.workbench().command("view.layout_compare");
    ctx->Yield(4);
    ctx->ItemClick("//###panel.compare/###compare.prompt");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyChars("What is asked elsewhere?");
    ctx->Yield(2);
    ctx->ItemClick("//###panel.compare/###where");
    ctx->Yield(2);
    ctx->ItemClick(fmt::format("//$FOCUSED/###session{}", b).c_str());
    IM_CHECK(comes_to_front(h, ctx, second));
    ctx->Yield(3);
    IM_CHECK_NE(words(h, ctx, "panel.compare").find(squeezed("What is asked elsewhere?")), std::string::npos);

    h.workbench().command("view.layout_probe");
    ctx->Yield(4);
    ctx->ItemInput("//###panel.probe/###probe.max_tokens");
    ctx->KeyCharsReplaceEnter("77");
    ctx->ItemClick("//###panel.probe/###where");
    ctx->Yield(2);
    ctx->ItemClick(fmt::format("//$FOCUSED/###session{}", a).c_str());
    IM_CHECK(comes_to_front(h, ctx, first));
    ctx->Yield(3);
    IM_CHECK_NE(words(h, ctx, "panel.probe").find("77"), std::string::npos);
    h.workbench().command("view.layout_training");
    IM_CHECK(h.open_session(ctx, first));
}

/// A run of one tab stands beside those of the other, under the name of its session.
void runs_beside(Harness& h, ImGuiTestContext* ctx) {
    const fs::path first = h.workbench().session(), left = h.folder() / "left", right = h.folder() / "right";
    WrittenSession(left, "Zuva", 1).write("T");
    WrittenSession(right, "Kemo", 2).write("TT");
    IM_CHECK(h.open_session(ctx, left, [&] { return h.snapshot().training.size() == 1; }));
    IM_CHECK(open_beside(h, ctx, right) != 0);
    IM_CHECK(h.wait(ctx, 20, [&] { return h.snapshot().training.size() == 2; }));
    const std::string name = h.training().name;
    const std::uint32_t run = h.training().id;
    ctx->ItemClick(fmt::format("//###panel.runs/**/###run{}", run).c_str(), ImGuiMouseButton_Right);
    ctx->Yield(3);
    ctx->ItemClick("//$FOCUSED/###runs.beside");
    ctx->Yield(3);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_Tab);
    IM_CHECK(comes_to_front(h, ctx, left));
    h.workbench().show_panel("overlay");
    ctx->Yield(6);
    const std::string label = h.workbench().text().format("overlay.of_session", {{"name", name}, {"session", "right"}});
    IM_CHECK(
        h.wait(ctx, 20, [&] { return words(h, ctx, "panel.overlay").find(squeezed(label)) != std::string::npos; }));
    // The other run of that session is in the list, and not on show.
    const std::string other = h.workbench().text().format(
        "overlay.of_session",
        {{"name", h.workbench().sessions().back()->snapshot->training.begin()->second->name}, {"session", "right"}});
    IM_CHECK_EQ(words(h, ctx, "panel.overlay").find(squeezed(other)), std::string::npos);
    // Its tab is closed, and it goes with it.
    h.workbench().close_session(h.workbench().sessions().back()->id);
    IM_CHECK(
        h.wait(ctx, 20, [&] { return words(h, ctx, "panel.overlay").find(squeezed(label)) == std::string::npos; }));
    h.workbench().show_panel("overlay", false);
    IM_CHECK(h.open_session(ctx, first));
}

/// A node that listens with TLS is one more tab; its work goes on when the tab is closed.
void far_node(Harness& h, ImGuiTestContext* ctx) {
    const fs::path first = h.workbench().session();
    IM_CHECK(h.open_session(ctx, first));
    const char* was = std::getenv("XDG_DATA_HOME");
    const std::string before = was != nullptr ? was : "";
    setenv("XDG_DATA_HOME", (h.folder() / "keys").c_str(), 1);  // of the window: its key is not the person's
    FarNode far(h.folder() / "far-machine");
    const auto is_there = [&] {
        return h.workbench().place() == far.address() && h.snapshot().link.state == Link::State::connected &&
               !h.snapshot().catalogue->is_null();
    };
    h.workbench().open_node(far.invitation());
    IM_CHECK(h.wait(ctx, 60, is_there));
    IM_CHECK_EQ(h.workbench().sessions().size(), 2u);
    IM_CHECK(h.workbench().session().empty());
    IM_CHECK_EQ(h.workbench().settings().nodes.front(), far.address());  // without the secret
    IM_CHECK_NE(words(h, ctx, "panel.runs").find("far"), std::string::npos);
    h.workbench().client().send("train.start", {{"config", small_config(h, 4000)}, {"name", "far-run"}});
    IM_CHECK(h.wait(ctx, 120, [&] { return !h.snapshot().training.empty() && h.training().step.size() > 1; }));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_Tab);
    IM_CHECK(comes_to_front(h, ctx, first));
    IM_CHECK_EQ(words(h, ctx, "panel.runs").find("far-run"), std::string::npos);
    // The same address once more brings its tab to the front.
    h.workbench().open_node(far.address());
    IM_CHECK(h.wait(ctx, 10, is_there));
    IM_CHECK_EQ(h.workbench().sessions().size(), 2u);
    const std::size_t steps = h.training().step.size();
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_W);  // nobody is asked: it goes on there
    IM_CHECK(comes_to_front(h, ctx, first));
    IM_CHECK(!is_open(ctx, "//###leaving"));
    h.workbench().open_node(far.address());
    IM_CHECK(h.wait(ctx, 60, is_there));
    IM_CHECK(h.wait(ctx, 60, [&] { return !h.snapshot().training.empty() && h.training().step.size() > steps; }));
    IM_CHECK(h.training().state == RunState::running);
    h.workbench().client().send("train.stop", {{"run", h.training().id}});
    IM_CHECK(h.wait(ctx, 60, [&] { return protocol::ended(h.training().state); }));
    if (was != nullptr) {
        setenv("XDG_DATA_HOME", before.c_str(), 1);
    } else {
        unsetenv("XDG_DATA_HOME");
    }
    IM_CHECK(h.open_session(ctx, first));
}

}  // namespace

void register_tabs(Harness& harness) {
    const auto add = [&](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("tabs", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("two sessions in one window", two_sessions);
    add("recent sessions", recent_sessions);
    add("closing the window asks once about all sessions", leaving_asks_once);
    add("runs, comparisons and probes go to the chosen session", work_goes_where_it_is_sent);
    add("a run of another tab stands beside", runs_beside);
    add("a node on another machine is one more tab", far_node);
}

}  // namespace moescope::gui_test
