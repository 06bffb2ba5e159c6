#include "panels/runs/run_form.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>
#include <imgui_stdlib.h>
#include <utility>

#include "base/json_fields.hpp"
#include "base/settings.hpp"
#include "base/text.hpp"
#include "panels/node/device_choice.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/where.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using nlohmann::json;
using ui::Context;
using Type = ConfigField::Type;
namespace icon = ui::icon;

constexpr const char* kFirstPreset = "workshop";
constexpr const char* kBuiltInData = "manpages";
constexpr const char* kProcesses = "processes";

// Sizes in em.
constexpr float kWidth = 63, kHeight = 40, kLeastWidth = 34, kLeastHeight = 22;
constexpr float kColumn = 27;  ///< least width of a column of fields
constexpr float kLabel = 13.5f;
constexpr float kLeastHead = 33;   ///< three fields beside each other
constexpr float kLeastFields = 8;  ///< height of the list of fields; in a smaller window the whole form scrolls

std::string bound(const ui::Language& text, const ConfigField& field, double value) {
    return field.type == Type::integer && value >= 0 && value < 1e15 ? text.number(static_cast<std::uint64_t>(value))
                                                                     : text.number(value, 7);
}

/// "whole number from 1 to 1,024"; empty for flags and choices, which show all that is possible.
std::string range_text(const ui::Language& text, const ConfigField& field) {
    if (field.type != Type::integer && field.type != Type::number) {
        return {};
    }
    return text.format(field.type == Type::integer ? "runs.range.integer" : "runs.range.number",
                       {{"low", bound(text, field, field.low)}, {"high", bound(text, field, field.high)}});
}

/// What a field may hold: its range, or its choices.
std::string possible_text(const ui::Language& text, const ConfigField& field) {
    if (field.type == Type::device) {
        return "cpu, cuda:0, cuda:1 \u2026";
    }
    std::string choices = field.type == Type::flag ? "true, false" : "";
    for (const std::string& choice : field.choices) {
        base::append_to_list(choices, choice);
    }
    return choices.empty() ? range_text(text, field) : choices;
}

/// What a choice means in a sentence, or nothing.
std::string choice_help(const ui::Language& text, const ConfigField& field, const std::string& choice) {
    const std::string key = "runs.choice." + field.key + "." + choice + ".help";
    return text.has(key) ? text(key) : std::string();
}

/// A path shows its end, the hint of an empty field its beginning.
ImGuiInputTextFlags path_flags(const std::string& path) {
    return path.empty() ? 0 : ImGuiInputTextFlags_ElideLeft;
}

/// The undo button is a square at the right end of a field.
float undo_width() {
    return ImGui::GetFrameHeight();
}

}  // namespace

void RunForm::open(Context& ctx) {
    open_ = true;
    experiment_.on = false;
    search_.clear();
    if (!fork_) {
        return;
    }
    fork_.reset();
    name_.clear();
    choose_preset(ctx, preset_);
}

void RunForm::open_experiment(Context& ctx) {
    open(ctx);
    experiment_.on = true;
}

void RunForm::open_fork(Context& ctx, const history::TrainingRun& parent) {
    learn_fields(ctx);
    open_ = true;
    name_.clear();
    search_.clear();
    const std::string data = base::text_of(parent.manifest, "data");
    edit(base::member(parent.manifest, "config"), base::member(parent.manifest, "plan"));
    const json* steps = base::setting(config_, "steps");
    const std::uint64_t of_parent = steps == nullptr ? 0 : base::as_count(*steps).value_or(0);
    fork_ = Fork{};
    fork_->run = parent.id;
    fork_->name = parent.name;
    fork_->data = data.empty() ? kBuiltInData : data;
    fork_->of_parent = fork_->proposed = of_parent;
    follow_parent(ctx);
}

/// The checkpoints of a run that goes on come and go.
void RunForm::follow_parent(Context& ctx) {
    const auto found = ctx.snapshot.training.find(fork_->run);
    if (found == ctx.snapshot.training.end()) {
        fork_->gone = true;
        return;
    }
    const history::TrainingRun& parent = *found->second;
    const std::vector<std::uint64_t> steps = fork_steps(parent);
    if (!fork_->chosen && starting_ == 0 && !steps.empty() && steps.front() != fork_->step) {
        choose_checkpoint(ctx, parent, steps.front());
    } else if (fork_->events != parent.events.size()) {
        take_in_force(ctx, parent);
    }
    fork_->gone = std::find(steps.begin(), steps.end(), fork_->step) == steps.end();
}

void RunForm::choose_checkpoint(Context& ctx, const history::TrainingRun& parent, std::uint64_t step) {
    fork_->step = step;
    take_in_force(ctx, parent);
    // A run that has done all its steps leaves none for its fork: as many again are proposed.
    const std::uint64_t wanted = fork_->of_parent + (fork_->of_parent > step ? 0 : step);
    const json* steps = base::setting(config_, "steps");
    if (wanted == fork_->proposed || steps == nullptr || *steps != fork_->proposed) {
        return;
    }
    fork_->proposed = wanted;
    config_["train"]["steps"] = wanted;
    plan(ctx);
}

