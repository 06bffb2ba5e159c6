#include "panels/runs/reproduce_form.hpp"

#include <algorithm>
#include <imgui.h>

#include "base/json_fields.hpp"
#include "panels/runs/experiment_values.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/where.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

using nlohmann::json;
using ui::Context;
namespace icon = ui::icon;

namespace {

constexpr std::size_t kShownHash = 12;

std::string steps_text(const Context& ctx, const json& value, const char* key) {
    return ctx.text.number(base::count_of(value, key));
}

std::string parameters_text(const Context& ctx, const history::TrainingRun& run) {
    const json& equal = base::member(run.replay, "parameters_equal");
    if (!equal.is_boolean()) {
        return ctx.text("reproduce.parameters.unknown");
    }
    return ctx.text.format(equal.get<bool>() ? "reproduce.parameters.equal" : "reproduce.parameters.differ",
                           {{"now", run.parameters_sha256.substr(0, kShownHash)},
                            {"then", base::text_of(run.replay, "recorded_parameters_sha256").substr(0, kShownHash)}});
}

/// The first step that is another one, while the run goes on.
const history::RunEvent* difference_of(const history::TrainingRun& run) {
    const auto found = std::find_if(run.events.begin(), run.events.end(),
                                    [](const history::RunEvent& event) { return event.kind == "difference"; });
    return found == run.events.end() ? nullptr : &*found;
}

}  // namespace

const char* why_not_again(const history::TrainingRun& run) {
    return alive(run)                                                      ? "reproduce.goes_on"
           : run.step.empty()                                              ? "reproduce.no_steps"
           : !run.manifest.is_object() || !run.manifest.contains("config") ? "reproduce.no_config"
                                                                           : nullptr;
}

std::string replay_text(const Context& ctx, const history::TrainingRun& run) {
    const json& origin = base::member(run.manifest, "replay");
    if (!origin.is_object()) {
        return {};
    }
    const std::string name = base::text_of(origin, "name");
    if (!run.replay.is_object()) {
        const history::RunEvent* other = difference_of(run);
        return ctx.text.format(other != nullptr ? "reproduce.so_far.differs" : "reproduce.so_far.equal",
                               {{"run", name},
                                {"done", ctx.text.number(std::uint64_t{run.step.size()})},
                                {"steps", steps_text(ctx, origin, "steps")},
                                {"step", other == nullptr ? "" : ctx.text.number(other->step)},
                                {"what", other == nullptr ? "" : ctx.text.message(other->text)}});
    }
    if (const history::RunEvent* other = difference_of(run);
        other != nullptr && run.replay.contains("first_difference")) {
        return ctx.text.format(
                   "reproduce.differs_by",
                   {{"run", name}, {"step", ctx.text.number(other->step)}, {"what", ctx.text.message(other->text)}}) +
               " " + parameters_text(ctx, run);
    }
    const std::string compared = steps_text(ctx, run.replay, "steps"),
                      recorded = steps_text(ctx, run.replay, "recorded_steps");
    if (run.replay.contains("first_difference")) {
        return ctx.text.format("reproduce.differs",
                               {{"run", name},
                                {"step", steps_text(ctx, run.replay, "first_difference")},
                                {"then", ctx.text.number(base::number_of(run.replay, "recorded_loss", 0), 9)},
                                {"now", ctx.text.number(base::number_of(run.replay, "loss", 0), 9)}}) +
               " " + parameters_text(ctx, run);
    }
    return ctx.text.format("reproduce.equal", {{"run", name}, {"steps", compared}, {"recorded", recorded}}) + " " +
           parameters_text(ctx, run);
}

void ReproduceForm::open(const Context& ctx, const history::TrainingRun& run) {
    *this = ReproduceForm();
    open_ = true;
    run_ = run.id;
    name_ = run_title(ctx.text, run);
    check_wanted_ = true;
}

void ReproduceForm::take_over(const ReproduceForm& other) {
    *this = ReproduceForm();
    open_ = true;
    run_ = other.run_;
    name_ = other.name_;
    session_ = other.session_;
    check_wanted_ = true;
}

json ReproduceForm::wanted() const {
    json parameters = {{"run", run_}};
    if (!session_.empty()) {
        parameters["session"] = session_;
    }
    return parameters;
}

void ReproduceForm::collect(Context& ctx) {
    using State = client::CommandResult::State;
    if (const client::CommandResult* result = ui::take_answer(ctx, checking_)) {
        checked_ = result->state == State::done ? result->value : json();
        error_ = result->state == State::done ? base::Sentence() : result->error;
    }
    if (const client::CommandResult* result = ui::take_answer(ctx, starting_)) {
        if (result->state != State::done) {
            error_ = result->error;
            return;
        }
        started_ = base::run_of(result->value);
        ctx.selection.training_run = started_;
        ctx.selection.follow = true;
        ctx.selection.step_min = 0;
        ctx.selection.pinned_step.reset();
        ctx.show_panel("training");
    }
}

void ReproduceForm::draw(Context& ctx) {
    collect(ctx);
    if (!open_) {
        return;
    }
    if (check_wanted_ && ctx.connected()) {
        check_wanted_ = false;
        checked_ = json();
        error_ = {};
        checking_ = ctx.client.send("reproduce.check", wanted());
    }
    if (ui::begin_floating(ctx, ctx.text.label("reproduce"), open_, {.size = {36, 0}, .least = {18, 10}})) {
        ui::text_wrapped(ctx.text.format("reproduce.what", {{"run", name_}}));
        draw_where(ctx);
        draw_differences(ctx);
        draw_outcome(ctx);
        draw_buttons(ctx);
    }
    ImGui::End();
}

