#include "panels/overlay/run_choice.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <limits>
#include <utility>

#include "panels/runs/experiment_values.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

namespace fs = std::filesystem;
using history::TrainingRun;
using ui::Context;

/// So many counts are looked at in one frame; more are counted in the background.
constexpr std::size_t kCountsOfFrame = 1'000'000;
constexpr std::size_t kFirstOfOther = 4;  ///< runs of another session that are shown at once

std::string id_of(std::uint32_t run) {
    return std::to_string(run);
}

std::string id_of(const fs::path& session, std::uint32_t run) {
    return fmt::format("{:x}-{}", std::hash<std::string>()(session.string()), run);
}

/// Of a session in another tab. Its number in the session would be that of a run of this one.
std::string id_of(std::uint64_t session, std::uint32_t run) {
    return fmt::format("tab{:x}-{}", session, run);
}

/// The tab that has the folder open; null when none has.
const ui::OpenedSession* tab_of(const Context& ctx, const fs::path& folder) {
    const auto& open = ctx.sessions.open;
    const auto found = std::find_if(open.begin(), open.end(), [&](const ui::OpenedSession& session) {
        return session.machine.empty() && fs::path(session.place) == folder;
    });
    return found == open.end() ? nullptr : &*found;
}

bool in_experiment(const client::Snapshot& snapshot, const TrainingRun& run) {
    return snapshot.experiments.count(history::experiment_place(run.manifest).number) != 0;
}

}  // namespace

bool RunChoice::any(const Context& ctx) const {
    return !ctx.snapshot.training.empty() || !ctx.snapshot.imports.empty() || !others_.empty() || !reading_.empty() ||
           !ctx.sessions.beside.empty();
}

bool RunChoice::is_chosen(const client::Snapshot& snapshot, const std::string& id) const {
    if (chosen_) {
        return chosen_->count(id) != 0;
    }
    const auto first = first_choice(snapshot);
    return std::any_of(first.begin(), first.end(), [&](std::uint32_t run) { return id_of(run) == id; });
}

std::set<std::string>& RunChoice::chosen(const client::Snapshot& snapshot) {
    if (!chosen_) {
        chosen_.emplace();
        for (const std::uint32_t run : first_choice(snapshot)) {
            chosen_->insert(id_of(run));
        }
    }
    return *chosen_;
}

void RunChoice::show_experiment(const client::Snapshot& snapshot, std::uint32_t number) {
    const auto found = snapshot.experiments.find(number);
    if (found == snapshot.experiments.end()) {
        return;
    }
    chosen_.emplace();
    hidden_.clear();
    for (const history::Experiment::Run& run : found->second->runs) {
        chosen_->insert(id_of(run.run));
    }
}

void RunChoice::toggle(const std::string& id) {
    if (hidden_.erase(id) == 0) {
        hidden_.insert(id);
    }
}

std::shared_ptr<const history::LoadSeries> RunChoice::loads_of(Context& ctx, const OpenRun& which,
                                                               const std::shared_ptr<const TrainingRun>& run) {
    Loads& loads = loads_[which];
    if (loads.counting) {
        return loads.series;
    }
    const std::size_t before = loads.reader.series().step.size();
    const double newest = before == 0 ? 0 : loads.reader.series().step.back();
    const bool complete = loads.reader.update(*run, kCountsOfFrame);
    const history::Column& steps = loads.reader.series().step;
    if (steps.size() != before || (!steps.empty() && steps.back() != newest)) {
        loads.series = std::make_shared<const history::LoadSeries>(loads.reader.series());
    }
    if (complete || !ctx.in_background) {
        return loads.series;
    }
    // The rest on another thread: the copy goes on with the columns, and this one waits for it.
    loads.counting = true;
    ctx.in_background([this, which, run, reader = loads.reader]() mutable {
        (void)reader.update(*run, std::numeric_limits<std::size_t>::max() / 2);
        return [this, which, reader = std::move(reader)] {
            Loads& counted = loads_[which];
            counted.reader = reader;
            counted.series = std::make_shared<const history::LoadSeries>(reader.series());
            counted.counting = false;
        };
    });
    return loads.series;
}

/// Those that are ticked, here or in the list of runs of their own tab.
void RunChoice::add_open_runs(Context& ctx, std::vector<ShownRun>& runs) {
    for (const ui::OpenedSession& session : ctx.sessions.open) {
        if (session.front) {
            continue;
        }
        for (const auto& [number, run] : session.snapshot->training) {
            const OpenRun which{session.snapshot->session, number};
            if (ctx.sessions.beside.count(which) != 0 && !run->step.empty()) {
                const std::string id = id_of(which.first, number);
                runs.push_back({id,
                                {},
                                session.name,
                                run,
                                loads_of(ctx, which, run),
                                0,
                                hidden_.count(id) != 0,
                                true,
                                which.first});
            }
        }
    }
}