void RunForm::take_in_force(Context& ctx, const history::TrainingRun& parent) {
    fork_->events = parent.events.size();
    fork_->turned = history::turned_settings(parent, fork_->step);
    json in_force = history::settings_in_force(parent, fork_->step);
    if (!base_.is_object() || in_force == base_) {
        return;
    }
    for (const char* section : {"model", "train"}) {
        for (auto& [key, mine] : config_[section].items()) {
            const json &was = base::member(base_[section], key.c_str()),
                       &is = base::member(in_force[section], key.c_str());
            if (mine == was && !is.is_null()) {
                mine = is;
            }
        }
    }
    base_ = std::move(in_force);
    plan(ctx);
}

void RunForm::learn_fields(Context& ctx) {
    if (catalogue_ == ctx.snapshot.catalogue) {
        return;
    }
    catalogue_ = ctx.snapshot.catalogue;
    groups_ = field_groups(*catalogue_);
    const json& presets = base::member(*catalogue_, "presets");
    if (preset_.empty() && presets.is_array() && !presets.empty()) {
        choose_preset(
            ctx, preset(ctx.snapshot, kFirstPreset).is_object() ? kFirstPreset : base::text_of(presets[0], "name"));
    }
}

void RunForm::take_over(Handed held) {
    open_ = true;
    search_.clear();
    handed_ = std::move(held);
}

void RunForm::take_handed(Context& ctx) {
    if (!handed_ || groups_.empty()) {
        return;
    }
    const Handed handed = *std::exchange(handed_, std::nullopt);
    fork_.reset();
    choose_preset(ctx, preset(ctx.snapshot, handed.preset).is_object() ? handed.preset : preset_);
    name_ = handed.name;
    data_ = handed.data;
    experiment_ = handed.experiment;
    const auto is_there = [&](const json& device) {
        const auto& devices = ctx.snapshot.node.devices;
        return std::any_of(devices.begin(), devices.end(),
                           [&](const protocol::DeviceEntry& one) { return device == one.name && one.usable(); });
    };
    for (const FieldGroup& group : groups_) {
        for (const ConfigField& field : group.fields) {
            const json* value = base::setting(handed.config, field.key);
            if (value != nullptr && fits(field, *value) && base::setting(config_, field.key) != nullptr &&
                (field.type != Type::device || is_there(*value))) {
                config_[field.section][field.key] = *value;
            }
        }
    }
    if (config_ != base_) {
        plan(ctx);
    }
}

void RunForm::collect(Context& ctx) {
    using State = client::CommandResult::State;
    if (const client::CommandResult* result = ui::take_answer(ctx, planning_)) {
        const bool done = result->state == State::done;
        planned_ = done ? result->value : json();
        // A connection that was cut says nothing about the configuration: Start finds out.
        error_ = result->state == State::failed ? result->error : base::Sentence();
        if (start_wanted_ && done) {
            start(ctx);
        }
        start_wanted_ = false;
    }
    if (const client::CommandResult* result = ui::take_answer(ctx, starting_)) {
        if (result->state != State::done) {
            start_error_ = result->error;
            return;
        }
        open_ = false;
        name_.clear();
        if (const std::uint64_t number = base::count_of(result->value, "experiment"); number != 0) {
            ctx.selection.experiment = static_cast<std::uint32_t>(number);
            ctx.show_panel("overlay");
            return;
        }
        ctx.selection.training_run = base::run_of(result->value);
        ctx.selection.follow = true;
        ctx.selection.step_min = 0;
        ctx.selection.pinned_step.reset();
        ctx.show_panel("training");
    }
}

void RunForm::choose_preset(Context& ctx, const std::string& name) {
    const json& chosen = preset(ctx.snapshot, name);
    preset_ = name;
    edit(base::member(chosen, "config"), base::member(chosen, "plan"));
}

void RunForm::edit(json config, json plan) {
    base_ = std::move(config);
    // What comes from outside may be anything: only a configuration is edited.
    if (!base::member(base_, "model").is_object() || !base::member(base_, "train").is_object()) {
        base_ = json();
    }
    config_ = base_;
    planned_ = std::move(plan);
    error_ = {};
    start_error_ = {};
    note_.clear();
    refused_.clear();
    typing_key_.clear();
    planning_ = 0;
    start_wanted_ = false;
}

bool RunForm::fixed(const ConfigField& field) const {
    return fork_ && !field.fork;
}

const history::TurnedSetting* RunForm::turned_in_parent(const ConfigField& field) const {
    if (!fork_) {
        return nullptr;
    }
    const auto found = std::find_if(fork_->turned.begin(), fork_->turned.end(),
                                    [&](const history::TurnedSetting& turned) { return turned.name == field.key; });
    return found == fork_->turned.end() ? nullptr : &*found;
}

bool RunForm::changed(const ConfigField& field) const {
    const json *mine = base::setting(config_, field.key), *of_preset = base::setting(base_, field.key);
    return refused_.count(field.key) > 0 || (mine != nullptr && of_preset != nullptr && *mine != *of_preset);
}

