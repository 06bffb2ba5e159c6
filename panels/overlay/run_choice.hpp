// Which runs are shown over each other: those of this session, by experiment, those of the sessions in other tabs,
// which go on, and those of other sessions, whose folders are read in the background. GUI thread.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nodes/history/other_session.hpp"
#include "panels/overlay/overlay_model.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

class RunChoice {
 public:
    /// The chosen runs, with their load figures as far as they are counted; long ones are counted in the background.
    std::vector<ShownRun> shown(ui::Context& ctx);
    /// The runs of an experiment of this session and no others.
    void show_experiment(const client::Snapshot& snapshot, std::uint32_t number);
    /// Hides a shown run, or shows it again.
    void toggle(const std::string& id);
    /// The button that opens the list, and the list.
    void draw(ui::Context& ctx, std::size_t count);
    /// Opens the list in the next draw().
    void open() { open_ = true; }
    /// Whether there is any run that could be chosen.
    bool any(const ui::Context& ctx) const;
    /// Reads the session in that folder in the background; its newest runs are then shown. Those of a session that is
    /// open in another tab are there already.
    void add_session(ui::Context& ctx, const std::filesystem::path& folder);

 private:
    /// A run of an open session: Snapshot::session, run.
    using OpenRun = std::pair<std::uint64_t, std::uint32_t>;
    std::shared_ptr<const history::LoadSeries> loads_of(ui::Context& ctx, const OpenRun& which,
                                                        const std::shared_ptr<const history::TrainingRun>& run);
    void add_open_runs(ui::Context& ctx, std::vector<ShownRun>& runs);
    void let_go_of_open(ui::Context& ctx);
    void show_newest(ui::Context& ctx, const ui::OpenedSession& session) const;
    /// From here on a person chooses.
    std::set<std::string>& chosen(const client::Snapshot& snapshot);
    bool is_chosen(const client::Snapshot& snapshot, const std::string& id) const;
    void draw_run(ui::Context& ctx, const std::string& id, const history::TrainingRun& run, const std::string& name);
    /// True when it was turned; `ticked` is how it stands then.
    static bool draw_tick(ui::Context& ctx, const std::string& id, const history::TrainingRun& run,
                          const std::string& name, bool& ticked);
    void draw_open_sessions(ui::Context& ctx);
    void draw_experiment(ui::Context& ctx, const history::Experiment& experiment);
    void draw_this_session(ui::Context& ctx);
    void draw_imported(ui::Context& ctx);
    void draw_other_sessions(ui::Context& ctx);
    void draw_adding(ui::Context& ctx);
    void find_neighbours(ui::Context& ctx);

    std::optional<std::set<std::string>> chosen_;  ///< nothing: first_choice()
    std::set<std::string> hidden_;
    std::map<std::string, std::size_t> looks_;  ///< of the shown ones; one stays as long as its run is shown
    bool open_ = false;

    struct Loads {
        history::LoadSeriesReader reader;
        std::shared_ptr<const history::LoadSeries> series = std::make_shared<const history::LoadSeries>();
        bool counting = false;  ///< a copy of the reader is at work in the background
    };
    std::map<OpenRun, Loads> loads_;

    std::vector<std::shared_ptr<const history::OtherSession>> others_;
    std::set<std::filesystem::path> reading_;
    std::filesystem::path wanted_;  ///< chosen in the dialog, to be read in the next frame
    std::filesystem::path come_;    ///< the session that was read last, until the list has shown it
    std::optional<std::vector<std::filesystem::path>> neighbours_;  ///< nothing: not looked for yet
    bool looking_ = false;
};

}  // namespace moescope::panels
