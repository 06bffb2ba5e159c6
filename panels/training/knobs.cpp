// What can be turned while a run trains: the settings that the node's catalogue calls live and that the run's
// configuration gives an effect; below, what the run writes. A knob shows the node's value until the node has confirmed
// a new one.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "base/json_fields.hpp"
#include "panels/panels.hpp"
#include "panels/runs/run_fields.hpp"
#include "panels/training/samples.hpp"
#include "panels/ui/knob.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/undo.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using history::TrainingRun;
using ui::Context;
namespace icon = ui::icon;

class KnobsPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override { samples_.take_over(dynamic_cast<const KnobsPanel&>(before).samples_); }
    void draw(ui::Context& ctx) override;
    /// knobs.learning_rate=V, knobs.experts_per_token=V and so on for each knob: what typing V into the field does.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    struct Knob {
        ui::KnobState state;
        client::CommandId sent = 0;
        base::Sentence error;  ///< the node's sentence
    };

    void learn_fields(const ui::Context& ctx, const history::TrainingRun& run);
    void turn(ui::Context& ctx, const history::TrainingRun& run, const LiveField& live, double value);
    void draw_knob(ui::Context& ctx, const history::TrainingRun& run, const LiveField& live);
    void draw_rhythm(ui::Context& ctx, const history::TrainingRun& run);

    std::map<std::string, Knob> knobs_;  ///< by key
    std::vector<LiveField> fields_;      ///< of run_ by catalogue_
    std::shared_ptr<const nlohmann::json> catalogue_;
    std::uint32_t run_ = 0;
    SampleList samples_;
};

constexpr const char* kLearningRate = "learning_rate";

/// "knobs.<key>" where the panel says more than the form of a new run.
std::string text_key(const Context& ctx, const std::string& key) {
    std::string own = "knobs." + key;
    return ctx.text.has(own) ? own : "runs.field." + key;
}

/// Why a knob that went from one value to another can't be turned back or again; empty when it can.
std::string why_not_turned(const Context& ctx, std::uint32_t run, const std::string& key, double from, double to) {
    const auto found = ctx.snapshot.training.find(run);
    if (found == ctx.snapshot.training.end() || !alive(*found->second)) {
        return ctx.text("knobs.ended");
    }
    const std::optional<double> now = knob_value(*found->second, key);
    const auto is = [&](double value) { return now && std::fabs(*now - value) <= 1e-6 * std::fabs(value); };
    // What was sent a moment ago may not have come back yet.
    return is(from) || is(to)
               ? std::string()
               : ctx.text.format("undo.knob.changed", {{"knob", ctx.text(text_key(ctx, key))},
                                                       {"value", now ? ctx.text.number(*now) : std::string("?")}});
}

ui::KnobRange range_of(const LiveField& live) {
    const bool whole = live.field.type == ConfigField::Type::integer;
    return {live.low, live.high, whole ? "%.0f" : "%.4g", whole};
}

}  // namespace

void KnobsPanel::learn_fields(const Context& ctx, const TrainingRun& run) {
    if (run_ != run.id) {
        knobs_.clear();
    } else if (catalogue_ == ctx.snapshot.catalogue) {
        return;
    }
    run_ = run.id;
    catalogue_ = ctx.snapshot.catalogue;
    fields_ = live_fields(*catalogue_, base::member(run.manifest, "config"));
    // What people turn most comes first: the learning rate, then training, then the router.
    const auto rank = [](const LiveField& live) {
        return live.field.key == kLearningRate ? 0 : live.field.section == "train" ? 1 : 2;
    };
    std::stable_sort(fields_.begin(), fields_.end(),
                     [&](const LiveField& a, const LiveField& b) { return rank(a) < rank(b); });
}