std::size_t RunForm::changes(const FieldGroup& group) const {
    return static_cast<std::size_t>(std::count_if(group.fields.begin(), group.fields.end(),
                                                  [this](const ConfigField& field) { return changed(field); }));
}

void RunForm::plan(Context& ctx) {
    start_wanted_ = false;
    start_error_ = {};
    planning_ = ctx.client.send("train.plan", {{"config", config_}});
}

void RunForm::set(Context& ctx, const ConfigField& field, json value) {
    refused_.erase(field.key);
    note_.clear();
    if (config_[field.section][field.key] == value) {
        return;
    }
    config_[field.section][field.key] = std::move(value);
    plan(ctx);
}

void RunForm::reset(Context& ctx, const ConfigField& field) {
    const json* of_preset = base::setting(base_, field.key);
    if (of_preset != nullptr) {
        set(ctx, field, *of_preset);
    }
    typing_key_.clear();
}

void RunForm::paste(Context& ctx) {
    using Problem = PastedConfig::Problem;
    const char* text = ImGui::GetClipboardText();
    PastedConfig pasted =
        read_pasted(text == nullptr ? "" : text, groups_, base_, fork_ ? Lacking::base : Lacking::standard);
    switch (pasted.problem) {
        case Problem::none:
            break;
        case Problem::no_json:
            note_ = ctx.text("runs.paste.no_json");
            return;
        case Problem::no_config:
            note_ = ctx.text("runs.paste.no_config");
            return;
        case Problem::unknown_key:
            note_ = ctx.text.format("runs.paste.unknown_key", {{"key", pasted.key}});
            return;
        case Problem::value:
            note_ = ctx.text.format(
                "runs.paste.value",
                {{"key", pasted.key}, {"value", pasted.value}, {"range", possible_text(ctx.text, *pasted.field)}});
            return;
    }
    // A pasted preset is compared with the one of its name.
    const std::string name = base::text_of(pasted.config, "name");
    if (!fork_ && preset(ctx.snapshot, name).is_object()) {
        choose_preset(ctx, name);
    }
    note_.clear();
    refused_.clear();
    typing_key_.clear();
    config_ = std::move(pasted.config);
    keep_fixed(ctx);
    plan(ctx);
}

/// What was pasted cannot change what is fixed in a fork, and says so.
void RunForm::keep_fixed(const Context& ctx) {
    std::string kept;
    for (const FieldGroup& group : groups_) {
        for (const ConfigField& field : group.fields) {
            const json* of_parent = base::setting(base_, field.key);
            if (!fixed(field) || of_parent == nullptr || config_[field.section][field.key] == *of_parent) {
                continue;
            }
            config_[field.section][field.key] = *of_parent;
            base::append_to_list(kept, field.key);
        }
    }
    if (!kept.empty()) {
        note_ = ctx.text.format("runs.fork.kept", {{"fields", kept}});
    }
}

std::string RunForm::why_not_start(const Context& ctx) const {
    if (ctx.snapshot.link.state != client::Link::State::connected) {
        return ctx.text("runs.offline");
    }
    if (ctx.snapshot.node.read_only) {
        return ctx.text("runs.read_only");
    }
    if (starting_ != 0 || start_wanted_) {
        return ctx.text("runs.starting");
    }
    if (!refused_.empty()) {
        std::string fields;
        for (const auto& [key, text] : refused_) {
            base::append_to_list(fields, setting_label(ctx.text, key), ctx.text("common.comma"));
        }
        return ctx.text.format("runs.start.refused", {{"fields", fields}});
    }
    if (!error_.empty() && planning_ == 0) {
        return ctx.text("runs.start.error");
    }
    if (experiment()) {
        if (std::string why = experiment_.why_not(ctx); !why.empty()) {
            return why;
        }
    }
    return fork_problem(ctx);
}

std::string RunForm::fork_problem(const Context& ctx) const {
    if (!fork_) {
        return {};
    }
    if (fork_->gone) {
        return ctx.text.format("runs.fork.gone", {{"name", fork_->name}, {"step", ctx.text.number(fork_->step)}});
    }
    const json* steps = base::setting(config_, "steps");
    if (steps != nullptr && steps->is_number() && steps->get<double>() <= static_cast<double>(fork_->step)) {
        return ctx.text.format("runs.fork.steps", {{"first", ctx.text.number(fork_->step + 1)}});
    }
    return {};
}

void RunForm::start(Context& ctx) {
    start_error_ = {};
    json parameters = json::object();
    if (config_.is_object()) {
        parameters["config"] = config_;
    } else {
        parameters["preset"] = preset_;
    }
    if (!name_.empty()) {
        parameters["name"] = name_;
    }
    if (fork_) {
        parameters.update({{"run", fork_->run}, {"step", fork_->step}});
        starting_ = ctx.client.send("train.fork", std::move(parameters));
        return;
    }
    if (!data_.empty()) {
        parameters["data"] = data_;
    }
    if (experiment()) {
        parameters.update(experiment_.parameters());
        starting_ = ctx.client.send("experiment.start", std::move(parameters));
        return;
    }
    starting_ = ctx.client.send("train.start", std::move(parameters));
}

