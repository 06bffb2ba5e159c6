#include "panels/training/knobs.hpp"

#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "base/json_fields.hpp"
#include "panels/node/library.hpp"
#include "panels/panels.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using history::TrainingRun;
using ui::Context;
namespace icon = ui::icon;

using Range = std::optional<ui::KnobRange>;  ///< nothing: the run has no such knob

/// A setting of the model as text: "true", "expert", "2"; empty when the manifest does not tell.
std::string model_setting(const TrainingRun& run, const char* name) {
    const nlohmann::json& config = base::member(run.manifest, "config");
    const nlohmann::json* value = config_value(config, "model", name);
    return value == nullptr ? "" : value->is_string() ? value->get<std::string>() : value->dump();
}

bool has_router(const TrainingRun& run) {
    const auto layers = config_number(run.manifest, "model", "layers"),
               dense = config_number(run.manifest, "model", "dense_layers");
    return !layers || !dense || *dense < *layers;
}

struct Description {
    const char* name;  ///< parameter of train.set
    const char* key;   ///< language key
    Range (*range)(const TrainingRun& run);
};
constexpr Description kDescriptions[] = {
    {"learning_rate", "knobs.learning_rate",
     [](const TrainingRun&) {
         return Range({0, 1});
     }},
    {"balance_coefficient", "knobs.balance_coefficient",
     [](const TrainingRun&) {
         return Range({0, 10});
     }},
    {"z_coefficient", "knobs.z_coefficient",
     [](const TrainingRun&) {
         return Range({0, 10});
     }},
    {"bias_speed", "knobs.bias_speed",
     [](const TrainingRun& run) {
         return has_router(run) && model_setting(run, "selection_bias") == "true" ? Range({0, 1}) : Range();
     }},
    {"prediction_coefficient", "knobs.prediction_coefficient",
     [](const TrainingRun& run) {
         const auto depth = config_number(run.manifest, "model", "prediction_depth");
         return depth && *depth > 0 ? Range({0, 10}) : Range();
     }},
    {"experts_per_token", "knobs.experts_per_token",
     [](const TrainingRun& run) {
         // With one expert per token there is nothing to choose.
         const auto configured = config_number(run.manifest, "model", "experts_per_token");
         return has_router(run) && configured && *configured > 1 ? Range({1, *configured, "%.0f", true}) : Range();
     }},
    {"capacity_factor", "knobs.capacity_factor",
     [](const TrainingRun& run) {
         // With expert choice the capacity is what the experts choose: it is fixed for the run.
         const std::string choice = model_setting(run, "router_choice");
         return has_router(run) && !choice.empty() && choice != "expert" ? Range({0, 1000}) : Range();
     }},
};

/// Where a knob stands, as its field shows it.
std::optional<double> shown_value(const TrainingRun& run, const Description& description) {
    std::optional<double> value = knob_value(run, description.name);
    // 0 experts per token, which a script may send, means: as configured.
    if (const Range range = description.range(run); value && range && range->whole && *value < range->min)
        value = config_number(run.manifest, "model", description.name);
    return value;
}

}  // namespace

void KnobsPanel::draw_knob(Context& ctx, const TrainingRun& run, std::size_t which) {
    const Description& description = kDescriptions[which];
    const Range range = description.range(run);
    if (!range)
        return;
    Knob& knob = knobs_[which];
    const std::optional<double> confirmed = shown_value(run, description);
    const client::CommandResult* answer = ui::take_answer(ctx, knob.sent);
    if (answer != nullptr && answer->state != client::CommandResult::State::done) {
        knob.error = answer->error.empty() ? ctx.text("knobs.unknown") : answer->error;
        knob.state.wanted.reset();
    }
    ImGui::TextUnformatted(ctx.text(description.key));
    ui::help_mark(ctx, (std::string(description.key) + ".help").c_str());
    if (which == 0 && !run.step.empty()) {
        // The schedule (warm-up, decay) multiplies the knob: both numbers are shown.
        const std::string now =
            ctx.text.format("knobs.now", {{"value", ctx.text.number(run[&base::StepValues::learning_rate].back(), 3)}});
        ui::align_right(ImGui::CalcTextSize(now.c_str()).x);
        ui::text_dim(ctx, now);
        ui::tooltip(ctx.text("knobs.now.help"));
    }
    ImGui::SetNextItemWidth(-1);
    const bool enabled = alive(run) && confirmed && ctx.snapshot.link.state == client::Link::State::connected;
    const std::string label = std::string("###knobs.") + description.name;
    const std::optional<double> wanted =
        ui::knob(ctx, label.c_str(), knob.state, confirmed.value_or(0), *range, enabled);
    if (!enabled)
        ui::tooltip(ctx.text("knobs.ended"));
    if (wanted)
        turn(ctx, run, which, *wanted);
    if (!knob.error.empty())
        ui::text_wrapped(ctx.text.message(knob.error), ctx.theme.error);
}

void KnobsPanel::turn(Context& ctx, const TrainingRun& run, std::size_t which, double value) {
    knobs_[which].error.clear();
    const Description& description = kDescriptions[which];
    const Range range = description.range(run);
    const nlohmann::json number =
        range && range->whole ? nlohmann::json(static_cast<std::int64_t>(value)) : nlohmann::json(value);
    knobs_[which].sent = ctx.client.send("train.set", {{"run", run.id}, {description.name, number}});
}

bool KnobsPanel::act(const std::string& action, Context& ctx) {
    for (std::size_t which = 0; which < kKnobs; ++which) {
        const char* value = ui::action_value(action, kDescriptions[which].key);
        if (value == nullptr)
            continue;
        const TrainingRun* run = selected_run(ctx);
        char* end = nullptr;
        const double number = std::strtod(value, &end);
        const Range range = run == nullptr ? Range() : kDescriptions[which].range(*run);
        if (range && alive(*run) && end != value && *end == '\0' && number >= range->min && number <= range->max &&
            (!range->whole || number == std::round(number)))
            turn(ctx, *run, which, number);
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
        if (!value || !(*value >= 0))
            continue;
        line += (line.empty() ? "" : ctx.text("knobs.separator"));
        line += ctx.text.format(key, {{"steps", ctx.text.number(static_cast<std::uint64_t>(*value))}});
    }
    if (line.empty())
        return;
    ui::text_wrapped(line, ctx.theme.text_dim);
    ui::tooltip(ctx.text("knobs.rhythm.help"));
}

void KnobsPanel::draw(Context& ctx) {
    static_assert(std::size(kDescriptions) == kKnobs);
    const TrainingRun* run = selected_run(ctx);
    if (run == nullptr) {
        ui::empty_state(ctx, icon::gear, "knobs.empty");
        return;
    }
    if (run_ != run->id)
        knobs_ = {};
    run_ = run->id;
    for (std::size_t which = 0; which < kKnobs; ++which)
        draw_knob(ctx, *run, which);
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