/// Nothing is kept of a tab that was closed; and what was read from the folder of one that is open now is there as it
/// goes on.
void RunChoice::let_go_of_open(Context& ctx) {
    std::erase_if(loads_, [&](const auto& entry) {
        return std::none_of(ctx.sessions.open.begin(), ctx.sessions.open.end(), [&](const ui::OpenedSession& session) {
            return session.snapshot->session == entry.first.first;
        });
    });
    std::erase_if(others_, [&](const auto& other) {
        const ui::OpenedSession* tab = tab_of(ctx, other->folder);
        for (std::size_t i = 0; tab != nullptr && i < other->runs.size(); ++i) {
            const std::uint32_t run = other->runs[i].run->id;
            if (is_chosen(ctx.snapshot, id_of(other->folder, run))) {
                ctx.sessions.beside.insert({tab->snapshot->session, run});
            }
        }
        return tab != nullptr;
    });
}

void RunChoice::show_newest(Context& ctx, const ui::OpenedSession& session) const {
    std::size_t left = kFirstOfOther;
    const auto& runs = session.snapshot->training;
    for (auto run = runs.rbegin(); run != runs.rend() && left > 0; ++run) {
        if (!run->second->step.empty()) {
            ctx.sessions.beside.insert({session.snapshot->session, run->first});
            --left;
        }
    }
}

std::vector<ShownRun> RunChoice::shown(Context& ctx) {
    let_go_of_open(ctx);
    std::vector<ShownRun> runs;
    for (const auto& [number, run] : ctx.snapshot.training) {
        if (const std::string id = id_of(number); is_chosen(ctx.snapshot, id)) {
            runs.push_back({id,
                            {},
                            {},
                            run,
                            loads_of(ctx, {ctx.snapshot.session, number}, run),
                            0,
                            hidden_.count(id) != 0,
                            false,
                            ctx.snapshot.session});
        }
    }
    for (const auto& [number, run] : ctx.snapshot.imports) {
        if (const std::string id = id_of(number); is_chosen(ctx.snapshot, id) && !run->step.empty()) {
            runs.push_back({id,
                            {},
                            {},
                            run,
                            loads_of(ctx, {ctx.snapshot.session, number}, run),
                            0,
                            hidden_.count(id) != 0,
                            false,
                            ctx.snapshot.session});
        }
    }
    add_open_runs(ctx, runs);
    for (const auto& other : others_) {
        for (const history::OtherRun& run : other->runs) {
            if (const std::string id = id_of(other->folder, run.run->id); is_chosen(ctx.snapshot, id)) {
                runs.push_back({id, {}, other->name, run.run, run.loads, 0, hidden_.count(id) != 0});
            }
        }
    }
    std::erase_if(looks_, [&](const auto& entry) {
        return std::none_of(runs.begin(), runs.end(), [&](const ShownRun& run) { return run.id == entry.first; });
    });
    std::set<std::size_t> taken;
    for (const auto& [id, look] : looks_) {
        taken.insert(look);
    }
    for (ShownRun& run : runs) {
        auto [look, is_new] = looks_.try_emplace(run.id, 0);
        while (is_new && !taken.insert(look->second).second) {
            ++look->second;
        }
        run.look = look->second;
    }
    label_runs(ctx.text, runs);
    return runs;
}

void RunChoice::add_session(Context& ctx, const fs::path& folder) {
    const fs::path path = folder.filename().empty() ? folder.parent_path() : folder;
    if (const ui::OpenedSession* tab = tab_of(ctx, path)) {
        if (!tab->front) {
            show_newest(ctx, *tab);
        }
        return;
    }
    if (path == fs::path(ctx.snapshot.node.session) || !reading_.insert(path).second) {
        return;  // on show anyway, or on its way
    }
    ctx.in_background([this, path] {
        auto read = std::make_shared<const history::OtherSession>(history::read_other_session(path));
        return [this, path, read] {
            reading_.erase(path);
            const bool again =
                std::any_of(others_.begin(), others_.end(), [&](const auto& other) { return other->folder == path; });
            std::erase_if(others_, [&](const auto& other) { return other->folder == path; });
            others_.push_back(read);
            come_ = path;
            if (again || !chosen_) {
                return;
            }
            const std::size_t count = read->runs.size();
            for (std::size_t i = count - std::min(count, kFirstOfOther); i < count; ++i) {
                chosen_->insert(id_of(path, read->runs[i].run->id));
            }
        };
    });
    (void)chosen(ctx.snapshot);  // what is shown now stays beside what comes
}