void RunForm::draw_presets(Context& ctx) {
    if (!ui::begin_combo("###runs.preset", preset_.c_str())) {
        return;
    }
    const json& presets = base::member(*ctx.snapshot.catalogue, "presets");
    for (const json& one : presets) {
        const std::string name = base::text_of(one, "name");
        if (!name.empty() && ImGui::Selectable(name.c_str(), name == preset_)) {
            choose_preset(ctx, name);
        }
    }
    ImGui::EndCombo();
}

void RunForm::draw_checkpoints(Context& ctx) {
    const auto name = [&](std::uint64_t step) {
        return ctx.text.format("runs.fork.parent.value", {{"name", fork_->name}, {"step", ctx.text.number(step)}});
    };
    const auto parent = ctx.snapshot.training.find(fork_->run);
    if (!ui::begin_combo("###runs.fork.step", name(fork_->step).c_str())) {
        return;
    }
    if (parent != ctx.snapshot.training.end()) {
        for (const std::uint64_t step : fork_steps(*parent->second)) {
            if (ImGui::Selectable((name(step) + "###" + std::to_string(step)).c_str(), step == fork_->step)) {
                fork_->chosen = true;
                choose_checkpoint(ctx, *parent->second, step);
            }
        }
    }
    ImGui::EndCombo();
}

/// The preset to start from, or the checkpoint of a fork's parent.
void RunForm::draw_origin(Context& ctx) {
    ImGui::SetNextItemWidth(-1);
    if (fork_) {
        draw_checkpoints(ctx);
    } else {
        draw_presets(ctx);
    }
    ui::tooltip(ctx.text(fork_ ? "runs.fork.parent.help" : "runs.preset.help"));
}

void RunForm::draw_head(Context& ctx) {
    const bool wide = ImGui::GetContentRegionAvail().x >= kLeastHead * ctx.em;
    if (!ImGui::BeginTable("head", wide ? 3 : 1, ImGuiTableFlags_SizingStretchSame)) {
        return;
    }
    // Beside each other: a row of names, a row of fields. In a narrow form each field has its name above it.
    const std::array<const char*, 3> keys = {fork_ ? "runs.fork.parent" : "runs.preset", "runs.name", "runs.data"};
    for (std::size_t i = 0; wide && i < keys.size(); ++i) {
        ImGui::TableNextColumn();
        ui::text_dim(ctx, ctx.text(keys[i]));
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
        ImGui::TableNextColumn();
        if (!wide) {
            ui::text_dim(ctx, ctx.text(keys[i]));
        }
        if (i == 0) {
            draw_origin(ctx);
        } else if (i == 1) {
            ImGui::SetNextItemWidth(-1);
            ImGui::InputTextWithHint("###runs.name", ctx.text("runs.name.hint"), &name_);
            ui::tooltip(ctx.text("runs.name.help"));
        } else {
            draw_data(ctx);
        }
    }
    ImGui::EndTable();
}

void RunForm::draw_data(Context& ctx) {
    if (fork_) {
        ImGui::SetNextItemWidth(-1);
        ImGui::BeginDisabled();
        ImGui::InputText("###runs.data", &fork_->data, path_flags(fork_->data));
        ImGui::EndDisabled();
        ui::tooltip(ctx.text("runs.fork.data.help"));
        return;
    }
    const std::string folder = std::string(icon::folder) + "###runs.data.choose";
    ImGui::SetNextItemWidth(ImGui::GetContentRegionAvail().x - ui::button_width(folder.c_str()) -
                            ImGui::GetStyle().ItemSpacing.x);
    ImGui::InputTextWithHint("###runs.data", kBuiltInData, &data_, path_flags(data_));
    ui::tooltip(ctx.text("runs.data.help"));
    ImGui::SameLine();
    if (ImGui::Button(folder.c_str())) {
        ctx.choose_file(ctx.text("runs.data.choose"), "data", [this](const std::string& path) {
            watch_.touch(fields());
            data_ = path;
        });
    }
    ui::tooltip(ctx.text("runs.data.choose"));
}

void RunForm::draw_tools(Context& ctx) {
    const std::string copy = std::string(icon::copy) + " " + ctx.text.label("runs.copy_json"),
                      insert = std::string(icon::file) + " " + ctx.text.label("runs.paste_json");
    const float spacing = ImGui::GetStyle().ItemSpacing.x,
                buttons = ui::button_width(copy.c_str()) + ui::button_width(insert.c_str()) + spacing;
    const float room = ImGui::GetContentRegionAvail().x;
    ui::next_field(room - buttons >= 10 * ctx.em ? std::min(20 * ctx.em, room - buttons - spacing) : room);
    ImGui::InputTextWithHint("###runs.search", ctx.text("runs.search.hint"), &search_);
    std::size_t total = 0;
    for (const FieldGroup& group : groups_) {
        total += changes(group);
    }
    if (total > 0) {
        const std::string changed = ctx.text.format("runs.changed", {{"n", ctx.text.number(std::uint64_t{total})}});
        ui::flow(ImGui::CalcTextSize(changed.c_str()).x);
        ui::text_colored(ctx.theme.accent, changed);
    }
    ui::align_right(buttons);
    if (ImGui::Button(copy.c_str())) {
        json named = config_;
        if (!name_.empty() && named.is_object()) {
            named["name"] = name_;
        }
        ImGui::SetClipboardText(config_text(named, groups_).c_str());
    }
    ui::tooltip(ctx.text("runs.copy_json.help"));
    ui::flow(ui::button_width(insert.c_str()));
    if (ImGui::Button(insert.c_str())) {
        paste(ctx);
    }
    ui::tooltip(ctx.text("runs.paste_json.help"));
}

