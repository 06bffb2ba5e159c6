// The training panel: state and buttons of the selected run, and its plots over steps.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "base/json_fields.hpp"
#include "nodes/history/main_loss.hpp"
#include "panels/panels.hpp"
#include "panels/runs/experiment_values.hpp"
#include "panels/runs/imported_runs.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/training/continue_form.hpp"
#include "panels/training/step_plot.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using history::RunState;
using history::TrainingRun;
using ui::Context;
namespace icon = ui::icon;

class TrainingPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(ui::Context& ctx) override;
    void draw_above(ui::Context& ctx) override { continue_form_.draw(ctx); }
    /// run.start, run.pause (pauses or resumes), run.step, run.stop, run.checkpoint, run.continue, run.continue_on
    /// (asks for the device); run.continue=NUMBER and run.continue_on=NUMBER mean that run instead of the selected one.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    enum Plot { kLoss, kParts, kSpeed, kTime, kGradient, kMemory, kErrors, kImported, kPlots };
    /// Of the columns that are drawn as means.
    using Sums = std::array<RunningSum, base::kStepValueCount>;

    void draw_header(ui::Context& ctx, const history::TrainingRun& run);
    void draw_buttons(ui::Context& ctx, const history::TrainingRun& run);
    void draw_message(ui::Context& ctx, const history::TrainingRun& run);
    void draw_empty(ui::Context& ctx);
    void draw_plots(ui::Context& ctx, const history::TrainingRun& run);
    void draw_grid(ui::Context& ctx, const history::TrainingRun& run, ImVec2 room);
    void draw_beside(ui::Context& ctx, const history::TrainingRun& run, ImVec2 room);
    void draw_narrow(ui::Context& ctx, const history::TrainingRun& run, ImVec2 room);
    void draw_plot(ui::Context& ctx, const history::TrainingRun& run, Plot plot, ImVec2 size);
    /// A run that the shown one goes on from: its loss up to the fork.
    struct Earlier {
        std::string key, name;
        double fork_step = 0;
        history::Column step, loss;
        RunningSum sum;
    };
    /// Which runs, up to which step, and how many steps they had.
    using EarlierKey = std::vector<std::array<std::uint64_t, 3>>;

    /// A curve of another tool, of a run that is drawn beside the shown one.
    struct Beside {
        std::string key;   ///< of its own, for what is switched off
        std::string name;  ///< "RUN: CURVE"
        history::ImportedCurve curve;
        std::size_t color = 0;
        Plot plot = kImported;
        bool right = false;
        bool points = false;  ///< has values at some steps only
        double scale = 1;
        const char* unit_key = nullptr;
    };
    /// Which runs, how many curves and points they had.
    using BesideKey = std::vector<std::array<std::uint64_t, 3>>;

    void update_earlier(const ui::Context& ctx, const history::TrainingRun& run);
    void update_beside(ui::Context& ctx);
    void add_beside(const ui::Context& ctx, Plot plot, StepPlotSpec& spec) const;
    /// A plot with the text of its tab.
    struct Tab {
        Plot plot;
        const char* key;
    };
    /// Where one plot is shown at a time; the loss is not among them.
    std::vector<Tab> tabs(const history::TrainingRun& run) const;
    static std::vector<const char*> labels_of(const ui::Context& ctx, const std::vector<Tab>& tabs);
    /// What only some runs have.
    std::vector<Tab> special_tabs(const history::TrainingRun& run) const;
    static Plot plot_of(base::StepPlot plot, const std::string& key);
    bool has_others() const;  ///< imported curves that mean nothing of ours
    void draw_imports_alone(ui::Context& ctx);
    void update_sums(const history::TrainingRun& run);
    StepPlotSpec spec(const ui::Context& ctx, const history::TrainingRun& run, Plot plot) const;
    /// Without what is drawn beside.
    StepPlotSpec own_spec(const ui::Context& ctx, const history::TrainingRun& run, Plot plot) const;
    Curve curve_of(const ui::Context& ctx, const history::TrainingRun& run, std::size_t i, Curve::Style style) const;
    void add_curves(const ui::Context& ctx, const history::TrainingRun& run, base::StepPlot plot,
                    StepPlotSpec& spec) const;
    void add_losses(const ui::Context& ctx, const history::TrainingRun& run, StepPlotSpec& spec) const;

    std::array<StepPlot, kPlots> plots_;
    std::vector<Earlier> earlier_;
    EarlierKey earlier_key_;
    std::vector<Beside> beside_;
    BesideKey beside_key_;
    double last_beside_ = 0;              ///< of all their steps
    history::TrainingRun imports_alone_;  ///< the steps of imported runs where there is no training
    Sums sums_{};
    std::uint32_t sums_run_ = 0;
    std::size_t window_ = 20;    ///< steps in the running mean
    int tab_ = 0, low_tab_ = 0;  ///< the second where there is room for one plot only, the loss being one of the tabs
    int page_ = 0;
    ContinueForm continue_form_;
};