/// In another session only on this machine, where its node reads the run from its folder.
void ReproduceForm::draw_where(Context& ctx) {
    if (started_ != 0) {
        return;
    }
    const auto chosen = ui::choose_session(ctx);
    if (!chosen) {
        return;
    }
    const auto& open = ctx.sessions.open;
    const auto there =
        std::find_if(open.begin(), open.end(), [&](const ui::OpenedSession& one) { return one.id == *chosen; });
    const auto here = std::find_if(open.begin(), open.end(), [](const ui::OpenedSession& one) { return one.front; });
    if (there == open.end() || here == open.end()) {
        return;
    }
    if (!there->machine.empty() || !here->machine.empty()) {
        error_ = base::say("a run can be done again in another session only where both are on this computer");
        return;
    }
    if (session_.empty()) {
        session_ = here->place;
    } else if (session_ == there->place) {
        session_.clear();  // back to its own
    }
    chosen_session_ = chosen;
    open_ = false;
}

void ReproduceForm::draw_differences(Context& ctx) {
    ui::section(ctx, ctx.text("reproduce.differences"));
    if (checking_ != 0) {
        ui::text_dim(ctx, ctx.text("reproduce.checking"));
        return;
    }
    if (!checked_.is_object()) {
        if (error_.empty()) {
            ui::text_dim(ctx, ctx.text("runs.offline"));
        }
        return;
    }
    const json& differences = base::member(checked_, "differences");
    if (!differences.is_array() || differences.empty()) {
        const auto started = ctx.snapshot.training.find(started_);
        if (started != ctx.snapshot.training.end() && difference_of(*started->second) != nullptr) {
            ui::text_wrapped(ctx.text("reproduce.same_place"),
                             ctx.theme.text_dim);  // no promise beside another outcome
            return;
        }
        ui::text_wrapped(std::string(icon::check) + " " + ctx.text("reproduce.same"), ctx.theme.good);
        return;
    }
    for (const json& one : differences) {
        const bool stops = base::flag_of(one, "stops");
        const std::string text = ctx.text.message(base::sentence_in(one, "text"));
        ui::text_wrapped(std::string(stops ? icon::error : icon::warning) + " " + text,
                         stops ? ctx.theme.error : ctx.theme.text);
    }
    ui::text_wrapped(ctx.text("reproduce.may_differ"), ctx.theme.text_dim);
}

void ReproduceForm::draw_outcome(Context& ctx) {
    const auto found = ctx.snapshot.training.find(started_);
    if (started_ != 0 && found != ctx.snapshot.training.end()) {
        const history::TrainingRun& run = *found->second;
        ui::section(ctx, ctx.text("reproduce.outcome"));
        const bool ended = run.replay.is_object(), equal = base::flag_of(run.replay, "equal");
        ui::text_wrapped((ended ? std::string(equal ? icon::check : icon::warning) + " " : "") + replay_text(ctx, run),
                         !ended  ? ctx.theme.text
                         : equal ? ctx.theme.good
                                 : ctx.theme.warning);
        if (!run.message.empty()) {
            ui::text_wrapped(ctx.text.message(run.message), ctx.theme.error);
        }
    }
    if (!error_.empty()) {
        ui::text_wrapped(ctx.text.message(error_), ctx.theme.error);
    }
}

std::string ReproduceForm::why_not_start(const Context& ctx) const {
    if (!ctx.connected()) {
        return ctx.text("runs.offline");
    }
    if (ctx.snapshot.node.read_only) {
        return ctx.text("reproduce.read_only");
    }
    for (const json& one : base::member(checked_, "differences")) {
        if (base::flag_of(one, "stops")) {
            return ctx.text.message(base::sentence_in(one, "text"));
        }
    }
    if (const auto started = ctx.snapshot.training.find(started_);
        started_ != 0 && (started == ctx.snapshot.training.end() || alive(*started->second))) {
        return ctx.text("reproduce.runs");
    }
    return ui::pending(ctx.snapshot, starting_) ? ctx.text("reproduce.starting") : std::string();
}

void ReproduceForm::draw_buttons(Context& ctx) {
    const std::string why_not = why_not_start(ctx);
    if (ctx.snapshot.node.read_only) {
        ui::text_wrapped(ctx.text("reproduce.read_only"), ctx.theme.text_dim);
        const char* make = ctx.text.label("command.file.new_session");
        if (ui::button(make)) {
            ctx.run("file.new_session");
        }
        ui::flow(ui::button_width(ctx.text.label("reproduce.start")));
    }
    if (ui::button(ctx.text.label("reproduce.start"), why_not.empty(), why_not)) {
        error_ = {};
        started_ = 0;
        starting_ = ctx.client.send("reproduce.start", wanted());
    }
    ui::flow(ui::button_width(ctx.text.label("reproduce.check")));
    if (ui::button(ctx.text.label("reproduce.check"), ctx.connected() && checking_ == 0, ctx.text("runs.offline"))) {
        check_wanted_ = true;
    }
    ui::flow(ui::button_width(ctx.text.label("models.export.close")));
    if (ui::button(ctx.text.label("models.export.close"))) {
        open_ = false;
    }
}

}  // namespace moescope::panels
