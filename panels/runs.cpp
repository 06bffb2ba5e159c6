#include "panels/runs.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_stdlib.h>

#include "nodes/protocol/json_fields.hpp"
#include "panels/panels.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using client::RunState;
using client::TrainingRun;
using nlohmann::json;
using ui::Context;
namespace icon = ui::icon;

/// A number of the configuration that the form offers. The range guides; the node decides.
struct Field {
    const char* section;
    const char* name;
    bool whole;
    double low, high;
};
constexpr Field kFields[] = {
    {"train", "steps", true, 1, 10'000'000},
    {"train", "seed", true, 0, 4'294'967'295.0},
    {"train", "learning_rate", false, 0, 1},
    {"train", "batch", true, 1, 4096},
    {"train", "balance_coefficient", false, 0, 10},
    {"train", "z_coefficient", false, 0, 10},
    {"model", "layers", true, 1, 128},
    {"model", "experts", true, 1, 1024},
    {"model", "experts_per_token", true, 1, 64},
};

const char* state_icon(RunState state) {
    switch (state) {
        case RunState::planned:
            return icon::clock;
        case RunState::running:
            return icon::play;
        case RunState::paused:
            return icon::pause;
        case RunState::done:
            return icon::check;
        case RunState::stopped:
            return icon::stop;
        case RunState::failed:
            return icon::error;
        case RunState::interrupted:
            return icon::warning;
    }
    return icon::question;
}

ImVec4 state_color(const ui::Theme& theme, RunState state) {
    switch (state) {
        case RunState::running:
            return theme.accent;
        case RunState::done:
            return theme.good;
        case RunState::failed:
            return theme.error;
        case RunState::interrupted:
        case RunState::paused:
            return theme.warning;
        default:
            return theme.text_dim;
    }
}

/// The value of a field inside a configuration, sectioned or flat; null when the preset has no such key.
json* find(json& config, const Field& field) {
    return const_cast<json*>(config_value(config, field.section, field.name));
}

/// One line of a list: state, name, and at the right end a dim number. True when clicked.
bool row(const Context& ctx, const char* id, RunState state, const std::string& name, const std::string& right,
         bool chosen) {
    const ImVec2 start = ImGui::GetCursorScreenPos();
    const float width = ImGui::GetContentRegionAvail().x, height = ImGui::GetTextLineHeight() + 0.3f * ctx.em;
    const bool clicked = ImGui::Selectable(id, chosen, ImGuiSelectableFlags_AllowOverlap, {width, height});
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float y = start.y + 0.15f * ctx.em, text_x = start.x + 1.5f * ctx.em;
    const float right_width = ImGui::CalcTextSize(right.c_str()).x,
                right_x = start.x + width - right_width - 0.2f * ctx.em;
    draw.AddText({start.x + 0.2f * ctx.em, y}, ImGui::GetColorU32(state_color(ctx.theme, state)), state_icon(state));
    draw.PushClipRect({text_x, start.y}, {right_x - 0.4f * ctx.em, start.y + height}, true);
    draw.AddText({text_x, y}, ImGui::GetColorU32(ctx.theme.text), name.c_str());
    draw.PopClipRect();
    draw.AddText({right_x, y}, ImGui::GetColorU32(ctx.theme.text_dim), right.c_str());
    return clicked;
}

}  // namespace

// --- Lists
// ----------------------------------------------------------------------------------------------------------------

void RunsPanel::draw_training_menu(Context& ctx, const TrainingRun& run) {
    if (!ImGui::BeginPopupContextItem("menu"))
        return;
    const bool connected = ctx.snapshot.link.state == client::Link::State::connected;
    const auto item = [&](const char* key, const char* command, bool enabled) {
        if (ImGui::MenuItem(ctx.text.label(key), nullptr, false, enabled && connected))
            ctx.client.send(command, {{"run", run.id}});
    };
    if (run.state == RunState::paused)
        item("training.run.resume", "train.resume", true);
    else
        item("training.run.pause", "train.pause", run.state == RunState::running);
    item("training.run.stop", "train.stop", alive(run));
    item("training.run.checkpoint", "train.checkpoint", alive(run));
    item("training.run.continue", "train.continue",
         run.last_checkpoint > 0 &&
             (run.state == RunState::interrupted || run.state == RunState::stopped || run.state == RunState::failed));
    ImGui::Separator();
    if (ImGui::MenuItem(ctx.text.label("runs.copy_manifest")))
        ImGui::SetClipboardText(run.manifest.dump(2, ' ', false, json::error_handler_t::replace).c_str());
    ImGui::EndPopup();
}