constexpr const char* kPreset = "workshop";
constexpr std::size_t kFirstBesideColor = 3;  ///< of the palette: before it are those of our own losses
constexpr std::size_t kMostOthers = 40;       ///< in the legend
constexpr std::size_t kOthersDrawn = 3;       ///< of the curves that mean nothing of ours
constexpr double kMegabyte = 1e6;
constexpr float kLeastWidth = 12, kLeastHeight = 14, kLeastPlot = 9;  ///< em

/// A command of the program with the text and picture of its button.
struct Button {
    const char* command;
    const char* key;
    const char* icon;
};

std::string with_icon(const Context& ctx, const char* symbol, const char* key) {
    return std::string(symbol) + " " + ctx.text.label(key);
}

Curve::Style style_of(base::StepPlot plot) {
    switch (plot) {
        case base::StepPlot::loss:
        case base::StepPlot::speed:
            return Curve::Style::smoothed;
        case base::StepPlot::time:
            return Curve::Style::stacked;
        case base::StepPlot::error:
            return Curve::Style::points;
        case base::StepPlot::none:
        case base::StepPlot::terms:
        case base::StepPlot::gradient:
        case base::StepPlot::memory:
            return Curve::Style::line;
    }
    return Curve::Style::line;
}

/// Language keys of the step values, in the order of their table.
const std::array<std::string, base::kStepValueCount>& curve_keys() {
    static const auto keys = [] {
        std::array<std::string, base::kStepValueCount> all;
        for (std::size_t i = 0; i < all.size(); ++i) {
            all[i] = std::string("training.curve.") + base::kStepValues[i].key;
        }
        return all;
    }();
    return keys;
}

/// A unit of the table as it is shown: its language key, null without a unit, and the factor to it.
struct ShownUnit {
    const char* key = nullptr;
    double scale = 1;
};

ShownUnit shown_unit(const base::StepValue& row) {
    const std::string_view unit = row.unit;
    if (unit == "nats/token") {
        return {"training.unit.nats", 1};
    }
    if (unit == "tokens/s") {
        return {"training.unit.tokens_per_second", 1};
    }
    if (unit == "ms") {
        return {"training.unit.ms", 1};
    }
    if (unit == "%") {
        return {"training.unit.percent", 1};
    }
    if (unit == "bytes") {
        return {"training.unit.mb", 1 / kMegabyte};
    }
    return {};
}

/// Its own device can be used now, as far as the node tells.
bool device_is_there(const Context& ctx, const TrainingRun& run) {
    const auto& devices = ctx.snapshot.node.devices;
    return devices.empty() ||
           std::any_of(devices.begin(), devices.end(), [own = device_of(run)](const protocol::DeviceEntry& device) {
               return device.usable() && device.name == own;
           });
}

/// One that the run could go on on.
bool has_other_device(const Context& ctx, const TrainingRun& run) {
    const auto& devices = ctx.snapshot.node.devices;
    return std::any_of(devices.begin(), devices.end(), [before = device_of(run)](const protocol::DeviceEntry& device) {
        return device.usable() && device.name != before;
    });
}

}  // namespace

/// Where a curve of another tool stands that means a value of ours. All its losses stand beside ours.
TrainingPanel::Plot TrainingPanel::plot_of(base::StepPlot plot, const std::string& key) {
    if (key == "cross_entropy") {
        return kLoss;
    }
    switch (plot) {
        case base::StepPlot::loss:
            return kLoss;
        case base::StepPlot::terms:
            return kParts;
        case base::StepPlot::speed:
            return kSpeed;
        case base::StepPlot::time:
            return kTime;
        case base::StepPlot::gradient:
            return kGradient;
        case base::StepPlot::memory:
            return kMemory;
        case base::StepPlot::error:
            return kErrors;
        case base::StepPlot::none:
            break;
    }
    return kImported;
}

