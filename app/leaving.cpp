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

}  // namespace

void Leaving::ask(const Snapshot& snapshot, Where where, std::function<void()> go) {
    go_ = nullptr;
    if (!works(snapshot)) {
        go();
        return;
    }
    go_ = std::move(go);
    where_ = where;
    appear_ = true;
    saving_ = leave_ = false;
    stops_.clear();
}

void Leaving::leave() {
    std::exchange(go_, nullptr)();
}

void Leaving::save(const ui::Context& ctx) {
    saving_ = true;
    stops_.clear();
    for (const history::TrainingRun* run : training(ctx.snapshot)) {
        stops_[run->id] = ctx.client.send("train.stop", {{"run", run->id}});
    }
}

void Leaving::draw(const ui::Context& ctx) {
    if (!go_) {
        return;
    }
    // What it was about may end while the question stands: then nothing is left to lose.
    if (leave_ || (saving_ && training(ctx.snapshot).empty()) || !works(ctx.snapshot)) {
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
        go_ = nullptr;
    }
}

void Leaving::draw_what_happens(const ui::Context& ctx) const {
    for (const history::TrainingRun* run : training(ctx.snapshot)) {
        const auto step = static_cast<std::uint64_t>(run->step.empty() ? 0 : run->step.back());
        ui::text_wrapped(ctx.text.format(
            "leaving.run",
            {{"run", run->name}, {"step", ctx.text.number(step)}, {"planned", ctx.text.number(run->planned_steps)}}));
    }
    if (!training(ctx.snapshot).empty()) {
        ui::text_wrapped(ctx.text("leaving.what"), ctx.theme.text_dim);
    }
    for (const history::ProbeRun* run : probing(ctx.snapshot)) {
        ui::text_wrapped(
            ctx.text.format("leaving.probe", {{"run", run->name},
                                              {"n", ctx.text.number(static_cast<std::uint64_t>(run->draws.size()))},
                                              {"planned", ctx.text.number(std::uint64_t{run->planned})}}));
    }
    for (const history::RouteRun* run : reading(ctx.snapshot)) {
        const auto routing = ctx.snapshot.routing.find(run->id);
        const std::uint64_t tokens = routing == ctx.snapshot.routing.end() ? 0 : routing->second->tokens;
        ui::text_wrapped(ctx.text.format("leaving.reading", {{"run", run->name}, {"n", ctx.text.number(tokens)}}));
    }
}

void Leaving::draw_saving(const ui::Context& ctx) const {
    for (const history::TrainingRun* run : training(ctx.snapshot)) {
        const auto stop = stops_.find(run->id);
        const auto result = stop == stops_.end() ? ctx.snapshot.results.end() : ctx.snapshot.results.find(stop->second);
        if (result != ctx.snapshot.results.end() && result->second.state == client::CommandResult::State::failed) {
            ui::text_wrapped(ctx.text.message(result->second.error), ctx.theme.error);
        } else {
            ui::text_wrapped(ctx.text.format("leaving.saves", {{"run", run->name}}));
        }
        ui::text_wrapped(ctx.text.format("leaving.lost", {{"step", ctx.text.number(run->last_checkpoint)}}),
                         ctx.theme.text_dim);
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
        save(ctx);
    }
    ui::flow(ui::button_width(stay));
    if (ImGui::Button(stay)) {
        go_ = nullptr;
    }
}

}  // namespace moescope::app
