// Life of the workbench: start, frames on demand, snapshots, settings, files. Commands and drawing are in the two files
// beside.
#include "app/workbench.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <implot.h>
#include <utility>

#include "app/layouts.hpp"
#include "app/show_file.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "panels/manual/manual.hpp"
#include "panels/panels.hpp"
#include "panels/ui/png.hpp"
#include "panels/ui/undo.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {
namespace {

constexpr double kSettle = 0.6;  ///< seconds after input in which a few more frames come: tooltips appear with a delay
constexpr double kStreamInterval = 1.0 / 30;  ///< shortest time between frames that only new data asks for
constexpr double kSaveDelay = 1.5;
constexpr double kUnseen = 0.05;  ///< frames that only take in more input are not shown for so long

std::string read_text(const std::filesystem::path& file) {
    constexpr std::uint64_t kMostBytes = std::uint64_t{16} << 20;
    return base::try_read_file(file, kMostBytes).value_or("");
}

std::filesystem::path settings_file(const std::filesystem::path& folder) {
    return folder / "settings.json";
}

base::Sentence verbatim(std::string text) {
    return base::Sentence::verbatim(std::move(text));
}

/// Panels and what holds them, but not what floats above: menus, tooltips, forms, dialogs, bars.
bool is_of_panels(const ImDrawList& list) {
    for (const ImGuiWindow* window : ImGui::GetCurrentContext()->Windows) {
        if (window->DrawList == &list) {
            return (window->Flags & ImGuiWindowFlags_DockNodeHost) != 0 ||
                   std::string_view(window->RootWindow->Name).find("###panel.") != std::string_view::npos;
        }
    }
    return false;
}

}  // namespace

Workbench::Workbench(Platform& platform, WorkbenchOptions options)
    : platform_(platform),
      options_(std::move(options)),
      settings_(options_.settings_folder.empty() ? Settings{} : load_settings(settings_file(options_.settings_folder))),
      background_([&platform] { platform.wake(); }),
      panels_(panels::all_panels()),
      dialogs_(options_.native_dialogs, settings_.folders, [&platform] { platform.wake(); }) {
    if (!options_.language.empty()) {
        settings_.language = options_.language;
    }
    if (settings_.language.empty()) {
        settings_.language = system_language();
    }
    if (options_.scale > 0) {
        settings_.text_scale = std::clamp(options_.scale, 0.6f, 2.5f);
    }
    english_ = ui::Language::load(options_.assets / "languages" / "en", "en");
    chinese_ = ui::Language::load(options_.assets / "languages" / "zh", "zh");
    set_language(settings_.language);
    theme_ = ui::make_theme(settings_.dark);
    fonts_.load(options_.assets / "fonts");
    fonts_.add_to_atlas();
    for (const ui::PanelDescription& panel : panels_) {
        slots_.push_back({.description = &panel});
    }
    welcome_ = !settings_.welcome_done;
    no_plots_ = ImPlot::GetCurrentContext();
    // Those keys go through the sessions.
    ImGui::GetCurrentContext()->ConfigNavWindowingKeyNext = ImGuiMod_Ctrl | ImGuiKey_F6;
    ImGui::GetCurrentContext()->ConfigNavWindowingKeyPrev = ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_F6;
    opened_.show = [this](std::uint64_t id) { show_session(id); };
    opened_.close = [this](std::uint64_t id) { close_session(id); };
    opened_.send = [this](std::uint64_t id, std::string name, nlohmann::json parameters) {
        OpenSession* session = find_session(id);
        return session == nullptr ? client::CommandId{0}
                                  : session->client->send(std::move(name), std::move(parameters));
    };
    opened_.hand_over = [this](std::uint64_t id, std::string key, std::function<void(ui::Panel&, ui::Context&)> take) {
        show_session(id);
        before_next_frame([this, id, key = std::move(key), take = std::move(take)] {
            OpenSession* session = find_session(id);
            const Slot* found = slot(key);
            if (session != nullptr && found != nullptr) {
                ui::Context ctx = context(*session);
                take(panel(*session, *found), ctx);
            }
        });
    };
    add_commands();
    start_session(options_.session, options_.node);
    load_manual();
    if (fonts_.chinese_file().empty()) {
        notify((*text_)("notice.no_chinese_font"), true);
    }
}

Workbench::~Workbench() {
    remember_layout();
    save_settings_if_due(true);
    leaving_ = {};
    ImPlot::SetCurrentContext(no_plots_);
    for (const auto& session : sessions_) {
        retire(*session);  // all at the same time
    }
    sessions_.clear();
    front_.reset();
    ImGui::GetIO().Fonts->Clear();  // it reads fonts_' bytes
    for (std::thread& thread : retiring_) {
        thread.join();
    }
}

void Workbench::before_next_frame(std::function<void()> what) {
    next_.push_back(std::move(what));
    wanted_frames_ = std::max(wanted_frames_, 3);
}