void TrainingPanel::draw_buttons(Context& ctx, const TrainingRun& run) {
    const bool paused = run.state == RunState::paused;
    std::vector<Button> buttons;
    if (alive(run)) {
        buttons = {
            {"run.pause", paused ? "training.run.resume" : "training.run.pause", paused ? icon::play : icon::pause},
            {"run.step", "training.run.step", icon::step},
            {"run.stop", "training.run.stop", icon::stop},
            {"run.checkpoint", "training.run.checkpoint", icon::save}};
    } else {
        // The run has ended: what can be done is a run of its own, or to go on with it.
        buttons = {{"runs.new", "runs.new", icon::plus}, {"run.fork", "training.run.fork", icon::branch}};
        if (run.state != RunState::done) {
            buttons.push_back({"run.continue", "training.run.continue", icon::refresh});
            if (has_other_device(ctx, run)) {
                buttons.push_back({"run.continue_on", "training.run.continue_on", icon::refresh});
            }
        }
    }
    float width = -ImGui::GetStyle().ItemSpacing.x;
    std::vector<std::string> labels;
    for (const Button& button : buttons) {
        labels.push_back(with_icon(ctx, button.icon, button.key));
        width += ui::button_width(labels.back().c_str()) + ImGui::GetStyle().ItemSpacing.x;
    }
    ui::align_right(width);
    for (std::size_t i = 0; i < buttons.size(); ++i) {
        if (i > 0) {
            ui::flow(ui::button_width(labels[i].c_str()));
        }
        if (ui::button(labels[i].c_str(), ctx.available(buttons[i].command))) {
            ctx.run(buttons[i].command);
        }
        ui::command_tooltip(
            ctx, ctx.text(ctx.snapshot.node.read_only ? "runs.read_only" : std::string(buttons[i].key) + ".help"),
            buttons[i].command);
    }
}

void TrainingPanel::draw_header(Context& ctx, const TrainingRun& run) {
    ImGui::AlignTextToFramePadding();
    // In a narrow panel what does not fit goes on in the next row.
    const float right = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
    const auto flow = [&](float width) {
        if (ImGui::GetItemRectMax().x + ctx.em + width < right) {
            ImGui::SameLine(0, ctx.em);
        }
    };
    ImGui::PushFont(ctx.bold, 0);
    ui::text_elided(run_title(ctx.text, run), ImGui::GetContentRegionAvail().x);
    ImGui::PopFont();
    const auto newest = static_cast<std::uint64_t>(run.step.empty() ? 0 : run.step.back());
    const std::optional<std::uint64_t> position = ctx.selection.pinned_step;
    const std::uint64_t step = position ? std::min(*position, newest) : newest;
    std::string progress = ctx.text.format(
        "training.progress", {{"step", ctx.text.number(step)}, {"planned", ctx.text.number(run.planned_steps)}});
    if (position) {
        progress = std::string(icon::pin) + " " + progress;
    }
    flow(ImGui::CalcTextSize(progress.c_str()).x);
    ImGui::AlignTextToFramePadding();
    ui::text_colored(position ? ctx.theme.accent : ctx.theme.text, progress);
    ui::tooltip(position ? ctx.text.format("training.progress.position", {{"newest", ctx.text.number(newest)}})
                         : ctx.text.format("training.progress.help",
                                           {{"tokens", short_number(ctx.text, static_cast<double>(run.tokens_total))},
                                            {"checkpoint", ctx.text.number(run.last_checkpoint)}}));
    flow(ui::state_badge_width(ctx, run.state));
    ImGui::BeginGroup();  // only the badge is lowered; the row keeps its own height
    ImGui::SetCursorPosY(ImGui::GetCursorPosY() + ImGui::GetStyle().FramePadding.y * 0.7f);
    ui::state_badge(ctx, run.state);
    ImGui::EndGroup();
    if (!ctx.selection.follow && !run.step.empty()) {
        const std::string key = alive(run) ? "training.live" : "training.whole";
        const std::string label = with_icon(ctx, icon::right, key.c_str());
        flow(ui::button_width(label.c_str()));
        if (ImGui::Button(label.c_str())) {
            fit_steps(ctx.selection, run);
        }
        ui::tooltip(ctx.text(key + ".help"));
    }
    draw_buttons(ctx, run);
}

void TrainingPanel::draw_message(Context& ctx, const TrainingRun& run) {
    const bool broken = run.state == RunState::failed || run.state == RunState::interrupted;
    if (!broken) {
        return;
    }
    const std::string sentence = run.message.empty() ? ctx.text("training.interrupted") : ctx.text.message(run.message);
    const bool offer = ctx.available("run.continue");
    const std::string repair = with_icon(ctx, icon::refresh, "training.repair");
    if (ui::banner(ctx, run.state == RunState::failed ? ui::Tone::error : ui::Tone::warning, sentence,
                   offer ? repair.c_str() : nullptr)) {
        ctx.run(device_is_there(ctx, run) ? "run.continue" : "run.continue_on");
    }
}

