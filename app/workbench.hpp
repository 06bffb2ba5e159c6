// The workbench: what stands between the window of the system and the panels. It owns the open sessions with their
// panels, of which one is in front, the settings and the list of commands, and builds one frame when asked. GUI thread
// only.
#pragma once

#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "app/background.hpp"
#include "app/commands.hpp"
#include "app/connect_form.hpp"
#include "app/dialogs.hpp"
#include "app/escape.hpp"
#include "app/fonts.hpp"
#include "app/frame_times.hpp"
#include "app/input_queue.hpp"
#include "app/leaving.hpp"
#include "app/node_copy.hpp"
#include "app/notices.hpp"
#include "app/open_session.hpp"
#include "app/palette.hpp"
#include "app/platform.hpp"
#include "app/recent_sessions.hpp"
#include "app/settings.hpp"
#include "panels/ui/panel.hpp"

namespace moescope::app {

struct WorkbenchOptions {
    std::filesystem::path session;  ///< the first one; not used when `node` is not empty
    std::string node;               ///< address of a node on another machine; empty: one of our own
    std::filesystem::path node_program;
    std::vector<std::string> node_arguments;
    std::filesystem::path assets;           ///< folder with languages/, fonts/, docs/
    std::filesystem::path settings_folder;  ///< empty: nothing is read or saved
    std::string language;                   ///< "en", "zh"; empty: as saved, else the system's
    float scale = 0;                        ///< text scale; 0: as saved
    bool native_dialogs = true;
};

class Workbench {
 public:
    /// Starts the node. Throws std::runtime_error when the assets are incomplete.
    Workbench(Platform& platform, WorkbenchOptions options);
    ~Workbench();
    Workbench(const Workbench&) = delete;
    Workbench& operator=(const Workbench&) = delete;

    /// Frames on demand until the window is closed.
    void run();
    /// One turn of run(): waits until something happens or a frame is due, at most `longest` seconds (below 0: for
    /// ever), and draws the frames that are due.
    void turn(double longest);
    /// A person wants the window closed: asks what becomes of the work, or ends at once.
    void take_close();
    bool ended() const { return quit_; }
    /// Builds, draws and shows one frame, whatever happened.
    void frame();

    /// True when the command exists and is available. Keys that are no command go to the panels' own actions.
    bool command(const std::string& key);
    const Commands& commands() const { return commands_; }
    // Of the session in front.
    const client::Snapshot& snapshot() const { return *front_->snapshot; }
    client::NodeClient& client() { return *front_->client; }
    ui::Selection& selection() { return front_->kept->selection; }
    const Notices& notices() const { return front_->kept->notices; }
    const std::filesystem::path& session() const { return front_->folder; }
    /// Where it is: the session's folder, or the node's address.
    std::string place() const { return front_->place(); }

    /// In the order of the tabs; never empty.
    const OpenSessions& sessions() const { return sessions_; }
    const ui::Language& text() const { return *text_; }
    const Settings& settings() const { return settings_; }
    const Dialogs& dialogs() const { return dialogs_; }
    const ui::Floating& floating() const { return floating_; }
    std::string shortcut(const std::string& key) const;  ///< keys of a command as text, empty when it has none
    FrameTimes& frame_times() { return frame_times_; }
    const std::string& chinese_font() const { return fonts_.chinese_file(); }
    bool welcome_visible() const { return welcome_; }