OpenSession* Workbench::find_session(std::uint64_t id) const {
    const auto found =
        std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& session) { return session->id == id; });
    return found == sessions_.end() ? nullptr : found->get();
}

/// A tab more, in front. Between two frames: what is being drawn still reads the session that was.
void Workbench::start_session(const std::filesystem::path& folder, const std::string& node) {
    client::ClientOptions client_options;
    client_options.node_program = options_.node_program;
    client_options.session = folder;
    client_options.node_arguments = options_.node_arguments;
    client_options.node = node;
    client_options.keys = sessions_folder().parent_path() / "viewer";
    const auto session = std::make_shared<OpenSession>();
    session->id = ++last_session_;
    session->folder = folder;
    session->node = node.empty() ? std::string() : client::shown_node_address(node);
    session->client =
        std::make_unique<client::NodeClient>(std::move(client_options), [&platform = platform_] { platform.wake(); });
    session->snapshot = session->client->snapshot();
    begin_session(*session);
    sessions_.push_back(session);
    bring_to_front(session);
    if (!folder.empty()) {  // however it was opened, the dialog and the list find it again
        const auto known = std::find_if(settings_.sessions.begin(), settings_.sessions.end(),
                                        [&](const KnownSession& one) { return one.folder == folder.string(); });
        if (known != settings_.sessions.end()) {
            session->coder = session->kept_coder = known->coder;
            remember_session(settings_.sessions, KnownSession(*known));
        }
        settings_.folders.remember("session", folder.parent_path().string());
    }
}

/// Panels and all else that is kept, anew: nothing of another journal stays. Between two frames.
void Workbench::begin_session(OpenSession& session) {
    const std::shared_ptr<KeptOfSession> kept = std::make_shared<KeptOfSession>();
    kept->session = session.snapshot->session;
    const KeptOfSession* before = session.kept ? session.kept.get() : front_ ? front_->kept.get() : nullptr;
    for (std::size_t i = 0; i < panels_.size(); ++i) {
        kept->panels.push_back(panels_[i].make());
        if (before != nullptr) {
            kept->panels[i]->take_over(*before->panels[i]);
        }
    }
    if (&session == front_.get()) {
        kept->plots.use();
        leave_fields();
    }
    session.kept = kept;
    list_sessions();
}

void Workbench::bring_to_front(const std::shared_ptr<OpenSession>& session) {
    if (front_ == session) {
        return;
    }
    if (front_) {
        front_->kept->scrolled.keep();
        session->kept->scrolled.use();
    }
    front_ = session;
    front_->kept->plots.use();
    leave_fields();
    list_sessions();
}

/// What is typed into a field, an open list, a dialog: nothing of it goes over to another session. Between two frames.
void Workbench::leave_fields() {
    dialogs_.close();
    ImGui::ClosePopupsOverWindow(nullptr, false);
    ImGui::ClearActiveID();
    // The field that was being typed in would hand its text, or what undo knows of it, to the one of the same name.
    ImGui::GetCurrentContext()->InputTextDeactivatedState.ID = 0;
    ImGui::GetCurrentContext()->InputTextState.ID = 0;
    wanted_frames_ = std::max(wanted_frames_, 3);
}

void Workbench::list_sessions() {
    opened_.open = opened_sessions(sessions_, front_.get());
    std::erase_if(opened_.beside, [this](const auto& run) {
        return std::none_of(sessions_.begin(), sessions_.end(),
                            [&](const auto& session) { return session->snapshot->session == run.first; });
    });
}

/// For the list of recent ones: whatever has been done in it.
void Workbench::note_session(const OpenSession& session) {
    if (!session.own()) {
        return;
    }
    const auto before = std::find_if(settings_.sessions.begin(), settings_.sessions.end(),
                                     [&](const KnownSession& one) { return one.folder == session.folder.string(); });
    const bool is_new = before == settings_.sessions.end();
    KnownSession now = known_session(session.folder, *session.snapshot, is_new ? KnownSession() : *before);
    now.coder = session.coder;
    if (is_new && now.runs > 0) {
        remember_session(settings_.sessions, std::move(now));
    } else if (!is_new) {
        *before = std::move(now);
    }
}

RecentSessions::Actions Workbench::recent_actions() {
    return {.open =
                [this](const std::string& folder) {
                    if (welcome_) {
                        choose_welcome("skip");
                    }
                    open_session(folder);
                },
            .forget =
                [this](const std::string& folder) {
                    std::erase_if(settings_.sessions, [&](const KnownSession& one) { return one.folder == folder; });
                    save_settings_soon();
                },
            .look =
                [this](std::vector<std::string> folders) {
                    background_.post([this, folders = std::move(folders)]() -> Background::Completion {
                        return [this, found = RecentSessions::look_at(folders)] {
                            recent_.take_found(found);
                            wanted_frames_ = std::max(wanted_frames_, 2);
                        };
                    });
                }};
}