bool RunForm::found(const Context& ctx, const ConfigField& field) const {
    return search_.empty() || base::contains_any_case(field.key, search_) ||
           base::contains_any_case(setting_label(ctx.text, field.key), search_) ||
           base::contains_any_case(ctx.text(field.help_key), search_);
}

std::string RunForm::explanation(const Context& ctx, const FieldGroup& group, const ConfigField& field) const {
    std::string text = ctx.text.has(field.help_key) ? ctx.text(field.help_key) : "";
    const auto line = [&](const std::string& more) {
        if (!more.empty()) {
            text += (text.empty() ? "" : "\n") + more;
        }
    };
    line(range_text(ctx.text, field));
    if (field.type == Type::choice) {
        for (const std::string& choice : field.choices) {
            const std::string help = choice_help(ctx.text, field, choice);
            line(ctx.text.format(
                help.empty() ? "runs.choice_key" : "runs.choice_key_help",
                {{"name", choice_label(ctx.text, field.key, choice)}, {"key", choice}, {"help", help}}));
        }
    }
    line(ctx.text.format("runs.key", {{"key", field.section + "." + field.key}}));
    if (const history::TurnedSetting* turned = turned_in_parent(field)) {
        line(turned_text(ctx.text, *turned));
    }
    if (const json* of_preset = base::setting(base_, field.key); of_preset != nullptr && changed(field)) {
        line(ctx.text.format(fork_ ? "runs.fork.of_parent" : "runs.of_preset",
                             {{"value", value_label(ctx.text, field.key, *of_preset)}}));
    }
    if (fixed(field)) {
        line(ctx.text("runs.fork.fixed"));
    }
    for (const std::string& condition : {group.condition, field.condition}) {
        if (!base::holds(condition, config_)) {
            line(ctx.text.format("runs.no_effect", {{"condition", condition_text(ctx.text, condition)}}));
        }
    }
    return text;
}

/// In the bold letters of a changed field, so that a change moves nothing.
float RunForm::label_width_of(const Context& ctx, const ConfigField& field) {
    ImGui::PushFont(ctx.bold, 0.0f);
    const float width = ImGui::CalcTextSize(setting_label(ctx.text, field.key).c_str()).x;
    ImGui::PopFont();
    return width;
}

void RunForm::draw_label(const Context& ctx, const ConfigField& field, bool is_changed, float width) {
    ImGui::AlignTextToFramePadding();
    if (is_changed) {
        ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.accent);
        ImGui::PushFont(ctx.bold, 0.0f);
    }
    ui::text_wrapped(setting_label(ctx.text, field.key), {}, width);
    if (is_changed) {
        ImGui::PopFont();
        ImGui::PopStyleColor();
    }
}

void RunForm::draw_number(Context& ctx, const ConfigField& field, const json& value) {
    const auto kept = refused_.find(field.key);
    const bool bad = kept != refused_.end();
    std::string text = typing_key_ == field.key ? typing_ : bad ? kept->second : base::setting_text(value);
    if (bad) {
        ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.error);
    }
    const std::string id = "###" + field.label_key;
    ImGui::InputText(id.c_str(), &text, ImGuiInputTextFlags_AutoSelectAll | ImGuiInputTextFlags_CharsScientific);
    const bool active = ImGui::IsItemActive(), finished = ImGui::IsItemDeactivatedAfterEdit();
    if (bad) {
        ImGui::PopStyleColor();
    }
    if (active) {
        typing_key_ = field.key;
        typing_ = text;
    } else if (typing_key_ == field.key) {
        typing_key_.clear();
    }
    if (!finished) {
        return;
    }
    if (std::optional<json> number = read_number(field, text)) {
        set(ctx, field, std::move(*number));
    } else {
        refused_[field.key] = text;
    }
}

void RunForm::draw_choice(Context& ctx, const ConfigField& field, const json& value) {
    const std::string id = "###" + field.label_key, current = base::setting_text(value);
    if (!ui::begin_combo(id.c_str(), choice_label(ctx.text, field.key, current).c_str())) {
        return;
    }
    for (const std::string& choice : field.choices) {
        const std::string help = choice_help(ctx.text, field, choice);
        const std::string item = fmt::format("{}{}{}###{}", choice_label(ctx.text, field.key, choice),
                                             help.empty() ? "" : " \u2013 ", help, choice);
        if (ImGui::Selectable(item.c_str(), choice == current)) {
            set(ctx, field, choice);
        }
        ui::tooltip(ctx.text.format("runs.key", {{"key", choice}}));
    }
    ImGui::EndCombo();
}