void KnobsPanel::draw_knob(Context& ctx, const TrainingRun& run, const LiveField& live) {
    Knob& knob = knobs_[live.field.key];
    std::optional<double> confirmed = knob_value(run, live.field.key);
    if (confirmed && *confirmed < live.low) {
        confirmed = live.high;  // once, 0 experts per token meant as many as configured
    }
    const client::CommandResult* answer = ui::take_answer(ctx, knob.sent);
    if (answer != nullptr && answer->state != client::CommandResult::State::done) {
        knob.error = answer->error.empty() ? base::Sentence::verbatim(ctx.text("knobs.unknown")) : answer->error;
        knob.state.wanted.reset();
    }
    const std::string label = text_key(ctx, live.field.key);
    const float mark = ImGui::CalcTextSize(icon::question).x + 0.35f * ctx.em;
    ui::text_wrapped(ctx.text(label), {}, std::max(3 * ctx.em, ImGui::GetContentRegionAvail().x - mark));
    ui::help_mark(ctx, (label + ".help").c_str());
    if (live.field.key == kLearningRate && !run.step.empty()) {
        // The schedule (warm-up, decay) multiplies the knob: both numbers are shown.
        const std::string now =
            ctx.text.format("knobs.now", {{"value", ctx.text.number(run[&base::StepValues::learning_rate].back(), 3)}});
        ui::trailing(ctx, now);
        ui::tooltip(ctx.text("knobs.now.help"));
    }
    ImGui::SetNextItemWidth(-1);
    const bool enabled = alive(run) && confirmed && ctx.snapshot.link.state == client::Link::State::connected;
    const std::optional<double> wanted = ui::knob(ctx, ("###knobs." + live.field.key).c_str(), knob.state,
                                                  confirmed.value_or(0), range_of(live), enabled);
    if (!enabled) {
        ui::tooltip(ctx.text("knobs.ended"));
    }
    if (wanted) {
        turn(ctx, run, live, *wanted);
    }
    if (!knob.error.empty()) {
        ui::text_wrapped(ctx.text.message(knob.error), ctx.theme.error);
    }
}

void KnobsPanel::turn(Context& ctx, const TrainingRun& run, const LiveField& live, double value) {
    Knob& knob = knobs_[live.field.key];
    knob.error = {};
    knob.sent = ctx.client.send("train.set", {{"run", run.id}, {live.field.key, value}});
    const std::optional<double> before = knob_value(run, live.field.key);
    if (!before) {
        return;  // nothing to go back to
    }
    const auto command = [&](double to) {
        return ui::CommandEdit::Command{"train.set", {{"run", run.id}, {live.field.key, to}}};
    };
    ui::CommandEdit edit{
        .name =
            [label = text_key(ctx, live.field.key), from = *before, value](const ui::Language& text) {
                return text.format("undo.knob",
                                   {{"knob", text(label)}, {"old", text.number(from)}, {"new", text.number(value)}});
            },
        .undo = {command(*before)},
        .redo = {command(value)},
        .why_not = [run = run.id, key = live.field.key, from = *before, value](
                       const Context& now, ui::Edit::Way) { return why_not_turned(now, run, key, from, value); }};
    ctx.shared.get<ui::UndoHistory>().add(ui::make_edit(std::move(edit)), {knob.sent});
}

bool KnobsPanel::act(const std::string& action, Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    if (run == nullptr || action.rfind("knobs.", 0) != 0) {
        return false;
    }
    learn_fields(ctx, *run);
    for (const LiveField& live : fields_) {
        const char* value = ui::action_value(action, ("knobs." + live.field.key).c_str());
        if (value == nullptr) {
            continue;
        }
        char* end = nullptr;
        const double number = std::strtod(value, &end);
        const ui::KnobRange range = range_of(live);
        if (alive(*run) && end != value && *end == '\0' && number >= range.min && number <= range.max &&
            (!range.whole || number == std::round(number))) {
            turn(ctx, *run, live, number);
        }
        return true;
    }
    return false;
}

void KnobsPanel::draw_rhythm(Context& ctx, const TrainingRun& run) {
    std::string line;
    for (const auto& [name, key] :
         {std::pair{"evaluate_every", "knobs.evaluate_every"}, std::pair{"sample_every", "knobs.sample_every"},
          std::pair{"checkpoint_every", "knobs.checkpoint_every"}}) {
        const std::optional<double> value = config_number(run.manifest, "train", name);
        if (!value || !(*value >= 0)) {
            continue;
        }
        line += (line.empty() ? "" : ctx.text("common.comma"));
        line += ctx.text.format(key, {{"steps", ctx.text.number(static_cast<std::uint64_t>(*value))}});
    }
    if (line.empty()) {
        return;
    }
    ui::text_wrapped(line, ctx.theme.text_dim);
    ui::tooltip(ctx.text("knobs.rhythm.help"));
}

void KnobsPanel::draw(Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    if (run == nullptr) {
        ui::empty_state(ctx, icon::gear, "knobs.empty");
        return;
    }
    learn_fields(ctx, *run);
    for (const LiveField& live : fields_) {
        draw_knob(ctx, *run, live);
    }
    draw_rhythm(ctx, *run);
    ui::section(ctx, ctx.text("samples.title"));
    samples_.draw(ctx, *run);
}

ui::PanelDescription describe_knobs() {
    using ui::Place;
    using Show = ui::Stand::Show;
    return {.key = "knobs",
            .make = ui::make_panel<KnobsPanel>,
            .stands = {{"training", Place::left_lower, 0, Show::open},
                       {"compare", Place::whole, 9},
                       {"probe", Place::whole, 9}},
            .commands = {}};
}

}  // namespace moescope::panels