void RunsPanel::draw_training_row(Context& ctx, const TrainingRun& run, bool chosen) {
    std::string right;
    if (!run.step.empty())
        right = ctx.text.format("runs.row", {{"step", ctx.text.number(static_cast<std::uint64_t>(run.step.back()))},
                                             {"loss", ctx.text.number(run.loss.back(), 3)}});
    ImGui::PushID(static_cast<int>(run.id));
    const std::string id = "###run" + std::to_string(run.id);
    if (row(ctx, id.c_str(), run.state, run.name, right, chosen)) {
        ctx.selection.training_run = run.id;
        ctx.selection.pinned_step.reset();
        ctx.selection.follow = true;
        ctx.selection.step_min = 0;
    }
    std::string hint =
        run.name + "\n" + ctx.text(ui::state_key(run.state)) + "\n" +
        ctx.text.format("training.progress",
                        {{"step", ctx.text.number(static_cast<std::uint64_t>(run.step.empty() ? 0 : run.step.back()))},
                         {"planned", ctx.text.number(run.planned_steps)}});
    if (!run.loss.empty())
        hint += "\n" + ctx.text.format("runs.loss", {{"loss", ctx.text.number(run.loss.back(), 5)}});
    if (!run.message.empty())
        hint += "\n" + ctx.text.message(run.message);
    ui::tooltip(hint);
    draw_training_menu(ctx, run);
    ImGui::PopID();
}

void RunsPanel::draw_training(Context& ctx) {
    const TrainingRun* chosen = selected_run(ctx);
    for (auto entry = ctx.snapshot.training.rbegin(); entry != ctx.snapshot.training.rend(); ++entry)
        draw_training_row(ctx, *entry->second, entry->second.get() == chosen);
}

void RunsPanel::draw_others(Context& ctx) {
    const auto& probes = ctx.snapshot.probes;
    const auto& answers = ctx.snapshot.generations;
    if (probes.empty() && answers.empty())
        return;
    if (!probes.empty()) {
        ui::section(ctx, ctx.text("runs.probes"));
        const auto shown = run_or_newest(probes, ctx.selection.probe_run);
        for (auto entry = probes.rbegin(); entry != probes.rend(); ++entry) {
            const client::ProbeRun& run = *entry->second;
            const std::string id = "###probe" + std::to_string(run.id);
            const std::string right =
                ctx.text.format("runs.draws", {{"done", ctx.text.number(std::uint64_t{run.draws.size()})},
                                               {"planned", ctx.text.number(std::uint64_t{run.planned})}});
            const bool chosen = entry->second == shown;
            if (row(ctx, id.c_str(), run.state, run.name.empty() ? run.set : run.name, right, chosen)) {
                ctx.selection.probe_run = run.id;
                ctx.run("view.layout_probe");
            }
            ui::tooltip(std::string(ctx.text(ui::state_key(run.state))) +
                        (run.message.empty() ? "" : "\n" + ctx.text.message(run.message)));
        }
    }
    if (answers.empty())
        return;
    ui::section(ctx, ctx.text("runs.answers"));
    ImGuiListClipper clipper;
    std::vector<const client::Generation*> newest;
    newest.reserve(answers.size());
    for (auto entry = answers.rbegin(); entry != answers.rend(); ++entry)
        newest.push_back(entry->second.get());
    clipper.Begin(static_cast<int>(newest.size()));
    while (clipper.Step()) {
        for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
            const client::Generation& answer = *newest[static_cast<std::size_t>(i)];
            const std::string id = "###answer" + std::to_string(answer.id);
            if (row(ctx, id.c_str(), answer.state, answer.model,
                    ctx.text.format("runs.tokens", {{"tokens", ctx.text.number(std::uint64_t{answer.tokens.size()})}}),
                    false)) {
                ctx.selection.generation = answer.id;
                ctx.run("view.layout_compare");
            }
            ui::tooltip(std::string(ctx.text(ui::state_key(answer.state))) +
                        (answer.message.empty() ? "" : "\n" + ctx.text.message(answer.message)));
        }
    }
}