void RunForm::draw_devices(Context& ctx, const ConfigField& field, const json& value) {
    std::string device = base::setting_text(value);
    if (device_combo(ctx, ("###" + field.label_key).c_str(), device)) {
        set(ctx, field, device);
    }
}

void RunForm::draw_value(Context& ctx, const ConfigField& field) {
    const json* found_value = base::setting(config_, field.key);
    const json value = found_value == nullptr ? json() : *found_value;
    if (field.type == Type::choice) {
        return draw_choice(ctx, field, value);
    }
    if (field.type == Type::device) {
        return draw_devices(ctx, field, value);
    }
    if (field.type != Type::flag) {
        return draw_number(ctx, field, value);
    }
    const std::string id = "###" + field.label_key;
    bool on = value.is_boolean() && value.get<bool>();
    if (ImGui::Checkbox(id.c_str(), &on)) {
        set(ctx, field, on);
    }
}

std::string RunForm::why_one_process(const Context& ctx) const {
    const base::Sentence why = base::sentence_in(base::member(*ctx.snapshot.catalogue, kProcesses), "why_not");
    return why.empty() ? std::string() : ctx.text.message(why);
}

std::string RunForm::crowded(const Context& ctx) const {
    const json* processes = base::setting(config_, kProcesses);
    const int cores = ctx.snapshot.node.cores;
    const double number = processes == nullptr ? 1 : base::as_number(*processes).value_or(1);
    return number > 1 && cores > 0 && number > cores
               ? ctx.text.format("runs.crowded", {{"processes", ctx.text.number(number)},
                                                  {"cores", ctx.text.number(static_cast<double>(cores))}})
               : std::string();
}

void RunForm::draw_undo(Context& ctx, const ConfigField& field) {
    ImGui::SameLine();
    const std::string label = std::string(icon::undo) + "###" + field.label_key + ".undo";
    if (ImGui::Button(label.c_str(), {undo_width(), 0})) {
        reset(ctx, field);
    }
    const json* of_preset = base::setting(base_, field.key);
    ui::tooltip(ctx.text.format(fork_ ? "runs.fork.undo" : "runs.undo",
                                {{"value", of_preset == nullptr ? "" : value_label(ctx.text, field.key, *of_preset)}}));
}

void RunForm::draw_field(Context& ctx, const FieldGroup& group, const ConfigField& field) {
    const float left = ImGui::GetCursorPosX(), width = ImGui::GetContentRegionAvail().x,
                label_width = std::min(kLabel * ctx.em, width / 2), spacing = ImGui::GetStyle().ItemSpacing.x;
    const bool is_changed = changed(field);
    const std::string why_locked = field.key == kProcesses ? why_one_process(ctx) : std::string();
    // Dim, but not locked: a value may be set before the choice that makes it count.
    const bool counts = base::holds(group.condition, config_) && base::holds(field.condition, config_),
               locked = fixed(field) || (!why_locked.empty() && !is_changed);
    ImGui::PushStyleColor(ImGuiCol_Text, counts ? ctx.theme.text : ctx.theme.text_dim);
    ImGui::BeginGroup();
    // A name that does not fit beside its field stands above it: none is cut.
    const bool above = label_width_of(ctx, field) > label_width - spacing;
    draw_label(ctx, field, is_changed, above ? width : label_width - spacing);
    if (!above) {
        ImGui::SameLine();
        ImGui::SetCursorPosX(left + label_width);
    }
    ImGui::SetNextItemWidth(width - (above ? 0 : label_width) - undo_width() - spacing);
    ImGui::BeginDisabled(locked);
    draw_value(ctx, field);
    ImGui::EndDisabled();
    ImGui::EndGroup();
    ImGui::PopStyleColor();
    if (ui::tooltip_due()) {
        ui::tooltip(explanation(ctx, group, field));
    }
    if (is_changed) {
        draw_undo(ctx, field);
    }
    if (!why_locked.empty()) {
        ui::text_wrapped(why_locked, ctx.theme.text_dim, width);
    }
    if (const auto bad = refused_.find(field.key); bad != refused_.end()) {
        ui::text_wrapped(
            ctx.text.format("runs.refused", {{"value", bad->second}, {"range", range_text(ctx.text, field)}}),
            ctx.theme.error, width);
    }
}

