// The list of commands and the menus that show them.
#include <algorithm>

#include "app/layouts.hpp"
#include "app/workbench.hpp"
#include "panels/runs/run_tools.hpp"

namespace moescope::app {
namespace {

using history::RunState;

bool is_live(const history::TrainingRun* run) {
    return run != nullptr && (run->state == RunState::running || run->state == RunState::paused);
}

template <typename Runs>
bool any_running(const Runs& runs) {
    return std::any_of(runs.begin(), runs.end(),
                       [](const auto& entry) { return entry.second->state == RunState::running; });
}

template <typename Runs>
bool any_unended(const Runs& runs) {
    return std::any_of(runs.begin(), runs.end(), [](const auto& entry) {
        const RunState state = entry.second->state;
        return state == RunState::planned || state == RunState::running || state == RunState::paused;
    });
}

/// What can be done with the answer on show in the probe panel.
constexpr const char* kAnswerActions[] = {"probes.previous_answer", "probes.next_answer",   "probes.label.answered",
                                          "probes.label.refused",   "probes.label.blocked", "probes.label.empty",
                                          "probes.label.cut",       "probes.label.error",   "probes.label.incoherent",
                                          "probes.label.0",         "probes.label.1",       "probes.label.2",
                                          "probes.label.3",         "probes.label.4",       "probes.label.undo"};

}  // namespace

void Workbench::add_commands() {
    add_file_commands();
    add_run_commands();
    add_compare_commands();
    add_probe_commands();
    add_expert_commands();
    add_view_commands();
    add_help_commands();
    menus_ = {
        {"menu.file", {"file.new_session", "file.open_session", "-", "file.report", "-", "file.quit"}},
        {"menu.run",
         {"run.start", "runs.new", "-", "run.pause", "run.step", "run.stop", "run.checkpoint", "run.continue",
          "run.fork", "-", "node.restart"}},
        {"menu.models", {"models.add", "-", "compare.run", "compare.cancel", "compare.swap_language"}},
        {"menu.probes", {"probes.start", "probes.pause", "probes.cancel", "-"}},
        {"menu.experts",
         {"load.all", "load.english", "load.chinese", "load.difference", "-", "load.layer_previous", "load.layer_next",
          "load.expert_previous", "load.expert_next", "-", "load.live"}},
        {"menu.view", {"view.layout_training", "view.layout_compare", "view.layout_probe", "view.layout_reset", "-"}},
        {"menu.help", {"help.manual", "help.welcome", "help.palette", "-", "help.messages", "help.diagnostics"}},
    };
    const auto menu = [this](std::string_view key) -> Menu& {
        return *std::find_if(menus_.begin(), menus_.end(), [&](const Menu& m) { return m.title_key == key; });
    };
    for (const char* action : kAnswerActions)
        menu("menu.probes").commands.emplace_back(action);
    Menu& view = menu("menu.view");
    for (const Slot& s : slots_)
        view.commands.push_back(std::string("view.panel.") + s.panel->key());
    for (const char* key : {"-", "view.clear_selection", "view.text_larger", "view.text_smaller", "view.text_reset",
                            "view.language", "view.theme"})
        view.commands.emplace_back(key);
}

void Workbench::panel_action(const std::string& panel, const std::string& action) {
    if (Slot* s = slot(panel)) {
        ui::Context ctx = context();
        s->panel->act(action, ctx);
    }
}

void Workbench::add_run_commands() {
    const auto connected = [this] { return snapshot_->link.state == client::Link::State::connected; };
    const auto live = [this, connected] { return connected() && is_live(training_run()); };
    const auto can_start = [this, connected] {
        return connected() && starting_run_ == 0 && !any_running(snapshot_->training);
    };
    const auto send = [this](const char* name) {
        const history::TrainingRun* run = training_run();
        return run != nullptr ? client_->send(name, {{"run", run->id}}) : client::CommandId{0};
    };
    commands_.add({"run.start",
                   ImGuiMod_Ctrl | ImGuiKey_R,
                   [this] {
                       // The new run, from its first step; a step pinned in another run means nothing here.
                       selection_.training_run = 0;
                       selection_.follow = true;
                       selection_.step_min = 0;
                       selection_.pinned_step.reset();
                       starting_run_ = client_->send("train.start", {{"preset", "workshop"}});
                   },
                   can_start,
                   {}});
    commands_.add({"runs.new",
                   ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_R,
                   [this] {
                       if (welcome_)
                           choose_welcome("skip");  // the page would hide the form
                       show_panel("runs");
                       panel_action("runs", "runs.new");
                   },
                   connected,
                   {}});
    commands_.add({"run.pause",
                   ImGuiKey_F6,
                   [this, send] { send(training_run()->state == RunState::running ? "train.pause" : "train.resume"); },
                   live,
                   {}});
    commands_.add({"run.step",
                   ImGuiKey_F10,
                   [send] { send("train.step"); },
                   [this, live] { return live() && training_run()->state == RunState::paused; },
                   {}});
    commands_.add({"run.stop", 0, [send] { send("train.stop"); }, live, {}});
    commands_.add({"run.checkpoint", ImGuiMod_Ctrl | ImGuiKey_S, [send] { send("train.checkpoint"); }, live, {}});
    commands_.add({"run.continue",
                   0,
                   [this, send] { starting_run_ = send("train.continue"); },
                   [this, can_start] {
                       const history::TrainingRun* run = training_run();
                       return can_start() && run != nullptr && run->last_checkpoint > 0 &&
                              (run->state == RunState::interrupted || run->state == RunState::stopped ||
                               run->state == RunState::failed);
                   },
                   {}});
    commands_.add({"run.fork",
                   0,
                   [this] {
                       if (welcome_)
                           choose_welcome("skip");  // the page would hide the form
                       show_panel("runs");
                       panel_action("runs", "runs.fork");
                   },
                   [this, connected] {
                       const history::TrainingRun* run = training_run();
                       return connected() && run != nullptr && panels::can_fork(*run);
                   },
                   {}});
    commands_.add({"node.restart",
                   0,
                   [this] { client_->restart_node(); },
                   [this] {
                       return snapshot_->link.state == client::Link::State::crashed ||
                              snapshot_->link.state == client::Link::State::refused;
                   },
                   {}});
}

void Workbench::add_compare_commands() {
    const auto connected = [this] { return snapshot_->link.state == client::Link::State::connected; };
    commands_.add({"compare.run",
                   0,
                   [this] {
                       show_panel("compare");
                       panel_action("compare", "compare.run");
                   },
                   [this, connected] { return connected() && !any_unended(snapshot_->generations); },
                   {}});
    commands_.add({"compare.cancel",
                   0,
                   [this] { panel_action("compare", "compare.cancel"); },
                   [this, connected] { return connected() && any_unended(snapshot_->generations); },
                   {}});
    commands_.add({"compare.swap_language",
                   0,
                   [this] {
                       show_panel("compare");
                       panel_action("compare", "compare.swap_language");
                   },
                   {},
                   {}});
}

void Workbench::add_probe_commands() {
    const auto connected = [this] { return snapshot_->link.state == client::Link::State::connected; };
    const auto in_state = [this, connected](std::initializer_list<RunState> states) {
        const history::ProbeRun* run = probe_run();
        return connected() && run != nullptr && std::find(states.begin(), states.end(), run->state) != states.end();
    };
    commands_.add({"probes.start",
                   0,
                   [this] {
                       show_panel("probe");
                       panel_action("probe", "probes.start");
                   },
                   [this, connected] { return connected() && !any_unended(snapshot_->probes); },
                   {}});
    commands_.add({"probes.pause",
                   0,
                   [this] { panel_action("probe", "probes.pause"); },
                   [in_state] {
                       return in_state({RunState::running, RunState::paused, RunState::interrupted});
                   },
                   {}});
    commands_.add({"probes.cancel",
                   0,
                   [this] { panel_action("probe", "probes.cancel"); },
                   [in_state] {
                       return in_state({RunState::planned, RunState::running, RunState::paused});
                   },
                   {}});
    for (const char* action : kAnswerActions)
        commands_.add({action,
                       0,
                       [this, action] { panel_action("probe", action); },
                       [this] {
                           const history::ProbeRun* run = probe_run();
                           return panel_visible("probe") && run != nullptr && !run->draws.empty();
                       },
                       {}});
}

void Workbench::add_expert_commands() {
    constexpr ImGuiKeyChord kTurn = ImGuiMod_Ctrl | ImGuiMod_Shift;
    struct Entry {
        const char* action;
        ImGuiKeyChord keys;
    };
    constexpr Entry kEntries[] = {{"load.all", 0},
                                  {"load.english", 0},
                                  {"load.chinese", 0},
                                  {"load.difference", 0},
                                  {"load.layer_previous", kTurn | ImGuiKey_UpArrow},
                                  {"load.layer_next", kTurn | ImGuiKey_DownArrow},
                                  {"load.expert_previous", kTurn | ImGuiKey_LeftArrow},
                                  {"load.expert_next", kTurn | ImGuiKey_RightArrow}};
    for (const Entry& entry : kEntries)
        commands_.add({entry.action,
                       entry.keys,
                       [this, action = entry.action] { panel_action("expert_load", action); },
                       [this] { return training_run() != nullptr && !training_run()->counts.empty(); },
                       {}});
    commands_.add({"load.live",
                   0,
                   [this] { panel_action("expert_load", "load.live"); },
                   [this] { return selection_.pinned_step.has_value(); },
                   {}});
}

void Workbench::add_view_commands() {
    int number = 0;
    for (const char* layout : kLayouts) {
        const auto key = static_cast<ImGuiKey>(ImGuiKey_1 + number++);
        commands_.add({std::string("view.layout_") + layout,
                       ImGuiMod_Ctrl | key,
                       [this, layout] { set_layout(layout); },
                       {},
                       [this, layout] { return settings_.layout == layout; }});
    }
    commands_.add({"view.layout_reset",
                   0,
                   [this] {
                       settings_.layouts.erase(settings_.layout);
                       layout_due_ = true;
                       wanted_frames_ = 3;
                   },
                   {},
                   {}});
    for (const Slot& s : slots_) {
        const std::string panel = s.panel->key();
        commands_.add({"view.panel." + panel,
                       0,
                       [this, panel] { show_panel(panel, !panel_visible(panel)); },
                       {},
                       [this, panel] { return panel_visible(panel); }});
    }
    commands_.add(
        {"view.clear_selection",
         ImGuiKey_Escape,
         [this] {
             selection_.layer = selection_.expert = -1;
             selection_.pinned_step.reset();
         },
         [this] { return selection_.layer >= 0 || selection_.expert >= 0 || selection_.pinned_step.has_value(); },
         {}});
    commands_.add({"view.text_larger",
                   ImGuiMod_Ctrl | ImGuiKey_Equal,
                   [this] { set_text_scale(settings_.text_scale * 1.1f); },
                   [this] { return settings_.text_scale < 2.4f; },
                   {},
                   {ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_Equal, ImGuiMod_Ctrl | ImGuiKey_KeypadAdd}});
    commands_.add({"view.text_smaller",
                   ImGuiMod_Ctrl | ImGuiKey_Minus,
                   [this] { set_text_scale(settings_.text_scale / 1.1f); },
                   [this] { return settings_.text_scale > 0.65f; },
                   {},
                   {ImGuiMod_Ctrl | ImGuiKey_KeypadSubtract}});
    commands_.add({"view.text_reset", ImGuiMod_Ctrl | ImGuiKey_0, [this] { set_text_scale(1); }, {}, {}});
    commands_.add({"view.language",
                   ImGuiMod_Ctrl | ImGuiKey_L,
                   [this] { set_language(text_->code() == "en" ? "zh" : "en"); },
                   {},
                   {}});
    commands_.add({"view.theme",
                   0,
                   [this] {
                       settings_.dark = !settings_.dark;
                       style_due_ = true;
                       save_settings_soon();
                   },
                   {},
                   [this] { return settings_.dark; }});
}

void Workbench::add_file_commands() {
    commands_.add({"file.new_session",
                   ImGuiMod_Ctrl | ImGuiKey_N,
                   [this] {
                       background_.post([this]() -> Background::Completion {
                           return [this, folder = new_session_folder()] {
                               if (folder == options_.session) {
                                   notify((*text_)("notice.session_is_new"), false);
                                   return;
                               }
                               retire_client();
                               options_.session = folder;
                               start_client();
                           };
                       });
                   },
                   {},
                   {}});
    commands_.add({"file.open_session",
                   ImGuiMod_Ctrl | ImGuiKey_O,
                   [this] {
                       dialogs_.ask(PathKind::open_folder, (*text_)("command.file.open_session"),
                                    sessions_folder().string(),
                                    [this](const std::string& path) { open_session(path); });
                   },
                   {},
                   {}});
    commands_.add({"file.report",
                   0,
                   [this] {
                       dialogs_.ask(PathKind::save_file, (*text_)("command.file.report"),
                                    (options_.session / "report.html").string(), [this](const std::string& path) {
                                        client_->send("report.write", {{"path", path}, {"language", text_->code()}});
                                    });
                   },
                   [this] { return snapshot_->link.state == client::Link::State::connected; },
                   {}});
    commands_.add({"file.quit", ImGuiMod_Ctrl | ImGuiKey_Q, [this] { quit_ = true; }, {}, {}});
    commands_.add({"models.add",
                   0,
                   [this] {
                       show_panel("models");
                       dialogs_.ask(PathKind::open_file, (*text_)("command.models.add"), "",
                                    [this](const std::string& path) {
                                        client_->send("models.add", {{"path", path}});
                                    });
                   },
                   [this] { return snapshot_->link.state == client::Link::State::connected; },
                   {}});
}

void Workbench::add_help_commands() {
    commands_.add({"help.manual", ImGuiKey_F1, [this] { show_panel("manual"); }, {}, {}});
    commands_.add({"help.welcome", 0, [this] { welcome_ = !welcome_; }, {}, [this] { return welcome_; }});
    commands_.add({"help.palette", ImGuiMod_Ctrl | ImGuiKey_P, [this] { palette_.open(); }, {}, {}});
    commands_.add(
        {"help.messages", 0, [this] { notices_open_ = !notices_open_; }, {}, [this] { return notices_open_; }});
    commands_.add(
        {"help.diagnostics", 0, [this] { diagnostics_ = !diagnostics_; }, {}, [this] { return diagnostics_; }});
}

}  // namespace moescope::app