// --- The form
// -------------------------------------------------------------------------------------------------------------

void RunsPanel::choose_preset(Context& ctx, const std::string& name) {
    const json& chosen = preset(ctx.snapshot, name);
    form_.preset = name;
    form_.error.clear();
    form_.planning = 0;
    form_.config = protocol::member(chosen, "config");
    form_.plan = protocol::member(chosen, "plan");
}

void RunsPanel::draw_presets(Context& ctx) {
    const json& presets = protocol::member(*ctx.snapshot.catalogue, "presets");
    if (form_.preset.empty() && presets.is_array() && !presets.empty())
        choose_preset(
            ctx, preset(ctx.snapshot, "workshop").is_object() ? "workshop" : protocol::text_of(presets[0], "name"));
    if (!ImGui::BeginCombo(ctx.text.label("runs.preset"), form_.preset.c_str()))
        return;
    for (const json& one : presets) {
        const std::string name = protocol::text_of(one, "name");
        if (!name.empty() && ImGui::Selectable(name.c_str(), name == form_.preset))
            choose_preset(ctx, name);
    }
    ImGui::EndCombo();
}

/// True when a value has changed.
bool RunsPanel::draw_fields(Context& ctx) {
    bool changed = false;
    for (const Field& field : kFields) {
        json* value = find(form_.config, field);
        if (value == nullptr || !value->is_number())
            continue;
        const std::string key = std::string("runs.field.") + field.name;
        if (field.whole) {
            auto number = value->get<std::int64_t>();
            if (ImGui::InputScalar(ctx.text.label(key), ImGuiDataType_S64, &number))
                *value = number;
        } else {
            double number = value->get<double>();
            if (ImGui::InputDouble(ctx.text.label(key), &number, 0, 0, "%.6g"))
                *value = number;
        }
        changed |= ImGui::IsItemDeactivatedAfterEdit();
        ui::tooltip(ctx.text(key + ".help") + std::string("\n") +
                    ctx.text.format("runs.range",
                                    {{"low", ctx.text.number(field.low)}, {"high", ctx.text.number(field.high, 7)}}));
    }
    return changed;
}

void RunsPanel::draw_plan(Context& ctx) {
    if (form_.planning != 0)
        return ui::text_dim(ctx, ctx.text("runs.planning"));
    if (!form_.plan.is_object() || !ui::begin_properties("plan"))
        return;
    const auto number = [&](const char* key) { return protocol::number_of(form_.plan, key, 0); };
    ui::property(ctx, ctx.text("runs.plan.total"), short_number(ctx.text, number("parameters_total")),
                 ctx.text("runs.plan.total.help"));
    ui::property(ctx, ctx.text("runs.plan.active"), short_number(ctx.text, number("parameters_active")),
                 ctx.text("runs.plan.active.help"));
    ui::property(ctx, ctx.text("runs.plan.memory"),
                 ui::bytes_text(ctx.text, static_cast<std::uint64_t>(std::max(0.0, number("memory_bytes")))),
                 ctx.text("runs.plan.memory.help"));
    ui::property(ctx, ctx.text("runs.plan.flops"), short_number(ctx.text, number("flops_per_token")),
                 ctx.text("runs.plan.flops.help"));
    ui::end_properties();
}