void RunChoice::find_neighbours(Context& ctx) {
    if (neighbours_ || looking_ || !ctx.in_background) {
        return;
    }
    looking_ = true;
    ctx.in_background([this, session = fs::path(ctx.snapshot.node.session)] {
        auto found = history::sessions_beside(session);
        return [this, found = std::move(found)] {
            neighbours_ = found;
            looking_ = false;
        };
    });
}

bool RunChoice::draw_tick(Context& ctx, const std::string& id, const TrainingRun& run, const std::string& name,
                          bool& ticked) {
    // The name is cut to the room that there is; its tooltip has it whole.
    const float room =
        ImGui::GetContentRegionAvail().x - ImGui::GetFrameHeight() - 2 * ImGui::GetStyle().ItemInnerSpacing.x;
    const std::string label = ui::elided(name, std::max(4 * ctx.em, room)) + "###run." + id;
    const bool turned = ImGui::Checkbox(label.c_str(), &ticked);
    if (ui::tooltip_due()) {
        ui::tooltip(run_title(ctx.text, run) + "\n" + ctx.text(ui::state_key(run.state)) + "\n" +
                    ctx.text.format("training.step", {{"step", ctx.text.number(static_cast<std::uint64_t>(
                                                                   run.step.empty() ? 0 : run.step.back()))}}));
    }
    return turned;
}

void RunChoice::draw_run(Context& ctx, const std::string& id, const TrainingRun& run, const std::string& name) {
    bool ticked = is_chosen(ctx.snapshot, id);
    if (!draw_tick(ctx, id, run, name, ticked)) {
        return;
    }
    std::set<std::string>& all = chosen(ctx.snapshot);
    if (ticked) {
        all.insert(id);
        hidden_.erase(id);
    } else {
        all.erase(id);
    }
}

/// The runs of the other tabs. Ticked, a run stands beside those of every other session, as their lists of runs say
/// too.
void RunChoice::draw_open_sessions(Context& ctx) {
    for (const ui::OpenedSession& session : ctx.sessions.open) {
        const auto& runs = session.snapshot->training;
        if (session.front || runs.empty()) {
            continue;
        }
        ui::section(ctx, ui::elided(session.name, ImGui::GetContentRegionAvail().x));
        ui::tooltip(ctx.text.format("overlay.choose.tab", {{"place", session.place}}));
        for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
            const OpenRun which{session.snapshot->session, run->first};
            bool ticked = ctx.sessions.beside.count(which) != 0;
            const std::string id = id_of(which.first, run->first);
            if (!draw_tick(ctx, id, *run->second, run->second->name, ticked)) {
                continue;
            }
            if (ticked) {
                ctx.sessions.beside.insert(which);
                hidden_.erase(id);
            } else {
                ctx.sessions.beside.erase(which);
            }
        }
    }
}

void RunChoice::draw_experiment(Context& ctx, const history::Experiment& experiment) {
    std::size_t ticked = 0, known = 0;
    for (const history::Experiment::Run& run : experiment.runs) {
        known += ctx.snapshot.training.count(run.run);
        ticked += is_chosen(ctx.snapshot, id_of(run.run)) ? 1 : 0;
    }
    ImGui::PushID(static_cast<int>(experiment.number));
    bool all = known > 0 && ticked == known;
    const float room =
        ImGui::GetContentRegionAvail().x - ImGui::GetFrameHeight() - 2 * ImGui::GetStyle().ItemInnerSpacing.x;
    if (ImGui::Checkbox((ui::elided(experiment.name, std::max(4 * ctx.em, room)) + "###experiment").c_str(), &all)) {
        std::set<std::string>& chosen_runs = chosen(ctx.snapshot);
        for (const history::Experiment::Run& run : experiment.runs) {
            if (all) {
                chosen_runs.insert(id_of(run.run));
            } else {
                chosen_runs.erase(id_of(run.run));
            }
        }
    }
    ui::tooltip(ctx.text("overlay.choose.experiment.help"));
    ImGui::Indent();
    for (const history::Experiment::Run& one : experiment.runs) {
        if (const auto run = ctx.snapshot.training.find(one.run); run != ctx.snapshot.training.end()) {
            draw_run(ctx, id_of(one.run), *run->second, experiment_value_label(ctx.text, experiment.key, one.value));
        }
    }
    ImGui::Unindent();
    ImGui::PopID();
}

