// The workbench: what stands between the window of the system and the panels. It owns the client, the panels, the
// settings and the list of commands, and builds one frame when asked. GUI thread only.
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
#include "app/palette.hpp"
#include "app/platform.hpp"
#include "app/recovery.hpp"
#include "app/settings.hpp"
#include "panels/ui/panel.hpp"

namespace moescope::app {

struct WorkbenchOptions {
    std::filesystem::path session;  ///< not used while `node` is not empty
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
    const client::Snapshot& snapshot() const { return *snapshot_; }
    client::NodeClient& client() { return *client_; }
    ui::Selection& selection() { return on_show_->selection; }
    const ui::Language& text() const { return *text_; }
    const Settings& settings() const { return settings_; }
    const Notices& notices() const { return on_show_->notices; }
    const Dialogs& dialogs() const { return dialogs_; }
    const ui::Floating& floating() const { return floating_; }
    std::string shortcut(const std::string& key) const;  ///< keys of a command as text, empty when it has none
    FrameTimes& frame_times() { return frame_times_; }
    const std::string& chinese_font() const { return fonts_.chinese_file(); }
    const std::filesystem::path& session() const { return options_.session; }
    /// Where what is open is: the session's folder, or the node's address.
    std::string place() const { return options_.node.empty() ? options_.session.string() : options_.node; }
    bool welcome_visible() const { return welcome_; }

    bool panel_visible(const std::string& key) const;
    void show_panel(const std::string& key, bool visible = true);
    void set_language(const std::string& code);
    void set_text_scale(float scale);
    void set_layout(const std::string& layout);
    /// The layout as it was left, the panel that it is about in front.
    void show_layout(const std::string& layout);
    void open_session(const std::filesystem::path& folder);
    /// Leaves what is open for the node at that address, which goes on when the window leaves it.
    void open_node(const std::string& address);
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
        std::unique_ptr<ui::Panel> panel{};
        bool visible = false;
        int focus =
            0;  ///< in so many frames its tab is brought to the front: a dock node chooses its own tab in the first
    };

    struct PictureRequest {
        ImVec2 min, max;
        std::string name;
    };
    /// What belongs to the session on show, as all panels do: begin_session() makes it anew, so that none of it needs
    /// to be taken back.
    struct OnShow {
        std::uint64_t session = 0;  ///< Snapshot::session
        ui::Selection selection;
        ui::Shared shared;
        Recovery recovery;
        Notices notices;
        double status_until = 0;  ///< client::now_seconds() at which the line in the status line goes; 0: it stays
        std::map<client::CommandId, client::CommandResult::State> seen_results;
        std::vector<base::Sentence> told_problems;  ///< of the session, as they were last
        std::vector<std::string> when_connected;    ///< commands that wait until they are available
        std::vector<PictureRequest> pictures;       ///< to be cut out of this frame when it is finished
        std::uint64_t drawn_version = 0;
    };

    ui::Context context();
    Slot* slot(const std::string& key);
    void load_manual();
    void start_client();
    void retire_client();
    void switch_session(const std::filesystem::path& folder, const std::string& say_then);
    void begin_session();
    /// Sessions that were left, and when their node is gone.
    using Departures = std::map<std::filesystem::path, std::shared_future<void>>;
    /// A node that is still on its way out has its session locked. Not on the GUI thread: waits some seconds at most.
    static void wait_until_left(const Departures& departures, const std::filesystem::path& session);
    /// `what`, which does nothing once another session is on show: whoever waits for it is gone then.
    template <class... Arguments>
    std::function<void(Arguments...)> while_on_show(std::function<void(Arguments...)> what) const {
        return [what = std::move(what), session = std::weak_ptr<OnShow>(on_show_)](Arguments... arguments) {
            if (!session.expired()) {
                what(std::forward<Arguments>(arguments)...);
            }
        };
    }
    void take_snapshot();
    void report_results();
    void report_problems();
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
    void leave(Leaving::Where where, std::function<void()> go);

    // workbench_commands.cpp
    void add_commands();
    void add_file_commands();
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
    void draw_welcome(ui::Context& ctx);
    void draw_diagnostics(ui::Context& ctx);
    void choose_welcome(const std::string& choice);

    static constexpr double kStaleSeconds = 6;  ///< a living node sends something at least every 5 s

    double wait_time(double now) const;

    Platform& platform_;
    WorkbenchOptions options_;
    Settings settings_;
    Background background_;
    Fonts fonts_;
    ui::Language english_, chinese_;
    const ui::Language* text_ = &english_;  ///< the one on show
    ui::Theme theme_;
    std::unique_ptr<client::NodeClient> client_;
    std::shared_ptr<const client::Snapshot> snapshot_;
    std::vector<std::thread> retiring_;  ///< clients of sessions that were left, on their way out
    Departures departures_;
    const std::vector<ui::PanelDescription> panels_;
    std::vector<Slot> slots_;  ///< [panels_]
    Commands commands_;
    std::shared_ptr<OnShow> on_show_ = std::make_shared<OnShow>();  ///< never null
    Palette palette_;
    Dialogs dialogs_;
    ConnectForm connect_;
    NodeCopy node_copy_;
    Leaving leaving_;
    InputQueue input_;
    Escape escape_;
    ui::Floating floating_;
    FrameTimes frame_times_;

    bool layout_due_ = true;      ///< the next frame begins with apply_layout()
    bool small_ = false;          ///< all panels are tabs of one place, see is_small()
    bool build_layout_ = false;   ///< and builds the default dock tree
    std::function<void()> next_;  ///< done before the next frame begins
    bool between_layouts_ =
        false;  ///< one frame without panels, never shown: all tabs then appear at once and in order
    bool style_due_ = true;
    bool welcome_ = false, diagnostics_ = false, notices_open_ = false;
    bool quit_ = false;
    std::string kept_coder_;   ///< as the settings are saved, or soon will be
    double settings_due_ = 0;  ///< client::now_seconds() at which the settings are saved; 0: nothing to save
    double last_frame_ = 0, last_input_ = 0;
    double next_frame_ = 0;  ///< client::now_seconds() at which a panel wants the next frame; 0: none does
    bool hurry_ = false;     ///< more input waits: this frame may stay unseen
    int wanted_frames_ = 3;
};

}  // namespace moescope::app
