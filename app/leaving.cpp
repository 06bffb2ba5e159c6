#include "app/leaving.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "panels/runs/run_tools.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {
namespace {

using client::Snapshot;
using history::RunState;

std::vector<const history::TrainingRun*> training(const Snapshot& snapshot) {
    std::vector<const history::TrainingRun*> alive;
    for (const auto& [id, run] : snapshot.training) {
        if (panels::alive(*run)) {
            alive.push_back(run.get());
        }
    }
    return alive;
}

std::vector<const history::ProbeRun*> probing(const Snapshot& snapshot) {
    std::vector<const history::ProbeRun*> alive;
    for (const auto& [id, run] : snapshot.probes) {
        if (run->state == RunState::running || run->state == RunState::paused) {
            alive.push_back(run.get());
        }
    }
    return alive;
}

/// Texts that are read, and what is measured on them: none of it goes on another time.
std::vector<const history::RouteRun*> reading(const Snapshot& snapshot) {
    std::vector<const history::RouteRun*> alive;
    for (const auto& [id, run] : snapshot.routes) {
        if (run->state == RunState::running || run->state == RunState::paused) {
            alive.push_back(run.get());
        }
    }
    return alive;
}

/// What is shown of a node that is not there any more does not go on.
bool works(const Snapshot& snapshot) {
    const auto state = snapshot.link.state;
    return (state == client::Link::State::connected || state == client::Link::State::lost) &&
           (!training(snapshot).empty() || !probing(snapshot).empty() || !reading(snapshot).empty());
}

/// Of whose work the lines below are.
void draw_name(const ui::Context& ctx, const OpenSession& session) {
    ImGui::PushFont(ctx.bold, 0);
    ui::text_wrapped(session.name());
    ImGui::PopFont();
}

}  // namespace

void Leaving::ask(const OpenSessions& sessions, Where where, std::function<void()> go) {
    close();
    sessions_ = sessions;
    if (!any_works()) {
        sessions_.clear();
        go();
        return;
    }
    go_ = std::move(go);
    where_ = where;
    appear_ = true;
    saving_ = leave_ = false;
    stops_.clear();
}

bool Leaving::any_works() const {
    return std::any_of(sessions_.begin(), sessions_.end(),
                       [](const auto& session) { return session->own() && works(*session->snapshot); });
}

bool Leaving::any_trains() const {
    return std::any_of(sessions_.begin(), sessions_.end(), [](const auto& session) {
        return session->own() && works(*session->snapshot) && !training(*session->snapshot).empty();
    });
}

void Leaving::close() {
    go_ = nullptr;
    sessions_.clear();
}

void Leaving::leave() {
    const std::function<void()> go = std::exchange(go_, nullptr);
    sessions_.clear();
    go();
}

void Leaving::save() {
    saving_ = true;
    stops_.clear();
    for (const auto& session : sessions_) {
        if (!session->own()) {
            continue;
        }
        for (const history::TrainingRun* run : training(*session->snapshot)) {
            stops_[{session->id, run->id}] = session->client->send("train.stop", {{"run", run->id}});
        }
    }
}

void Leaving::draw(const ui::Context& ctx) {
    if (!go_) {
        return;
    }
    // What it was about may end while the question stands: then nothing is left to lose.
    if (leave_ || (saving_ && !any_trains()) || !any_works()) {
        leave();
        return;
    }
    if (std::exchange(appear_, false)) {
        ImGui::SetNextWindowFocus();
    }
    bool keep = true;
    const std::string title = std::string(ctx.text(saving_ ? "leaving.saving" : "leaving.title")) + "###leaving";
    if (ui::begin_floating(ctx, title.c_str(), keep, {.size = {36, 0}, .at_once = true})) {
        if (saving_) {
            draw_saving(ctx);
        } else {
            draw_what_happens(ctx);
        }
        draw_buttons(ctx);
    }
    ImGui::End();
    if (!keep) {
        close();
    }
}

void Leaving::draw_what_happens(const ui::Context& ctx) const {
    for (const auto& session : sessions_) {
        const Snapshot& snapshot = *session->snapshot;
        if (!session->own() || !works(snapshot)) {
            continue;
        }
        draw_name(ctx, *session);
        for (const history::TrainingRun* run : training(snapshot)) {
            const auto step = static_cast<std::uint64_t>(run->step.empty() ? 0 : run->step.back());
            ui::text_wrapped(ctx.text.format("leaving.run", {{"run", run->name},
                                                             {"step", ctx.text.number(step)},
                                                             {"planned", ctx.text.number(run->planned_steps)}}));
        }
        for (const history::ProbeRun* run : probing(snapshot)) {
            ui::text_wrapped(
                ctx.text.format("leaving.probe", {{"run", run->name},
                                                  {"n", ctx.text.number(static_cast<std::uint64_t>(run->draws.size()))},
                                                  {"planned", ctx.text.number(std::uint64_t{run->planned})}}));
        }
        for (const history::RouteRun* run : reading(snapshot)) {
            const auto routing = snapshot.routing.find(run->id);
            const std::uint64_t tokens = routing == snapshot.routing.end() ? 0 : routing->second->tokens;
            ui::text_wrapped(ctx.text.format("leaving.reading", {{"run", run->name}, {"n", ctx.text.number(tokens)}}));
        }
    }
    if (any_trains()) {
        ui::text_wrapped(ctx.text("leaving.what"), ctx.theme.text_dim);
    }
}

void Leaving::draw_saving(const ui::Context& ctx) const {
    for (const auto& session : sessions_) {
        const Snapshot& snapshot = *session->snapshot;
        if (!session->own() || !works(snapshot) || training(snapshot).empty()) {
            continue;
        }
        draw_name(ctx, *session);
        for (const history::TrainingRun* run : training(snapshot)) {
            const auto stop = stops_.find({session->id, run->id});
            const auto result = stop == stops_.end() ? snapshot.results.end() : snapshot.results.find(stop->second);
            if (result != snapshot.results.end() && result->second.state == client::CommandResult::State::failed) {
                ui::text_wrapped(ctx.text.message(result->second.error), ctx.theme.error);
            } else {
                ui::text_wrapped(ctx.text.format("leaving.saves", {{"run", run->name}}));
            }
            ui::text_wrapped(ctx.text.format("leaving.lost", {{"step", ctx.text.number(run->last_checkpoint)}}),
                             ctx.theme.text_dim);
        }
    }
}

void Leaving::draw_buttons(const ui::Context& ctx) {
    const bool out = where_ == Where::out;
    const char* ok = ctx.text.label(saving_ ? (out ? "leaving.now" : "leaving.switch_now")
                                            : (out ? "leaving.close" : "leaving.switch"));
    const char* stay = ctx.text.label("leaving.stay");
    ImGui::Dummy({0, 0});
    ui::align_right(ui::button_width(ok) + (saving_ ? 0 : ui::button_width(stay) + ImGui::GetStyle().ItemSpacing.x));
    if (saving_) {
        leave_ = ImGui::Button(ok);
        return;
    }
    if (ui::default_button(ctx, ok)) {
        save();
    }
    ui::flow(ui::button_width(stay));
    if (ImGui::Button(stay)) {
        close();
    }
}

}  // namespace moescope::app