void TrainingPanel::draw_empty(Context& ctx) {
    if (ctx.connected()) {
        ui::empty_state(ctx, icon::chart, "training.empty", "training.run.start", "run.start");
    } else {
        ui::empty_state(ctx, icon::chart, "training.empty.offline");
    }
    const nlohmann::json& offered = preset(ctx.snapshot, kPreset);
    const nlohmann::json& plan = base::member(offered, "plan");
    if (!plan.is_object()) {
        return;
    }
    const auto number = [&](const char* key) { return std::max(0.0, base::number_of(plan, key, 0)); };
    const std::string line =
        ctx.text.format("training.empty.plan",
                        {{"total", short_number(ctx.text, number("parameters_total"))},
                         {"active", short_number(ctx.text, number("parameters_active"))},
                         {"memory", ui::bytes_text(ctx.text, static_cast<std::uint64_t>(number("memory_bytes")))}});
    const float width = std::min(ImGui::CalcTextSize(line.c_str()).x, ImGui::GetContentRegionAvail().x);
    ImGui::SetCursorPosX(ImGui::GetCursorPosX() + (ImGui::GetContentRegionAvail().x - width) / 2);
    ui::text_wrapped(line, ctx.theme.text_dim, width + 1);
}

void TrainingPanel::update_sums(const TrainingRun& run) {
    if (sums_run_ != run.id) {
        sums_ = {};
    }
    sums_run_ = run.id;
    const history::Column& main = history::main_loss(run);
    for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
        if (style_of(base::kStepValues[i].plot) != Curve::Style::line || &run.values[i] == &main) {
            sums_[i].update(run.values[i]);
        }
    }
}

void TrainingPanel::update_earlier(const Context& ctx, const TrainingRun& run) {
    const std::vector<Ancestor> chain = ancestors(ctx.snapshot, run);
    EarlierKey key;
    for (const Ancestor& one : chain) {
        key.push_back({one.run->id, one.step, one.run->step.size()});
    }
    if (key == earlier_key_) {
        return;
    }
    earlier_key_ = std::move(key);
    earlier_.clear();
    for (const Ancestor& one : chain) {
        Earlier earlier{"training.curve.run" + std::to_string(one.run->id),
                        one.run->name,
                        static_cast<double>(one.step),
                        one.run->step,
                        history::main_loss(*one.run),
                        {}};
        // What the other run did after the fork is another story.
        std::size_t count = earlier.step.size();
        while (count > 0 && earlier.step[count - 1] > earlier.fork_step) {
            --count;
        }
        earlier.step.truncate(count);
        earlier.loss.truncate(count);
        earlier.sum.update(earlier.loss);
        earlier_.push_back(std::move(earlier));
    }
}

void TrainingPanel::update_beside(Context& ctx) {
    const auto runs = shown_imports(ctx);
    BesideKey key;
    for (const auto& run : runs) {
        std::uint64_t points = 0;
        for (const history::ImportedCurve& curve : run->curves) {
            points += curve.step.size();
        }
        key.push_back({run->id, run->curves.size(), points});
    }
    if (key == beside_key_) {
        return;
    }
    beside_key_ = std::move(key);
    beside_.clear();
    last_beside_ = 0;
    std::map<Plot, std::size_t> drawn;  // before, in the same plot
    for (const auto& run : runs) {
        for (std::size_t i = 0; i < run->curves.size(); ++i) {
            const history::ImportedCurve& curve = run->curves[i];
            last_beside_ = std::max(last_beside_, curve.step.empty() ? 0 : curve.step.back());
            Beside beside{
                .key = "training.imported." + std::to_string(run->id) + "." + std::to_string(i),
                .name = run->name + ctx.text("common.colon") + curve.name +
                        (curve.key.empty() && !curve.unit.empty() ? ui::in_brackets(ctx.text, curve.unit) : ""),
                .curve = curve};
            if (curve.key.starts_with(protocol::kEvaluationAny)) {
                beside.plot = kLoss;
                beside.points = true;
                beside.unit_key = "training.unit.nats";
            }
            for (const base::StepValue& row : base::kStepValues) {
                if (curve.key != row.key) {
                    continue;
                }
                const ShownUnit unit = shown_unit(row);
                beside.plot = plot_of(row.plot, curve.key);
                beside.right = row.right && beside.plot != kLoss && beside.plot != kImported;
                beside.scale = unit.scale;
                beside.unit_key = unit.key;
            }
            beside.color = beside.plot == kImported ? beside_.size() : kFirstBesideColor + drawn[beside.plot]++;
            beside_.push_back(std::move(beside));
        }
    }
}

bool TrainingPanel::has_others() const {
    return std::any_of(beside_.begin(), beside_.end(), [](const Beside& one) { return one.plot == kImported; });
}

/// Of those that mean nothing of ours the first few are drawn until a person chooses others in the legend.
void TrainingPanel::add_beside(const Context& ctx, Plot plot, StepPlotSpec& spec) const {
    std::size_t others = 0;
    for (const Beside& one : beside_) {
        if (one.plot == plot && (plot != kImported || others++ < kMostOthers)) {
            spec.curves.push_back({.key = one.key.c_str(),
                                   .style = Curve::Style::points,
                                   .color = ctx.theme.series_color(one.color),
                                   .x = &one.curve.step,
                                   .y = &one.curve.value,
                                   .unit_key = one.unit_key,
                                   .scale = one.scale,
                                   .right = one.right,
                                   .name = one.name,
                                   .optional = plot == kImported && others > kOthersDrawn});
        }
    }
}