    bool panel_visible(const std::string& key) const;
    /// Open, but behind another tab of its dock node.
    static bool panel_behind(const ui::PanelDescription& panel);
    void show_panel(const std::string& key, bool visible = true);
    void set_language(const std::string& code);
    void set_text_scale(float scale);
    void set_layout(const std::string& layout);
    /// The layout as it was left, the panel that it is about in front.
    void show_layout(const std::string& layout);
    /// In a tab of its own, which comes to the front; so does the one that has it open already.
    void open_session(const std::filesystem::path& folder);
    /// The same for the node at that address, which goes on when the window leaves it.
    void open_node(const std::string& address);
    /// Brings it to the front before the next frame. What works in the others goes on.
    void show_session(std::uint64_t id);
    /// The tab `by` places further on, around the end.
    void step_session(int by);
    /// Before the next frame, when nothing works in it or the person has said so. The last one stays.
    void close_session(std::uint64_t id);
    /// What dropping files on the window does: model files are added, a session folder is opened.
    void drop(const std::vector<std::string>& paths);
    /// `file`: what was written, for the button that shows it.
    void notify(base::Sentence sentence, bool error, const std::filesystem::path& file = {});
    void notify(std::string translated, bool error) { notify(base::Sentence::verbatim(std::move(translated)), error); }
    /// As if the path had been typed into the open file dialog and confirmed, overwriting included; false when none is
    /// open.
    bool answer_path(const std::string& path) { return dialogs_.answer(path); }
    /// Saves the frame on show as PNG in the background.
    void save_screenshot(const std::filesystem::path& file);
    /// Waits for the background work that was posted so far.
    void flush_background();

 private:
    struct Slot {
        const ui::PanelDescription* description = nullptr;
        bool visible = false;
        int focus =
            0;  ///< in so many frames its tab is brought to the front: a dock node chooses its own tab in the first
    };

    ui::Context context() { return context(*front_); }
    ui::Context context(OpenSession& session);
    Slot* slot(const std::string& key);
    ui::Panel& panel(const OpenSession& session, const Slot& slot) const;
    bool act(OpenSession& session, const std::string& key);
    void load_manual();
    void before_next_frame(std::function<void()> what);
    OpenSession* find_session(std::uint64_t id) const;
    void start_session(const std::filesystem::path& folder, const std::string& node);
    void new_tab(const std::filesystem::path& folder, const std::string& say_then);
    void end_what_came_to_nothing(const std::shared_ptr<OpenSession>& session);
    void remember_node(const std::string& address);
    void bring_to_front(const std::shared_ptr<OpenSession>& session);
    void end_session(std::uint64_t id);
    void retire(OpenSession& session);
    void begin_session(OpenSession& session);
    void leave_fields();
    void list_sessions();
    void note_session(const OpenSession& session);
    RecentSessions::Actions recent_actions();
    /// Sessions that were left, and when their node is gone.
    using Departures = std::map<std::filesystem::path, std::shared_future<void>>;
    /// A node that is still on its way out has its session locked. Not on the GUI thread: waits some seconds at most.
    static void wait_until_left(const Departures& departures, const std::filesystem::path& session);
    /// `what`, which does nothing once the session is closed: whoever waits for it is gone then.
    template <class... Arguments>
    static std::function<void(Arguments...)> while_open(const OpenSession& session,
                                                        std::function<void(Arguments...)> what) {
        return [what = std::move(what), kept = std::weak_ptr<KeptOfSession>(session.kept)](Arguments... arguments) {
            if (!kept.expired()) {
                what(std::forward<Arguments>(arguments)...);
            }
        };
    }
    /// What is done with a path for the session that is in front now, whichever is when the path was chosen.
    std::function<void(const std::string&)> to_front(std::function<void(client::NodeClient&, const std::string&)> what);
    void take_snapshots();
    void take_snapshot(OpenSession& session);
    void report_results(OpenSession& session);
    void report_problems(OpenSession& session);
    void report_behind(OpenSession& session);
    /// What is about that session: it has it among its messages, and so has the one in front, under its name.
    void tell(OpenSession& session, const base::Sentence& sentence, bool error, const std::filesystem::path& file = {});
    void apply_style();
    void choose_arrangement();
    std::string arrangement() const;
    void apply_layout();
    void remember_layout();
    void save_settings_soon();
    void save_settings_if_due(bool now);
    void take_pictures();
    void ask_where(const std::string& name, std::function<void(const std::string&)> done);
    void save_as(const std::string& name, std::function<std::string()> make);
    void write_in_background(const std::string& path, std::function<std::string()> make);
    void show_file(const std::filesystem::path& file);
    void leave(const OpenSessions& sessions, Leaving::Where where, std::function<void()> go);
    void leave_window();