void RunChoice::draw_this_session(Context& ctx) {
    for (auto entry = ctx.snapshot.experiments.rbegin(); entry != ctx.snapshot.experiments.rend(); ++entry) {
        draw_experiment(ctx, *entry->second);
    }
    for (auto entry = ctx.snapshot.training.rbegin(); entry != ctx.snapshot.training.rend(); ++entry) {
        if (!in_experiment(ctx.snapshot, *entry->second)) {
            draw_run(ctx, id_of(entry->first), *entry->second, entry->second->name);
        }
    }
}

void RunChoice::draw_imported(Context& ctx) {
    if (ctx.snapshot.imports.empty()) {
        return;
    }
    ui::section(ctx, ctx.text("runs.imported"));
    for (auto entry = ctx.snapshot.imports.rbegin(); entry != ctx.snapshot.imports.rend(); ++entry) {
        if (!entry->second->step.empty()) {
            draw_run(ctx, id_of(entry->first), *entry->second, entry->second->name);
        }
    }
}

void RunChoice::draw_other_sessions(Context& ctx) {
    fs::path gone, again;
    for (const auto& other : others_) {
        ImGui::PushID(other->folder.c_str());
        if (come_ == other->folder) {  // what has just been read, or why it could not be, is not left below the edge
            ImGui::SetScrollHereY(0);
            come_.clear();
        }
        ui::section(ctx, ui::elided(other->name, ImGui::GetContentRegionAvail().x));
        ui::tooltip(other->folder.string());
        if (!other->problem.empty()) {
            ui::text_wrapped(ctx.text.message(other->problem), ctx.theme.warning);
        }
        for (auto run = other->runs.rbegin(); run != other->runs.rend(); ++run) {
            draw_run(ctx, id_of(other->folder, run->run->id), *run->run, run->run->name);
        }
        if (ImGui::Button(ctx.text.label("overlay.choose.again"))) {
            again = other->folder;
        }
        ui::tooltip(ctx.text("overlay.choose.again.help"));
        ui::flow(ui::button_width(ctx.text.label("overlay.choose.remove")));
        if (ImGui::Button(ctx.text.label("overlay.choose.remove"))) {
            gone = other->folder;
        }
        ImGui::PopID();
    }
    if (!again.empty()) {
        add_session(ctx, again);
    }
    std::erase_if(others_, [&](const auto& other) { return other->folder == gone; });
}

void RunChoice::draw_adding(Context& ctx) {
    for (const fs::path& path : reading_) {
        ui::text_wrapped(ctx.text.format("overlay.choose.reading", {{"session", path.filename().string()}}),
                         ctx.theme.text_dim);
    }
    ImGui::SetNextItemWidth(-1);
    if (!ui::begin_combo("###overlay.choose.add", ctx.text("overlay.choose.add"))) {
        ui::tooltip(ctx.text("overlay.choose.add.help"));
        return;
    }
    find_neighbours(ctx);
    if (ImGui::Selectable(ctx.text.label("overlay.choose.folder")) && ctx.choose_folder) {
        ctx.choose_folder(ctx.text("overlay.choose.folder"), "session",
                          [this](const std::string& path) { wanted_ = path; });
    }
    for (const fs::path& path : neighbours_.value_or(std::vector<fs::path>())) {
        const bool there =
            std::any_of(others_.begin(), others_.end(), [&](const auto& other) { return other->folder == path; });
        if (!there && tab_of(ctx, path) == nullptr &&
            ImGui::Selectable((path.filename().string() + "###" + path.string()).c_str())) {
            add_session(ctx, path);
        }
    }
    ImGui::EndCombo();
}

void RunChoice::draw(Context& ctx, std::size_t count) {
    if (!wanted_.empty()) {
        add_session(ctx, std::exchange(wanted_, fs::path()));
        open_ = true;
    }
    const std::string label =
        ctx.text.format("overlay.choose", {{"n", ctx.text.number(std::uint64_t{count})}}) + "###overlay.choose";
    if (ImGui::Button(label.c_str()) || std::exchange(open_, false)) {
        ImGui::OpenPopup("choose");
    }
    ui::tooltip(ctx.text("overlay.choose.help"));
    if (!ImGui::BeginPopup("choose")) {
        return;
    }
    const ImVec2 room = ImGui::GetMainViewport()->WorkSize;
    if (ImGui::BeginChild(
            "runs", {std::min(24 * ctx.em, room.x - 3 * ctx.em), std::min(22 * ctx.em, 0.7f * room.y - 3 * ctx.em)})) {
        draw_this_session(ctx);
        draw_imported(ctx);
        draw_open_sessions(ctx);
        draw_other_sessions(ctx);
        draw_adding(ctx);
    }
    ImGui::EndChild();
    ImGui::EndPopup();
}

}  // namespace moescope::panels