Curve TrainingPanel::curve_of(const Context& ctx, const TrainingRun& run, std::size_t i, Curve::Style style) const {
    const base::StepValue& row = base::kStepValues[i];
    const ShownUnit unit = shown_unit(row);
    Curve curve;
    curve.key = curve_keys()[i].c_str();
    curve.style = style;
    curve.color = ctx.theme.series_color(row.color);
    curve.x = &run.step;
    curve.y = &run.values[i];
    curve.sum = style == Curve::Style::line || style == Curve::Style::points ? nullptr : &sums_[i];
    curve.unit_key = unit.key;
    curve.scale = unit.scale;
    curve.right = row.right;
    return curve;
}

/// The curves of one plot, from the table of step values; what this run does not compute is left out.
void TrainingPanel::add_curves(const Context& ctx, const TrainingRun& run, base::StepPlot plot,
                               StepPlotSpec& spec) const {
    for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
        if (base::kStepValues[i].plot == plot &&
            (run.step.empty() || !run.values[i].range(0, run.step.size()).empty())) {
            spec.curves.push_back(curve_of(ctx, run, i, style_of(plot)));
        }
    }
}

/// What the held-out losses can be compared with, and beside it, when it is wanted, the total: the balance terms are in
/// that alone.
void TrainingPanel::add_losses(const Context& ctx, const TrainingRun& run, StepPlotSpec& spec) const {
    const std::size_t total = base::step_value_index(&base::StepValues::loss);
    const history::Column& main = history::main_loss(run);
    for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
        if (&run.values[i] == &main) {
            Curve curve = curve_of(ctx, run, i, Curve::Style::smoothed);
            curve.color = ctx.theme.accent;
            spec.curves.push_back(std::move(curve));
        }
    }
    if (&run.values[total] != &main) {
        Curve curve = curve_of(ctx, run, total, Curve::Style::dashed);
        curve.color = ctx.theme.accent;
        curve.optional = true;
        spec.curves.push_back(std::move(curve));
    }
}

StepPlotSpec TrainingPanel::spec(const Context& ctx, const TrainingRun& run, Plot plot) const {
    StepPlotSpec result = own_spec(ctx, run, plot);
    add_beside(ctx, plot, result);
    return result;
}

StepPlotSpec TrainingPanel::own_spec(const Context& ctx, const TrainingRun& run, Plot plot) const {
    using Style = Curve::Style;
    const ui::Theme& theme = ctx.theme;
    StepPlotSpec result;
    switch (plot) {
        case kLoss: {
            result = {.key = "training.loss", .unit_key = "training.unit.nats"};
            if (run.kind == history::RunKind::imported) {
                break;  // its curves are all beside
            }
            add_losses(ctx, run, result);
            const auto add_evaluation = [&](const char* key, ImVec4 color, const history::Column& values) {
                if (!values.empty() && values.range(0, values.size()).empty()) {
                    return;  // there is no held-out text of that language
                }
                result.curves.push_back({.key = key,
                                         .style = Style::points,
                                         .color = color,
                                         .x = &run.evaluation_step,
                                         .y = &values,
                                         .unit_key = "training.unit.nats"});
            };
            add_evaluation("training.curve.english", theme.english, run.evaluation_english);
            add_evaluation("training.curve.chinese", theme.chinese, run.evaluation_chinese);
            for (const Earlier& earlier : earlier_) {
                result.curves.push_back({.key = earlier.key.c_str(),
                                         .style = Style::earlier,
                                         .color = theme.text_dim,
                                         .x = &earlier.step,
                                         .y = &earlier.loss,
                                         .sum = &earlier.sum,
                                         .unit_key = "training.unit.nats",
                                         .name = earlier.name});
                result.marks.push_back(
                    {earlier.fork_step,
                     ctx.text.format("training.forked",
                                     {{"name", earlier.name},
                                      {"step", ctx.text.number(static_cast<std::uint64_t>(earlier.fork_step))}})});
            }
            break;
        }
        case kParts:
            result = {.key = "training.parts", .unit_key = "training.unit.parts"};
            add_curves(ctx, run, base::StepPlot::terms, result);
            break;
        case kSpeed:
            result = {.key = "training.speed", .unit_key = "training.unit.tokens_per_second", .from_zero = true};
            add_curves(ctx, run, base::StepPlot::speed, result);
            break;
        case kTime:
            result = {.key = "training.time", .unit_key = "training.unit.ms", .from_zero = true};
            add_curves(ctx, run, base::StepPlot::time, result);
            break;
        case kGradient:
            result = {.key = "training.gradient", .unit_key = "training.unit.gradient", .from_zero = true};
            add_curves(ctx, run, base::StepPlot::gradient, result);
            break;
        case kErrors:
            result = {.key = "training.errors", .unit_key = "training.unit.percent", .from_zero = true};
            add_curves(ctx, run, base::StepPlot::error, result);
            break;
        case kImported:
            result = {.key = "training.imported", .unit_key = "training.unit.imported"};
            break;
        case kMemory:
        case kPlots: {
            result = {.key = "training.memory", .unit_key = "training.unit.mb", .from_zero = true};
            add_curves(ctx, run, base::StepPlot::memory, result);
            const double planned = base::number_of(base::member(run.manifest, "plan"), "memory_bytes", 0);
            if (planned > 0) {
                result.curves.push_back({.key = "training.curve.memory_planned",
                                         .style = Style::level,
                                         .color = theme.warning,
                                         .x = &run.step,
                                         .unit_key = "training.unit.mb",
                                         .scale = 1 / kMegabyte,
                                         .level = planned});
            }
            break;
        }
    }
    return result;
}