void Workbench::new_tab(const std::filesystem::path& folder, const std::string& say_then) {
    before_next_frame([this, folder, say_then] {
        const auto open = std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& session) {
            return session->own() && session->folder == folder;
        });
        if (open != sessions_.end()) {  // asked for twice
            bring_to_front(*open);
            return;
        }
        const std::shared_ptr<OpenSession> before = front_;
        start_session(folder, "");
        end_what_came_to_nothing(before);
        if (!say_then.empty()) {
            notify(say_then, false);
        }
    });
}

/// A tab that could not be opened, or whose node did not accept us, makes room for what was chosen in its place.
void Workbench::end_what_came_to_nothing(const std::shared_ptr<OpenSession>& session) {
    const client::Link::State state = session->snapshot->link.state;
    if (state == client::Link::State::unopened || state == client::Link::State::refused) {
        end_session(session->id);
    }
}

void Workbench::remember_node(const std::string& address) {
    std::vector<std::string>& recent = settings_.nodes;
    std::erase(recent, address);
    recent.insert(recent.begin(), address);
    recent.resize(std::min(recent.size(), Settings::kNodes));
    save_settings_soon();
}

void Workbench::open_node(const std::string& address) {
    before_next_frame([this, address] {
        const std::string shown = client::shown_node_address(address);
        const auto open = std::find_if(sessions_.begin(), sessions_.end(),
                                       [&](const auto& session) { return session->node == shown; });
        if (open != sessions_.end() && (*open)->snapshot->link.state != client::Link::State::refused) {
            bring_to_front(*open);
            notify((*text_)("notice.session_already_open"), false);
            return;
        }
        // A node that did not accept us is asked again: the invitation may be a new one.
        const std::shared_ptr<OpenSession> before = open == sessions_.end() ? front_ : *open;
        start_session({}, address);
        end_what_came_to_nothing(before);
        remember_node(shown);
    });
}

void Workbench::show_session(std::uint64_t id) {
    before_next_frame([this, id] {
        const auto found =
            std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& session) { return session->id == id; });
        if (found != sessions_.end()) {
            bring_to_front(*found);
        }
    });
}

void Workbench::step_session(int by) {
    const auto count = static_cast<int>(sessions_.size());
    const auto at = static_cast<int>(std::find(sessions_.begin(), sessions_.end(), front_) - sessions_.begin());
    show_session(sessions_[static_cast<std::size_t>(((at + by) % count + count) % count)]->id);
}

void Workbench::close_session(std::uint64_t id) {
    const auto found =
        std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& session) { return session->id == id; });
    if (found == sessions_.end() || sessions_.size() < 2) {
        return;
    }
    leave({*found}, Leaving::Where::other_session, [this, id] { before_next_frame([this, id] { end_session(id); }); });
}

/// Between two frames. The one that follows it comes to the front, or the last one.
void Workbench::end_session(std::uint64_t id) {
    const auto found =
        std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& session) { return session->id == id; });
    if (found == sessions_.end() || sessions_.size() < 2) {
        return;
    }
    const std::shared_ptr<OpenSession> session = *found;
    note_session(*session);
    recent_.forget_found();
    save_settings_soon();
    const auto next = sessions_.erase(found);
    if (front_ == session) {
        bring_to_front(next != sessions_.end() ? *next : sessions_.back());
    }
    retire(*session);
    list_sessions();
}

/// Ending a client may take seconds (the node writes a checkpoint): a thread of its own waits for it.
void Workbench::retire(OpenSession& session) {
    std::shared_ptr<client::NodeClient> old = std::move(session.client);
    const auto gone = std::make_shared<std::promise<void>>();
    if (session.own()) {
        departures_[session.folder] = gone->get_future().share();
    }
    retiring_.emplace_back([old = std::move(old), gone]() mutable {
        old.reset();
        gone->set_value();
    });
}

void Workbench::wait_until_left(const Departures& departures, const std::filesystem::path& session) {
    for (const auto& [folder, gone] : departures) {
        std::error_code error;
        if (std::filesystem::equivalent(folder, session, error) && !error) {
            gone.wait();
        }
    }
}

void Workbench::load_manual() {
    background_.post([this, docs = options_.assets / "docs"]() -> Background::Completion {
        return [this, en = read_text(docs / "manual-en.md"), zh = read_text(docs / "manual-zh.md")] {
            const Slot* manual = slot("manual");
            for (const auto& session : sessions_) {
                if (manual != nullptr) {
                    panels::set_manual(panel(*session, *manual), en, zh);
                }
            }
        };
    });
}