    // workbench_commands.cpp
    void add_commands();
    void add_file_commands();
    void add_edit_commands();
    void add_panel_commands(const ui::PanelDescription& panel);
    void add_view_commands();
    void add_help_commands();

    // workbench_draw.cpp
    void draw(ui::Context& ctx);
    void draw_menu_bar(ui::Context& ctx);
    void draw_menu(ui::Context& ctx, const Menu& menu);
    void draw_node_status(ui::Context& ctx);
    void draw_recovery(ui::Context& ctx);
    void draw_status_line(ui::Context& ctx);
    void draw_tasks(ui::Context& ctx);
    void draw_numbers(ui::Context& ctx);
    std::string numbers_text(const ui::Context& ctx) const;
    void draw_notices(ui::Context& ctx);
    void draw_show_button(ui::Context& ctx, const std::filesystem::path& file);
    void draw_panels(ui::Context& ctx);
    void draw_strip(ui::Context& ctx, Slot& s);
    void draw_welcome(ui::Context& ctx);
    void draw_diagnostics(ui::Context& ctx);
    void choose_welcome(const std::string& choice);

    static constexpr double kStaleSeconds = 6;  ///< a living node sends something at least every 5 s
    /// Shortest time between frames that only sessions behind ask for.
    static constexpr double kBehindInterval = 0.5;

    double wait_time(double now) const;

    Platform& platform_;
    WorkbenchOptions options_;
    Settings settings_;
    Background background_;
    Fonts fonts_;
    ui::Language english_, chinese_;
    const ui::Language* text_ = &english_;  ///< the one on show
    ui::Theme theme_;
    OpenSessions sessions_;               ///< in the order of the tabs
    std::shared_ptr<OpenSession> front_;  ///< one of them; never null once the window is made
    std::uint64_t last_session_ = 0;      ///< newest OpenSession::id
    ui::Sessions opened_;                 ///< the same, as panels see them
    ImPlotContext* no_plots_ = nullptr;   ///< the platform's own: in use while no session is
    std::vector<std::thread> retiring_;   ///< clients of sessions that were left, on their way out
    Departures departures_;
    const std::vector<ui::PanelDescription> panels_;
    std::vector<Slot> slots_;  ///< [panels_]
    Commands commands_;
    Palette palette_;
    Dialogs dialogs_;
    ConnectForm connect_;
    NodeCopy node_copy_;
    RecentSessions recent_;
    Leaving leaving_;
    InputQueue input_;
    Escape escape_;
    ui::Floating floating_;
    FrameTimes frame_times_;

    bool layout_due_ = true;                   ///< the next frame begins with apply_layout()
    bool small_ = false;                       ///< all panels are tabs of one place, see is_small()
    bool build_layout_ = false;                ///< and builds the default dock tree
    std::vector<std::function<void()>> next_;  ///< done before the next frame begins
    bool between_layouts_ =
        false;  ///< one frame without panels, never shown: all tabs then appear at once and in order
    bool style_due_ = true;
    bool welcome_ = false, diagnostics_ = false, notices_open_ = false;
    bool quit_ = false;
    double settings_due_ = 0;  ///< client::now_seconds() at which the settings are saved; 0: nothing to save
    double last_frame_ = 0, last_input_ = 0;
    double next_frame_ = 0;  ///< client::now_seconds() at which a panel wants the next frame; 0: none does
    bool hurry_ = false;     ///< more input waits: this frame may stay unseen
    int wanted_frames_ = 3;
};

}  // namespace moescope::app