void TrainingPanel::draw_plot(Context& ctx, const TrainingRun& run, Plot plot, ImVec2 size) {
    plots_[plot].draw(ctx, run, spec(ctx, run, plot), window_, size);
}

void TrainingPanel::draw_grid(Context& ctx, const TrainingRun& run, ImVec2 room) {
    // Loss over the two rows at the left, three columns in all.
    const ImVec2 space{1.2f * ctx.em, 0.6f * ctx.em};
    const ImVec2 corner = ImGui::GetCursorPos();
    const float wide = 0.38f * room.x, rest = (room.x - wide - 2 * space.x) / 2, half = (room.y - space.y) / 2;
    const auto place = [&](Plot plot, float x, float y, ImVec2 size) {
        ImGui::SetCursorPos({corner.x + x, corner.y + y});
        draw_plot(ctx, run, plot, size);
    };
    place(kLoss, 0, 0, {wide, room.y * 0.62f - space.y});
    place(kParts, 0, room.y * 0.62f, {wide, room.y * 0.38f});
    const float second = wide + space.x, third = second + rest + space.x;
    place(kSpeed, second, 0, {rest, half});
    place(kTime, third, 0, {rest, half});
    place(kGradient, second, half + space.y, {rest, half});
    // Plots that only some runs have share the last place.
    std::vector<Tab> last = special_tabs(run);
    last.insert(last.begin(), Tab{kMemory, ""});
    const auto parts = static_cast<float>(last.size());
    const float part = (half - (parts - 1) * space.y) / parts;
    float y = half + space.y;
    for (const Tab& one : last) {
        place(one.plot, third, y, {rest, part});
        y += part + space.y;
    }
}

void TrainingPanel::draw_beside(Context& ctx, const TrainingRun& run, ImVec2 room) {
    const float space = 1.2f * ctx.em, wide = 0.54f * room.x;
    const ImVec2 corner = ImGui::GetCursorPos();
    draw_plot(ctx, run, kLoss, {wide, room.y});
    ImGui::SetCursorPos({corner.x + wide + space, corner.y});
    ImGui::BeginGroup();
    const float side = room.x - wide - space;
    // Two plots of a page above one another when there is the height, else one.
    const bool two = room.y > 21 * ctx.em;
    if (two) {
        std::vector<const char*> labels = {ctx.text.label("training.tab.speed"),
                                           ctx.text.label("training.tab.optimizer"),
                                           ctx.text.label("training.tab.memory")};
        std::vector<std::array<Plot, 2>> pages = {{kSpeed, kTime}, {kParts, kGradient}, {kMemory, kPlots}};
        for (const Tab& tab : special_tabs(run)) {
            labels.push_back(ctx.text.label(tab.key));
            pages.push_back({tab.plot, kPlots});
        }
        page_ = std::min(page_, static_cast<int>(labels.size()) - 1);
        ui::segmented(ctx, "page", labels, page_);
        ImGui::SetCursorPosX(corner.x + wide + space);
        const float left = corner.y + room.y - ImGui::GetCursorPosY(), gap = 0.4f * ctx.em;
        const auto& page = pages[static_cast<std::size_t>(std::clamp(page_, 0, static_cast<int>(pages.size()) - 1))];
        const bool single = page[1] == kPlots;
        const float height = single ? left : (left - gap) / 2;
        const float top = ImGui::GetCursorPosY();
        draw_plot(ctx, run, page[0], {side, height});
        if (!single) {
            ImGui::SetCursorPos({corner.x + wide + space, top + height + gap});
            draw_plot(ctx, run, page[1], {side, height});
        }
    } else {
        const std::vector<Tab> all = tabs(run);
        const std::vector<const char*> labels = labels_of(ctx, all);
        tab_ = std::min(tab_, static_cast<int>(labels.size()) - 1);
        const int before = tab_;
        ui::segmented(ctx, "tab", labels, tab_);
        ImGui::SetCursorPosX(corner.x + wide + space);
        draw_plot(ctx, run, all[static_cast<std::size_t>(before)].plot,
                  {side, corner.y + room.y - ImGui::GetCursorPosY()});
    }
    ImGui::EndGroup();
}