void RunsPanel::collect(Context& ctx) {
    const auto answered = [&](client::CommandId& id) -> const client::CommandResult* {
        const auto found = ctx.snapshot.results.find(id);
        if (id == 0 || found == ctx.snapshot.results.end() ||
            found->second.state == client::CommandResult::State::pending)
            return nullptr;
        id = 0;
        return &found->second;
    };
    if (const client::CommandResult* result = answered(form_.planning)) {
        const bool done = result->state == client::CommandResult::State::done;
        form_.plan = done ? result->value : json();
        form_.error = done ? "" : result->error;
    }
    if (const client::CommandResult* result = answered(form_.starting)) {
        if (result->state != client::CommandResult::State::done) {
            form_.error = result->error;
            return;
        }
        form_.open = false;
        ctx.selection.training_run = protocol::run_of(result->value);
        ctx.selection.follow = true;
        ctx.selection.step_min = 0;
        ctx.selection.pinned_step.reset();
    }
}

void RunsPanel::start(Context& ctx) {
    json parameters = json::object();
    if (form_.config.is_object())
        parameters["config"] = form_.config;
    else
        parameters["preset"] = form_.preset;
    if (!form_.name.empty())
        parameters["name"] = form_.name;
    form_.starting = ctx.client.send("train.start", std::move(parameters));
}

void RunsPanel::draw_form(Context& ctx) {
    if (!form_.open)
        return;
    const ImVec2 centre = ImGui::GetMainViewport()->GetCenter();
    ImGui::SetNextWindowPos(centre, ImGuiCond_Appearing, {0.5f, 0.5f});
    constexpr ImGuiWindowFlags flags = ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoDocking |
                                       ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoCollapse;
    if (ImGui::Begin(ctx.text.label("runs.form"), &form_.open, flags)) {
        ui::text_wrapped(ctx.text("runs.form.about"), ctx.theme.text_dim, 26 * ctx.em);
        ImGui::PushItemWidth(11 * ctx.em);
        draw_presets(ctx);
        ImGui::InputTextWithHint(ctx.text.label("runs.name"), ctx.text("runs.name.hint"), &form_.name);
        if (draw_fields(ctx))
            form_.planning = ctx.client.send("train.plan", {{"config", form_.config}});
        ImGui::PopItemWidth();
        ui::section(ctx, ctx.text("runs.plan"));
        draw_plan(ctx);
        if (!form_.error.empty())
            ui::text_wrapped(ctx.text.message(form_.error), ctx.theme.error, 26 * ctx.em);
        ImGui::Dummy({0, 0.2f * ctx.em});
        const bool connected = ctx.snapshot.link.state == client::Link::State::connected;
        ImGui::BeginDisabled(!connected || form_.planning != 0 || form_.starting != 0 || !form_.error.empty());
        const std::string label = std::string(icon::play) + " " + ctx.text.label("runs.start");
        if (ui::primary_button(ctx, label.c_str()))
            start(ctx);
        ImGui::EndDisabled();
        ImGui::SameLine();
        if (ImGui::Button(ctx.text.label("runs.cancel")))
            form_.open = false;
    }
    ImGui::End();
}

// --- The panel
// ------------------------------------------------------------------------------------------------------------

bool RunsPanel::act(const std::string& action, Context&) {
    if (action != "runs.new")
        return false;
    form_.open = true;
    return true;
}

void RunsPanel::draw(Context& ctx) {
    collect(ctx);
    const bool connected = ctx.snapshot.link.state == client::Link::State::connected;
    const std::string label = std::string(icon::plus) + " " + ctx.text.label("runs.new");
    if (ui::button(label.c_str(), connected, ctx.text("runs.offline")))
        form_.open = true;
    if (connected)
        ui::command_tooltip(ctx, ctx.text("runs.new.help"), "runs.new");
    if (ctx.snapshot.training.empty())
        ui::text_wrapped(ctx.text("runs.empty"), ctx.theme.text_dim);
    else
        draw_training(ctx);
    draw_others(ctx);
    draw_form(ctx);
}

std::unique_ptr<ui::Panel> make_runs() {
    return std::make_unique<RunsPanel>();
}

}  // namespace moescope::panels