void RunForm::draw_group(Context& ctx, const FieldGroup& group) {
    std::vector<const ConfigField*> shown;
    for (const ConfigField& field : group.fields) {
        if (found(ctx, field)) {
            shown.push_back(&field);
        }
    }
    if (shown.empty()) {
        return;
    }
    std::string title = ctx.text(group.name.c_str());
    if (const std::size_t n = changes(group); n > 0) {
        title += "  \u00b7  " + ctx.text.format("runs.changed", {{"n", ctx.text.number(std::uint64_t{n})}});
    }
    title += "###" + group.name;
    if (!search_.empty()) {
        ImGui::SetNextItemOpen(true);
    }
    if (!ImGui::CollapsingHeader(title.c_str(), ImGuiTreeNodeFlags_DefaultOpen)) {
        return;
    }
    const int columns = std::clamp(static_cast<int>(ImGui::GetContentRegionAvail().x / (kColumn * ctx.em)), 1, 4);
    if (!ImGui::BeginTable(group.name.c_str(), columns, ImGuiTableFlags_SizingStretchSame)) {
        return;
    }
    for (const ConfigField* field : shown) {
        ImGui::TableNextColumn();
        draw_field(ctx, group, *field);
    }
    ImGui::EndTable();
}

/// Above the fields: what the fork starts from that no preset says.
void RunForm::draw_carried(const Context& ctx) {
    const auto parent = ctx.snapshot.training.find(fork_->run);
    if (parent == ctx.snapshot.training.end()) {
        return;
    }
    ui::section(ctx, ctx.text.format("runs.fork.carried", {{"step", ctx.text.number(fork_->step)}}));
    // Every frame would read all that was turned in the parent: it changes with the parent's events only.
    const history::TrainingRun& run = *parent->second;
    std::string of = fmt::format("{} {} {} {} {} {}", run.id, fork_->step, run.experts, run.events.size(),
                                 run.events.empty() ? 0 : run.events.back().step, ctx.text.code());
    if (of != carried_of_) {
        carried_of_ = std::move(of);
        carried_ = carried_over(ctx.text, ctx.snapshot, run, fork_->step);
    }
    for (const std::string& line : carried_) {
        ImGui::Bullet();
        ui::text_wrapped(line);
    }
    ui::text_wrapped(ctx.text("runs.fork.carried.help"), ctx.theme.text_dim);
    ImGui::Spacing();
}

void RunForm::draw_groups(Context& ctx) {
    if (fork_) {
        draw_carried(ctx);
    }
    bool any = false;
    for (const FieldGroup& group : groups_) {
        for (const ConfigField& field : group.fields) {
            any = any || found(ctx, field);
        }
        draw_group(ctx, group);
    }
    if (!any) {
        ui::text_wrapped(ctx.text(search_.empty() ? "runs.no_fields" : "runs.none_found"), ctx.theme.text_dim);
    }
}

std::string RunForm::complaints(const Context& ctx) const {
    std::string text = note_;
    for (const base::Sentence& error : {error_, start_error_}) {
        if (!error.empty()) {
            text += (text.empty() ? "" : "\n") + ctx.text.message(error);
        }
    }
    if (const std::string problem = fork_problem(ctx); !problem.empty()) {
        text += (text.empty() ? "" : "\n") + problem;
    }
    return text;
}

void RunForm::draw_plan(const Context& ctx) {
    const auto number = [&](const char* key) { return base::number_of(planned_, key, 0); };
    const bool known = planned_.is_object();
    // The numbers before stay in sight, dim, until the node has the new ones.
    const ImVec4 color = planning_ != 0 ? ctx.theme.text_dim : ctx.theme.text;
    bool first = true;
    const auto cell = [&](const char* key, const char* help, const std::string& value) {
        const float width = ImGui::CalcTextSize(ctx.text(key)).x,
                    right = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
        if (!std::exchange(first, false) && ImGui::GetItemRectMax().x + 1.6f * ctx.em + width < right) {
            ImGui::SameLine(0, 1.6f * ctx.em);
        }
        ImGui::BeginGroup();
        ui::text_dim(ctx, ctx.text(key));
        ui::text_colored(color, known ? value : "\u2013");
        ImGui::EndGroup();
        ui::tooltip(planning_ != 0 ? ctx.text("runs.planning") : ctx.text(help));
    };
    cell("runs.plan.total", "runs.plan.total.help", short_number(ctx.text, number("parameters_total")));
    cell("runs.plan.active", "runs.plan.active.help", short_number(ctx.text, number("parameters_active")));
    cell("runs.plan.flops", "runs.plan.flops.help", short_number(ctx.text, number("flops_per_token")));
    const auto bytes = [&](const char* key) {
        return ui::bytes_text(ctx.text, static_cast<std::uint64_t>(std::clamp(number(key), 0.0, 1e18)));
    };
    // An older node tells of the processor's memory alone, and trains there.
    const json* device = base::setting(config_, "device");
    if (device != nullptr && *device != "cpu" && planned_.contains("host_bytes")) {
        cell("runs.plan.device_memory", "runs.plan.device_memory.help", bytes("memory_bytes"));
    } else {
        cell("runs.plan.memory", "runs.plan.memory.help", bytes("memory_bytes"));
    }
    const std::size_t runs = experiment() ? experiment_.runs() : 1;
    if (experiment()) {
        cell("runs.plan.runs", "runs.plan.runs.help", ctx.text.number(std::uint64_t{runs}));
    }
    const std::optional<double> seconds = fork_ ? std::nullopt : run_seconds(ctx.snapshot, planned_, config_);
    cell("runs.plan.time", seconds ? "runs.plan.time.help" : "runs.plan.time.unknown",
         seconds ? ui::duration_text(ctx.text, *seconds * static_cast<double>(runs)) : "\u2013");
}