std::vector<TrainingPanel::Tab> TrainingPanel::special_tabs(const TrainingRun& run) const {
    std::vector<Tab> special;
    const bool errors =
        !run[&base::StepValues::expert_output_error].range(0, run.step.size()).empty() ||
        std::any_of(beside_.begin(), beside_.end(), [](const Beside& one) { return one.plot == kErrors; });
    if (errors) {
        special.push_back({kErrors, "training.tab.errors"});
    }
    if (has_others()) {
        special.push_back({kImported, "training.tab.imported"});
    }
    return special;
}

std::vector<TrainingPanel::Tab> TrainingPanel::tabs(const TrainingRun& run) const {
    std::vector<Tab> all = {{kSpeed, "training.tab.tokens"},
                            {kTime, "training.tab.time"},
                            {kParts, "training.tab.parts"},
                            {kGradient, "training.tab.gradient"},
                            {kMemory, "training.tab.memory"}};
    for (const Tab& tab : special_tabs(run)) {
        all.push_back(tab);
    }
    return all;
}

std::vector<const char*> TrainingPanel::labels_of(const Context& ctx, const std::vector<Tab>& tabs) {
    std::vector<const char*> labels;
    for (const Tab& tab : tabs) {
        labels.push_back(ctx.text.label(tab.key));
    }
    return labels;
}

void TrainingPanel::draw_narrow(Context& ctx, const TrainingRun& run, ImVec2 room) {
    const float gap = 0.4f * ctx.em;
    const bool tall = room.y > 20 * ctx.em;
    const ImVec2 corner = ImGui::GetCursorPos();
    const std::vector<Tab> all = tabs(run);
    std::vector<const char*> labels = labels_of(ctx, all);
    if (tall) {
        const float height = 0.5f * room.y;
        draw_plot(ctx, run, kLoss, {room.x, height});
        ImGui::SetCursorPos({corner.x, corner.y + height + gap});
    } else {
        labels.insert(labels.begin(), ctx.text.label("training.tab.loss"));
    }
    int& tab = tall ? tab_ : low_tab_;
    tab = std::min(tab, static_cast<int>(labels.size()) - 1);
    const int shown = tab - (tall ? 0 : 1);
    ui::segmented(ctx, tall ? "tab" : "tab_all", labels, tab);
    draw_plot(ctx, run, shown < 0 ? kLoss : all[static_cast<std::size_t>(shown)].plot,
              {room.x, std::max(kLeastPlot * ctx.em, corner.y + room.y - ImGui::GetCursorPosY())});
}

void TrainingPanel::draw_plots(Context& ctx, const TrainingRun& run) {
    update_sums(run);
    update_earlier(ctx, run);
    update_beside(ctx);
    ctx.selection.last_beside = last_beside_;
    follow_steps(ctx.selection, run);
    // In a small place the plots keep a size in which they can be read, and the panel scrolls.
    const ImVec2 there = ImGui::GetContentRegionAvail();
    const ImVec2 room = {std::max(there.x, kLeastWidth * ctx.em), std::max(there.y, kLeastHeight * ctx.em)};
    if (room.x >= 68 * ctx.em && room.y >= 26 * ctx.em) {
        draw_grid(ctx, run, room);
    } else if (room.x >= 44 * ctx.em) {
        draw_beside(ctx, run, room);
    } else {
        draw_narrow(ctx, run, room);
    }
}

/// The plots of a session that has nothing but curves of other tools.
void TrainingPanel::draw_imports_alone(Context& ctx) {
    double last = 0;
    for (const auto& [id, run] : ctx.snapshot.imports) {
        for (const history::ImportedCurve& curve : run->curves) {
            last = std::max(last, curve.step.empty() ? 0 : curve.step.back());
        }
    }
    if (imports_alone_.step.empty() || imports_alone_.step.back() != last) {
        imports_alone_ = {};
        imports_alone_.kind = history::RunKind::imported;
        imports_alone_.name = ctx.text("runs.imported");
        imports_alone_.step.push_back(last);
    }
    ImGui::PushFont(ctx.bold, 0);
    ImGui::TextUnformatted(ctx.text("runs.imported"));
    ImGui::PopFont();
    draw_plots(ctx, imports_alone_);
}