void Workbench::open_session(const std::filesystem::path& folder) {
    std::map<std::uint64_t, std::filesystem::path> open;
    for (const auto& session : sessions_) {
        if (session->own()) {
            open[session->id] = session->folder;
        }
    }
    background_.post([this, folder, open, departures = departures_]() -> Background::Completion {
        std::uint64_t same = 0;
        for (const auto& [id, other] : open) {
            std::error_code error;
            if (std::filesystem::equivalent(folder, other, error) && !error) {
                same = id;
            }
        }
        const bool good = holds_session(folder);
        wait_until_left(departures, folder);
        return [this, folder, good, same] {
            if (OpenSession* session = find_session(same)) {
                if (session->snapshot->link.state == client::Link::State::unopened) {
                    session->client->restart_node();  // whoever opens it again wants another try
                } else if (session == front_.get()) {
                    notify((*text_)("notice.session_already_open"), false);
                }
                show_session(same);
                return;
            }
            if (!good) {
                notify(text_->format("notice.not_a_session", {{"path", folder.string()}}), true);
                return;
            }
            new_tab(folder, text_->format("notice.session_opened", {{"path", folder.string()}}));
        };
    });
}

void Workbench::drop(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
        background_.post([this, path]() -> Background::Completion {
            return [this, path, session = holds_session(path)] {
                if (session) {
                    open_session(path);
                    return;
                }
                front_->client->send("models.add", {{"path", path}});
                show_panel("models");
            };
        });
    }
}

void Workbench::run() {
    while (!quit_) {
        turn(-1);
    }
}

void Workbench::turn(double longest) {
    double wait = wait_time(client::now_seconds());
    if (longest >= 0) {
        wait = wait < 0 ? longest : std::min(wait, longest);
    }
    platform_.wait(wait);
    background_.finish();
    const double now = client::now_seconds();
    if (platform_.take_input()) {
        last_input_ = now;
        wanted_frames_ = 3;
    }
    take_close();
    // A key stroke takes a frame or two to be understood, drawing one takes far longer: only the last of those that
    // wait is drawn, and others meanwhile when it takes long.
    bool due = wait_time(now) <= 0;
    while (due && !quit_) {
        hurry_ = client::now_seconds() - last_frame_ < kUnseen;
        frame();
        due = input_.waiting();
        if (due) {
            platform_.wait(0);
        }
    }
    hurry_ = false;
    save_settings_if_due(false);
}

void Workbench::take_close() {
    if (platform_.should_close()) {
        platform_.set_should_close(false);
        leave_window();
    }
}

/// Says what becomes of the work that is under way, then goes. On another machine it goes on without us.
void Workbench::leave(const OpenSessions& sessions, Leaving::Where where, std::function<void()> go) {
    wanted_frames_ = std::max(wanted_frames_, 3);
    leaving_.ask(sessions, where, std::move(go));
}

void Workbench::leave_window() {
    leave(sessions_, Leaving::Where::out, [this] { quit_ = true; });
}

/// Seconds until the next frame is due; 0: now, below 0: when something happens.
double Workbench::wait_time(double now) const {
    if (wanted_frames_ > 0 || input_.waiting()) {
        return 0;
    }
    double wait = -1;
    const auto at_most = [&](double seconds) {
        seconds = std::max(seconds, 0.0);
        wait = wait < 0 ? seconds : std::min(wait, seconds);
    };
    const double since = now - last_frame_;
    for (const auto& session : sessions_) {
        if (session->client->snapshot()->version != session->kept->drawn_version) {
            at_most((session == front_ ? kStreamInterval : kBehindInterval) - since);
        }
    }
    if (now - last_input_ < kSettle) {
        at_most(0.1 - since);
    }
    if (leaving_.open()) {
        at_most(0.2 - since);
    }
    if (dialogs_.open()) {
        at_most((dialogs_.reading() ? kStreamInterval : 0.2) - since);
    }
    for (const auto& session : sessions_) {
        const client::Link& link = session->snapshot->link;
        if (link.state != client::Link::State::connected && link.state != client::Link::State::refused) {
            at_most(0.5 - since);  // the age of the data grows
        } else if (link.last_data_time > 0 && link.state == client::Link::State::connected) {
            const double age = now - link.last_data_time;
            at_most(age < kStaleSeconds ? kStaleSeconds - age : 1 - since);  // a node that has gone silent is told
        }
    }
    if (front_->kept->status_until > 0) {
        at_most(front_->kept->status_until - now);
    }
    if (next_frame_ > 0) {
        at_most(std::max(next_frame_ - now, kStreamInterval - since));
    }
    if (settings_due_ > 0 && wait < 0) {
        wait = std::max(0.01, settings_due_ - now);
    }
    return wait;
}