void RunForm::draw_buttons(Context& ctx) {
    const std::string start_label = std::string(icon::play) + " " + ctx.text.label("runs.start");
    const char* cancel_label = ctx.text.label("runs.cancel");
    const float width =
        ui::button_width(start_label.c_str()) + ui::button_width(cancel_label) + ImGui::GetStyle().ItemSpacing.x;
    ui::align_right(width);
    const std::string why_not = why_not_start(ctx);
    ImGui::BeginDisabled(!why_not.empty());
    if (ui::primary_button(ctx, start_label.c_str())) {
        // Clicking Start out of a field finishes that edit: the node plans it first.
        if (planning_ != 0) {
            start_wanted_ = true;
        } else {
            start(ctx);
        }
    }
    ImGui::EndDisabled();
    ui::tooltip(why_not);
    ui::flow(ui::button_width(cancel_label));
    if (ImGui::Button(cancel_label)) {
        open_ = false;
    }
}

void RunForm::draw_foot(Context& ctx, const std::string& complaint) {
    ImGui::Separator();
    if (!complaint.empty()) {
        ui::text_wrapped(complaint, ctx.theme.error);
    }
    if (const std::string slow = crowded(ctx); !slow.empty()) {
        ui::text_wrapped(slow, ctx.theme.warning);
    }
    draw_plan(ctx);
    draw_buttons(ctx);
}

void RunForm::draw(Context& ctx) {
    collect(ctx);
    if (!open_) {
        watch_.reset(ctx);
        return;
    }
    learn_fields(ctx);
    take_handed(ctx);
    if (fork_) {
        follow_parent(ctx);
    }
    const float high = 0.8f * ImGui::GetMainViewport()->WorkSize.y / ctx.em;
    std::string title = ctx.text.label("runs.form");
    if (fork_) {
        title = ctx.text.format("runs.fork.title", {{"name", fork_->name}, {"step", ctx.text.number(fork_->step)}}) +
                "###runs.form";
    }
    if (ui::begin_floating(ctx, title.c_str(), open_,
                           {.size = {kWidth, std::max(kHeight, high)}, .least = {kLeastWidth, kLeastHeight}})) {
        if (!fork_) {  // the checkpoint that a fork begins with is here
            chosen_session_ = ui::choose_session(ctx);
            open_ = open_ && !chosen_session_;
        }
        draw_head(ctx);
        if (!fork_) {
            experiment_.draw(ctx, groups_, config_);
        }
        draw_tools(ctx);
        const std::string complaint = complaints(ctx);
        // How high the foot is depends on what wraps in it, which the last frame knows.
        const float foot = foot_height_ > 0 ? foot_height_ : 4 * ImGui::GetTextLineHeightWithSpacing();
        const float fields = std::max(kLeastFields * ctx.em, ImGui::GetContentRegionAvail().y - foot);
        if (ImGui::BeginChild("fields", {0, fields}, ImGuiChildFlags_Borders)) {
            draw_groups(ctx);
        }
        ImGui::EndChild();
        const float top = ImGui::GetCursorPosY();
        draw_foot(ctx, complaint);
        foot_height_ = ImGui::GetCursorPosY() - top;
        watch(ctx);
    }
    ImGui::End();
}

json RunForm::fields() const {
    return {{"preset", preset_},
            {"name", name_},
            {"data", data_},
            {"base", base_},
            {"config", config_},
            {"experiment", experiment_.state()},
            {"checkpoint", fork_ ? json(fork_->step) : json()}};
}

/// Each finished edit of a field is a step that can be taken back, as long as the form is open.
void RunForm::watch(Context& ctx) {
    const auto name = [](const ui::Language& text, const std::string& place) -> std::string {
        if (place.starts_with("/base")) {
            return {};  // follows from the preset
        }
        if (place.starts_with("/config/")) {
            return setting_label(text, place.substr(place.rfind('/') + 1));
        }
        return text(place.starts_with("/experiment") ? std::string("runs.experiment") : "undo.form." + place.substr(1));
    };
    watch_.follow(ctx, fields(), name, [this](Context& there, const json& now) {
        preset_ = now.at("preset");
        name_ = now.at("name");
        data_ = now.at("data");
        experiment_.set_state(now.at("experiment"));
        base_ = now.at("base");
        const json& step = now.at("checkpoint");
        if (fork_ && step.is_number() && step != fork_->step) {
            fork_->step = step;
            fork_->chosen = true;
            if (const auto parent = there.snapshot.training.find(fork_->run); parent != there.snapshot.training.end()) {
                fork_->turned = history::turned_settings(*parent->second, fork_->step);
            }
        }
        if (config_ != now.at("config")) {
            config_ = now.at("config");
            refused_.clear();
            typing_key_.clear();
            note_.clear();
            plan(there);
        }
    });
}

}  // namespace moescope::panels