void TrainingPanel::draw(Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    if (run == nullptr) {
        return ctx.snapshot.imports.empty() ? draw_empty(ctx) : draw_imports_alone(ctx);
    }
    draw_header(ctx, *run);
    draw_message(ctx, *run);
    if (run->step.empty() && run->evaluation_step.empty()) {
        ui::empty_state(ctx, icon::hourglass,
                        alive(*run)                       ? "training.waiting"
                        : run->state == RunState::planned ? "training.planned"
                                                          : "training.no_steps");
        return;
    }
    draw_plots(ctx, *run);
}

namespace {

bool is_live(const Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    return ctx.connected() && run != nullptr && alive(*run);
}

bool is_paused(const Context& ctx) {
    return is_live(ctx) && selected_run(ctx)->state == RunState::paused;
}

bool can_start(const Context& ctx) {
    const auto& runs = ctx.snapshot.training;
    return ctx.connected() && !ui::pending(ctx.snapshot, ctx.selection.starting_run) &&
           std::none_of(runs.begin(), runs.end(),
                        [](const auto& entry) { return entry.second->state == RunState::running; });
}

bool can_continue_selected(const Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    return run != nullptr && can_continue(ctx, *run);
}

/// The new run, from its first step; a step pinned in another run means nothing here.
void start(Context& ctx) {
    ctx.selection.training_run = 0;
    ctx.selection.follow = true;
    ctx.selection.step_min = 0;
    ctx.selection.pinned_step.reset();
    ctx.selection.starting_run = ctx.client.send("train.start", {{"preset", kPreset}});
}

}  // namespace

void TrainingPanel::take_over(ui::Panel& before) {
    const auto& old = dynamic_cast<const TrainingPanel&>(before);
    for (std::size_t i = 0; i < plots_.size(); ++i) {
        plots_[i].take_over(old.plots_[i]);
    }
    window_ = old.window_;
    tab_ = old.tab_;
    low_tab_ = old.low_tab_;
    page_ = old.page_;
}

bool TrainingPanel::act(const std::string& action, Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    const auto send = [&](const char* command) {
        return run == nullptr ? client::CommandId{0} : ctx.client.send(command, {{"run", run->id}});
    };
    if (action == "run.start") {
        start(ctx);
    } else if (action == "run.continue") {
        ctx.selection.starting_run = send("train.continue");
    } else if (const char* number = ui::action_value(action, "run.continue")) {
        ctx.selection.starting_run = ctx.client.send("train.continue", {{"run", std::strtoul(number, nullptr, 10)}});
    } else if (action == "run.continue_on" && run != nullptr) {
        continue_form_.open(*run);
    } else if (const char* of_run = ui::action_value(action, "run.continue_on")) {
        if (const auto found =
                ctx.snapshot.training.find(static_cast<std::uint32_t>(std::strtoul(of_run, nullptr, 10)));
            found != ctx.snapshot.training.end()) {
            continue_form_.open(*found->second);
        }
    } else if (action == "run.pause") {
        send(run != nullptr && run->state == RunState::running ? "train.pause" : "train.resume");
    } else if (action == "run.step") {
        send("train.step");
    } else if (action == "run.stop") {
        send("train.stop");
    } else if (action == "run.checkpoint") {
        send("train.checkpoint");
    } else {
        return false;
    }
    return true;
}

ui::PanelDescription describe_training() {
    using ui::Place;
    using Show = ui::Stand::Show;
    return {.key = "training",
            .make = ui::make_panel<TrainingPanel>,
            .stands = {{"training", Place::upper, 0, Show::front},
                       {"compare", Place::whole, 3},
                       {"probe", Place::whole, 3}},
            .commands = {{.key = "run.start",
                          .menu = {"menu.run", 0, 0},
                          .shortcut = ImGuiMod_Ctrl | ImGuiKey_R,
                          .available = can_start},
                         {.key = "run.pause", .menu = {"menu.run", 1}, .shortcut = ImGuiKey_F6, .available = is_live},
                         {.key = "run.step", .menu = {"menu.run", 1}, .shortcut = ImGuiKey_F10, .available = is_paused},
                         {.key = "run.stop", .menu = {"menu.run", 1}, .available = is_live},
                         {.key = "run.checkpoint",
                          .menu = {"menu.run", 1},
                          .shortcut = ImGuiMod_Ctrl | ImGuiKey_S,
                          .available = is_live},
                         {.key = "run.continue", .menu = {"menu.run", 1}, .available = can_continue_selected},
                         {.key = "run.continue_on", .menu = {"menu.run", 1}, .available = can_continue_selected}}};
}

}  // namespace moescope::panels