void Workbench::frame() {
    for (const std::function<void()>& due : std::exchange(next_, {})) {
        due();
    }
    take_snapshots();
    background_.finish();
    drop(platform_.take_dropped());
    if (style_due_) {
        apply_style();
    }
    platform_.begin_frame();
    choose_arrangement();
    const auto start = std::chrono::steady_clock::now();
    if (layout_due_) {
        apply_layout();
    }
    input_.before_frame();
    escape_.before_frame();
    front_->kept->scrolled.before_frame();
    ImGui::NewFrame();
    input_.after_frame();
    next_frame_ = 0;
    ui::Context ctx = context();
    draw(ctx);
    if (front_->coder != front_->kept_coder) {
        front_->kept_coder = front_->coder;
        note_session(*front_);
        save_settings_soon();
    }
    platform_.end_frame();
    frame_times_.add(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    if (std::exchange(between_layouts_, false)) {
        wanted_frames_ = 3;
        return;
    }
    if (hurry_ && input_.waiting() && front_->kept->pictures.empty()) {
        return;  // the next one shows it
    }
    platform_.present();
    take_pictures();
    last_frame_ = client::now_seconds();
    wanted_frames_ = std::max(0, wanted_frames_ - 1);
    if (ImGui::GetIO().WantSaveIniSettings) {
        ImGui::GetIO().WantSaveIniSettings = false;
        save_settings_soon();
    }
}

std::function<void(const std::string&)> Workbench::to_front(
    std::function<void(client::NodeClient&, const std::string&)> what) {
    return [this, id = front_->id, what = std::move(what)](const std::string& path) {
        if (OpenSession* session = find_session(id)) {
            what(*session->client, path);
        }
    };
}

void Workbench::take_snapshots() {
    for (const auto& session : sessions_) {
        take_snapshot(*session);
    }
    list_sessions();
    KeptOfSession& kept = *front_->kept;
    std::erase_if(kept.when_connected, [this](const std::string& key) { return commands_.run(key); });
    if (kept.selection.hovered_frame < ImGui::GetFrameCount() - 1) {
        kept.selection.hovered_step.reset();
    }
}

void Workbench::take_snapshot(OpenSession& session) {
    session.snapshot = session.client->snapshot();
    if (session.snapshot->session != session.kept->session) {
        begin_session(session);
    }
    if (session.snapshot->version == session.kept->drawn_version) {
        return;
    }
    session.kept->drawn_version = session.snapshot->version;
    session.kept->shared.get<ui::UndoHistory>().follow(*session.snapshot);
    report_results(session);
    report_problems(session);
    report_behind(session);
    if (const std::uint32_t run = session.kept->recovery.due(*session.snapshot)) {
        act(session, fmt::format("run.continue={}", run));
    }
}

/// Every failed command is told once, but for a plan, whose form shows the reason; of those that succeed only the ones
/// whose effect cannot be seen.
void Workbench::report_results(OpenSession& session) {
    for (const auto& [id, result] : session.snapshot->results) {
        auto& seen = session.kept->seen_results[id];
        if (seen == result.state) {
            continue;
        }
        seen = result.state;
        if (result.state == client::CommandResult::State::failed && result.name == "train.plan") {
            continue;
        }
        if (result.state == client::CommandResult::State::failed) {
            tell(session, result.error, true);
        } else if (result.state == client::CommandResult::State::unknown) {
            tell(session, verbatim(text_->format("notice.unknown_result", {{"command", result.name}})), true);
        } else if (result.state == client::CommandResult::State::done &&
                   (result.name == "report.write" || result.name == "route.export" || result.name == "curves.export" ||
                    result.name == "transfer.pull")) {
            const std::string path = base::text_of(result.value, "path");
            const char* sentence = result.name == "report.write" ? "notice.report_saved" : "notice.file_saved";
            tell(session, verbatim(text_->format(sentence, {{"path", path}})), false, path);
        } else if (result.state == client::CommandResult::State::done && result.name == "models.export") {
            for (const nlohmann::json& note : base::member(result.value, "notes")) {
                tell(session, base::sentence_in(note, "text"), false);
            }
            const std::string path = base::text_of(result.value, "path");
            tell(session, verbatim(text_->format("notice.file_saved", {{"path", path}})), false, path);
        } else if (result.state == client::CommandResult::State::done && result.name == "curves.import") {
            for (const nlohmann::json& note : base::member(result.value, "notes")) {
                tell(session, base::sentence_in(note, "text"), false);
            }
            for (const nlohmann::json& run : base::member(result.value, "runs")) {
                tell(session,
                     verbatim(text_->format("notice.curves_imported",
                                            {{"name", base::text_of(run, "name")},
                                             {"curves", text_->number(base::count_of(run, "curves"))}})),
                     false);
            }
        } else if (result.state == client::CommandResult::State::done && result.name == "models.add") {
            tell(session,
                 verbatim(text_->format("notice.model_added", {{"name", base::text_of(result.value, "name")}})), false);
        }
    }
    std::erase_if(session.kept->seen_results,
                  [&](const auto& seen) { return session.snapshot->results.count(seen.first) == 0; });
}

/// What is damaged in the session is told once, when it is opened and when more is found.
void Workbench::report_problems(OpenSession& session) {
    const std::vector<base::Sentence>& problems = session.snapshot->node.problems;
    std::vector<base::Sentence>& told = session.kept->told_problems;
    if (problems == told) {
        return;
    }
    for (const base::Sentence& problem : problems) {
        if (std::find(told.begin(), told.end(), problem) == told.end()) {
            tell(session, problem, true);
        }
    }
    told = problems;
}

/// What ends in a session behind, or befalls its node: in front it is on the screen.
void Workbench::report_behind(OpenSession& session) {
    using State = client::Link::State;
    const client::Link& link = session.snapshot->link;
    const bool behind = &session != front_.get();
    for (const EndedRun& run : take_ended(*session.kept, *session.snapshot)) {
        if (behind) {
            const bool failed = run.state == history::RunState::failed || run.state == history::RunState::interrupted;
            const base::Sentence state = verbatim((*text_)(ui::state_key(run.state)));
            tell(session,
                 run.message.empty() ? base::say("{}: {}", run.title, state)
                                     : base::say("{}: {}", run.title, base::say("{}: {}", state, run.message)),
                 failed);
        }
    }
    const State before = std::exchange(session.kept->seen_link, link.state);
    if (behind && before != link.state && !link.message.empty() &&
        (link.state == State::crashed || link.state == State::refused || link.state == State::unopened)) {
        tell(session, link.message, true);
    }
}

void Workbench::tell(OpenSession& session, const base::Sentence& sentence, bool error,
                     const std::filesystem::path& file) {
    session.kept->notices.add(sentence, error, client::now_seconds(), file);
    if (&session != front_.get()) {
        const auto found = std::find_if(opened_.open.begin(), opened_.open.end(),
                                        [&](const ui::OpenedSession& one) { return one.id == session.id; });
        notify(base::say("{}: {}", found == opened_.open.end() ? session.name() : found->name, sentence), error, file);
    }
    wanted_frames_ = std::max(wanted_frames_, 2);
}

ui::Context Workbench::context(OpenSession& session) {
    return {
        .snapshot = *session.snapshot,
        .client = *session.client,
        .text = *text_,
        .theme = theme_,
        .selection = session.kept->selection,
        .floating = floating_,
        .coder = session.coder,
        .shared = session.kept->shared,
        .sessions = opened_,
        .run = [this](const std::string& key) { command(key); },
        .available =
            [this](const std::string& key) {
                const Command* found = commands_.find(key);
                return found != nullptr && found->available();
            },
        .shortcut = [this](const std::string& key) { return shortcut(key); },
        .em = ImGui::GetFontSize(),
        .now = client::now_seconds(),
        .bold = fonts_.bold,
        .mono = fonts_.mono,
        .show_panel =
            [this](const std::string& key) {
                if (welcome_) {
                    choose_welcome("skip");  // the page would hide it
                }
                show_panel(key);
            },
        .notify = [this](const std::string& sentence, bool error) { notify(sentence, error); },
        .choose_file =
            [this, &session](const std::string& title, const std::string& place,
                             std::function<void(const std::string&)> done) {
                dialogs_.ask({.what = FileRequest::What::open_file, .place = place, .title = title},
                             while_open(session, std::move(done)));
            },
        .choose_folder =
            [this, &session](const std::string& title, const std::string& place,
                             std::function<void(const std::string&)> done) {
                dialogs_.ask({.what = FileRequest::What::open_folder,
                              .place = place,
                              .title = title,
                              .folder = session.folder.parent_path()},
                             while_open(session, std::move(done)));
            },
        .save_as = [this](const std::string& name,
                          std::function<std::string()> make) { save_as(name, std::move(make)); },
        .choose_target =
            [this, &session](const std::string& name, std::function<void(const std::string&)> done) {
                ask_where(name, while_open(session, std::move(done)));
            },
        .save_picture =
            [this, &session](const std::string& name, ImVec2 min, ImVec2 max) {
                session.kept->pictures.push_back({min, max, name});
                wanted_frames_ = std::max(wanted_frames_, 2);
            },
        .in_background =
            [this, &session](std::function<std::function<void()>()> work) {
                background_.post([work = std::move(work),
                                  then = while_open(session, std::function([this](const std::function<void()>& done) {
                                                        done();
                                                        wanted_frames_ = std::max(wanted_frames_, 2);
                                                    }))]() -> Background::Completion {
                    return [done = work(), then] { then(done); };
                });
            },
        .make_picture = [this](
                            int width, int height,
                            const std::vector<ImU32>& pixels) { return platform_.make_picture(width, height, pixels); },
        .draw_within =
            [this](double seconds) {
                const double at = client::now_seconds() + seconds;
                next_frame_ = next_frame_ > 0 ? std::min(next_frame_, at) : at;
            },
        .copy_text =
            [this](std::function<std::string()> make) {
                background_.post([this, make = std::move(make)]() -> Background::Completion {
                    try {
                        return [text = make()] { ImGui::SetClipboardText(text.c_str()); };
                    } catch (const std::exception& failure) {
                        return [this, why = base::sentence_of(failure)] { notify(why, true); };
                    }
                });
            },
    };
}

/// The ending of the proposed name is the kind of file.
void Workbench::ask_where(const std::string& name, std::function<void(const std::string&)> done) {
    wanted_frames_ = std::max(wanted_frames_, 3);
    dialogs_.ask({.what = FileRequest::What::save_file,
                  .place = "save",
                  .title = (*text_)("files.save_title"),
                  .name = name,
                  .endings = {std::filesystem::path(name).extension().string()}},
                 std::move(done));
}

/// Asks where, then writes.
void Workbench::save_as(const std::string& name, std::function<std::string()> make) {
    ask_where(name, [this, make = std::move(make)](const std::string& path) { write_in_background(path, make); });
}

/// In the file manager; where there is none the path goes into the clipboard.
void Workbench::show_file(const std::filesystem::path& file) {
    background_.post([this, file]() -> Background::Completion {
        const bool shown = show_in_folder(file);
        return [this, file, shown] {
            if (!shown) {
                ImGui::SetClipboardText(file.c_str());
                notify(text_->format("notice.path_copied", {{"path", file.string()}}), false);
            }
        };
    });
}

/// Writes what `make` gives and says so in the status line.
void Workbench::write_in_background(const std::string& path, std::function<std::string()> make) {
    background_.post([this, path, make = std::move(make)]() -> Background::Completion {
        base::Sentence problem;
        try {
            problem = write_file(path, make());
        } catch (const std::exception& failure) {
            problem = base::sentence_of(failure);
        }
        return [this, path, problem] {
            notify(problem.empty() ? base::Sentence::verbatim(text_->format("notice.file_saved", {{"path", path}}))
                                   : problem,
                   !problem.empty(), problem.empty() ? std::filesystem::path(path) : std::filesystem::path());
        };
    });
}

std::string Workbench::shortcut(const std::string& key) const {
    const Command* found = commands_.find(key);
    return found != nullptr ? shortcut_text(found->shortcut) : std::string();
}

bool Workbench::command(const std::string& key) {
    wanted_frames_ = std::max(wanted_frames_, 3);
    if (commands_.find(key) != nullptr) {
        return commands_.run(key);
    }
    return act(*front_, key);
}

/// By the panel whose action it is.
bool Workbench::act(OpenSession& session, const std::string& key) {
    ui::Context ctx = context(session);
    return std::any_of(slots_.begin(), slots_.end(), [&](const Slot& s) { return panel(session, s).act(key, ctx); });
}

ui::Panel& Workbench::panel(const OpenSession& session, const Slot& slot) const {
    return *session.kept->panels[static_cast<std::size_t>(&slot - slots_.data())];
}

Workbench::Slot* Workbench::slot(const std::string& key) {
    for (Slot& s : slots_) {
        if (key == s.description->key) {
            return &s;
        }
    }
    return nullptr;
}

bool Workbench::panel_visible(const std::string& key) const {
    for (const Slot& s : slots_) {
        if (key == s.description->key) {
            return s.visible;
        }
    }
    return false;
}

bool Workbench::panel_behind(const ui::PanelDescription& panel) {
    const ImGuiWindow* window = ImGui::FindWindowByName(panel_window_id(panel.key).c_str());
    return window != nullptr && window->DockIsActive && !window->DockTabIsVisible;
}

void Workbench::show_panel(const std::string& key, bool visible) {
    if (Slot* s = slot(key)) {
        s->visible = visible;
        s->focus = visible ? 2 : 0;
        save_settings_soon();
        wanted_frames_ = std::max(wanted_frames_, 3);
    }
}

void Workbench::set_language(const std::string& code) {
    text_ = code == "zh" ? &chinese_ : &english_;
    settings_.language = text_->code();
    save_settings_soon();
}

void Workbench::set_text_scale(float scale) {
    settings_.text_scale = std::clamp(scale, 0.6f, 2.5f);
    style_due_ = true;
    save_settings_soon();
}

void Workbench::apply_style() {
    style_due_ = false;
    theme_ = ui::make_theme(settings_.dark);
    ui::apply_theme(theme_, settings_.text_scale * platform_.content_scale());
}

void Workbench::set_layout(const std::string& layout) {
    remember_layout();
    for (Slot& s : slots_) {
        s.focus = 0;
    }
    settings_.layout = layout;
    layout_due_ = true;
    wanted_frames_ = std::max(wanted_frames_, 3);
    save_settings_soon();
}

void Workbench::show_layout(const std::string& layout) {
    if (settings_.layout != layout) {
        set_layout(layout);
    }
    show_panel(main_panel(layout, panels_));
}

/// Under which name the arrangement on show is kept.
std::string Workbench::arrangement() const {
    return settings_.layout + (small_ ? kSmall : "");
}

/// A window that has become small, or letters that have become large, get the arrangement for that; the other one comes
/// back as it was left.
void Workbench::choose_arrangement() {
    int width = 0, height = 0;
    platform_.size(width, height);
    const float em = ImGui::GetStyle().FontSizeBase * ImGui::GetStyle().FontScaleMain * ImGui::GetStyle().FontScaleDpi;
    const bool small = is_small({static_cast<float>(width), static_cast<float>(height)}, em);
    if (small == small_ || style_due_) {
        return;
    }
    remember_layout();
    // What a person looks at stays in front.
    const ImGuiWindow* looked_at = ImGui::GetCurrentContext()->NavWindow;
    for (Slot& s : slots_) {
        const ImGuiWindow* window = ImGui::FindWindowByName(panel_window_id(s.description->key).c_str());
        if (s.visible && window != nullptr && looked_at != nullptr && looked_at->RootWindow == window) {
            s.focus = 1;
        }
    }
    small_ = small;
    layout_due_ = true;
}

/// Before a frame begins: the saved arrangement of the layout, or the default one.
void Workbench::apply_layout() {
    const auto saved = settings_.layouts.find(arrangement());
    const bool use_saved =
        saved != settings_.layouts.end() && !saved->second.panels.empty() && !saved->second.ini.empty();
    const std::vector<std::string> panels =
        use_saved ? saved->second.panels : default_panels(settings_.layout, panels_);
    for (Slot& s : slots_) {
        const bool wanted = s.focus > 0;
        s.visible = wanted || std::find(panels.begin(), panels.end(), s.description->key) != panels.end();
        s.focus = wanted ? 4 : 0;  // the dock nodes choose their own tabs first
    }
    if (use_saved) {
        ImGui::LoadIniSettingsFromMemory(saved->second.ini.c_str(), saved->second.ini.size());
    }
    layout_due_ = false;
    between_layouts_ = true;
    build_layout_ = !use_saved;  // by draw_panels(), inside the frame, where the size of the dock space is known
}

void Workbench::remember_layout() {
    if (layout_due_ || build_layout_) {
        return;  // not shown yet: nothing of it to remember
    }
    SavedLayout& layout = settings_.layouts[arrangement()];
    layout.ini = ImGui::SaveIniSettingsToMemory();
    layout.panels.clear();
    for (const Slot& s : slots_) {
        if (s.visible) {
            layout.panels.emplace_back(s.description->key);
        }
    }
}

void Workbench::save_settings_soon() {
    if (settings_due_ <= 0) {
        settings_due_ = client::now_seconds() + kSaveDelay;
    }
}

void Workbench::save_settings_if_due(bool now) {
    if (options_.settings_folder.empty() || (!now && (settings_due_ <= 0 || client::now_seconds() < settings_due_))) {
        return;
    }
    settings_due_ = 0;
    remember_layout();
    for (const auto& session : sessions_) {
        note_session(*session);
    }
    if (!platform_.headless()) {
        platform_.size(settings_.width, settings_.height);
    }
    background_.post([this, file = settings_file(options_.settings_folder),
                      text = settings_text(settings_)]() -> Background::Completion {
        const base::Sentence kept = set_damaged_settings_aside(file);
        write_file(file, text);
        return kept.empty() ? Background::Completion() : [this, kept] { notify(kept, true); };
    });
}

void Workbench::notify(base::Sentence sentence, bool error, const std::filesystem::path& file) {
    front_->kept->notices.add(std::move(sentence), error, client::now_seconds(), file);
    wanted_frames_ = std::max(wanted_frames_, 2);
}

/// Pictures are of what was on the screen when the person asked; where to put them is asked afterwards.
void Workbench::take_pictures() {
    if (front_->kept->pictures.empty()) {
        return;
    }
    const auto whole = std::make_shared<const Image>(platform_.read_pixels(is_of_panels));
    const ImVec2 factor = ImGui::GetIO().DisplayFramebufferScale;
    for (const PictureRequest& request : std::exchange(front_->kept->pictures, {})) {
        const auto pixel = [](float at, float scale, int limit) {
            return std::clamp(static_cast<int>(std::lround(at * scale)), 0, limit);
        };
        const int x0 = pixel(request.min.x, factor.x, whole->width), x1 = pixel(request.max.x, factor.x, whole->width);
        const int y0 = pixel(request.min.y, factor.y, whole->height),
                  y1 = pixel(request.max.y, factor.y, whole->height);
        save_as(request.name, [whole, x0, x1, y0, y1] {
            std::vector<unsigned char> part;
            for (int y = y0; y < y1; ++y) {
                const auto row = whole->rgba.begin() + (static_cast<std::ptrdiff_t>(y) * whole->width) * 4;
                part.insert(part.end(), row + static_cast<std::ptrdiff_t>(x0) * 4,
                            row + static_cast<std::ptrdiff_t>(x1) * 4);
            }
            return ui::encode_png(part.data(), x1 - x0, y1 - y0);
        });
    }
}

void Workbench::save_screenshot(const std::filesystem::path& file) {
    const auto image = std::make_shared<const Image>(platform_.read_pixels());
    background_.post([this, image, file]() -> Background::Completion {
        const base::Sentence problem =
            write_file(file, ui::encode_png(image->rgba.data(), image->width, image->height));
        if (problem.empty()) {
            return {};
        }
        return [this, problem] { notify(problem, true); };
    });
}

void Workbench::flush_background() {
    bool done = false;
    background_.post([&done]() -> Background::Completion { return [&done] { done = true; }; });
    while (!done) {
        platform_.wait(0.05);
        background_.finish();
    }
}

}  // namespace moescope::app
