#include "panels/node/export_form.hpp"

#include <algorithm>
#include <array>
#include <cfloat>
#include <imgui.h>
#include <imgui_stdlib.h>
#include <string_view>

#include "base/json_fields.hpp"
#include "base/utf8.hpp"
#include "panels/node/library.hpp"
#include "panels/node/tasks.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

using nlohmann::json;

namespace {

using State = client::CommandResult::State;

/// As the node calls them, in the order of the buttons.
constexpr std::array<const char*, 2> kFormats = {"gguf", "huggingface"}, kRouters = {"f32", "quantised"};

/// The place of `name` in `names`, or `otherwise`.
int place_of(const std::array<const char*, 2>& names, std::string_view name, int otherwise) {
    const auto found = std::find(names.begin(), names.end(), name);
    return found == names.end() ? otherwise : static_cast<int>(found - names.begin());
}

/// In which the node can write matrices.
std::vector<std::string> precisions(const ui::Context& ctx) {
    return base::texts_of(base::member(*ctx.snapshot.catalogue, "export"), "precisions");
}

/// What a person calls it, as a name that every file system takes.
std::string name_for_file(const ui::Context& ctx, const std::string& model) {
    constexpr std::size_t kLongest = 100;  // bytes
    std::string name = model;
    if (const auto checkpoint = history::checkpoint_named(model)) {
        using Which = history::CheckpointName::Which;
        const auto run = ctx.snapshot.training.find(checkpoint->run);
        name = run != ctx.snapshot.training.end() ? run->second->name : "run-" + std::to_string(checkpoint->run);
        name += checkpoint->which == Which::step ? "-" + std::to_string(checkpoint->step) : "";
    }
    std::replace_if(
        name.begin(), name.end(),
        [](char c) {
            const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
            return !letter && static_cast<unsigned char>(c) < 0x80 && c != '.' && c != '_' && c != '-';
        },
        '-');
    name.erase(0, std::min(name.find_first_not_of(".-"), name.size()));
    name.resize(name.size() > kLongest ? base::character_boundary(name, kLongest) : name.size());
    return name.empty() ? "model" : name;
}

const client::Task* task_of(const ui::Context& ctx, const std::string& file) {
    const auto found = std::find_if(
        ctx.snapshot.tasks.begin(), ctx.snapshot.tasks.end(),
        [&](const client::Task& task) { return task.kind == protocol::TaskKind::model_export && task.title == file; });
    return found == ctx.snapshot.tasks.end() ? nullptr : &*found;
}

}  // namespace

bool can_export(const client::ModelEntry& model) {
    return model.available && !model.server;
}

void ExportForm::open(const ui::Context& ctx, const std::string& model) {
    open_ = true;
    if (exporting_ == 0) {
        saved_as_.clear();
        notes_.clear();
        problem_ = {};
    }
    if (!model.empty()) {
        model_ = model;
    }
    if (find_model(ctx.snapshot, model_) == nullptr) {
        model_ = model_of_session(ctx.snapshot, ctx.selection.training_run);
    }
    if (model_.empty()) {
        const auto first = std::find_if(ctx.snapshot.models.begin(), ctx.snapshot.models.end(), can_export);
        model_ = first == ctx.snapshot.models.end() ? std::string() : first->name;
    }
}

bool ExportForm::act(const std::string& action, ui::Context& ctx) {
    if (const char* format = ui::action_value(action, "models.export.format")) {
        format_ = place_of(kFormats, format, format_);
    } else if (const char* precision = ui::action_value(action, "models.export.precision")) {
        precision_ = precision;
    } else if (const char* router = ui::action_value(action, "models.export.router")) {
        router_ = place_of(kRouters, router, router_);
    } else if (const char* name = ui::action_value(action, "models.export.name")) {
        name_ = name;
    } else if (const char* add = ui::action_value(action, "models.export.add")) {
        add_ = std::string_view(add) == "yes";
    } else if (action == "models.export.start") {
        start(ctx);
    } else {
        return false;
    }
    return true;
}

const char* ExportForm::obstacle(const ui::Context& ctx) const {
    const client::ModelEntry* model = find_model(ctx.snapshot, model_);
    return !ctx.connected()          ? "servers.offline"
           : exporting_ != 0         ? "models.export.busy"
           : model == nullptr        ? "models.export.no_model"
           : model->server           ? "models.export.server"
           : !model->available       ? "models.export.missing"
           : precisions(ctx).empty() ? "models.export.no_list"
                                     : nullptr;
}

std::string ExportForm::proposed_name(const ui::Context& ctx) const {
    const std::string name = name_for_file(ctx, model_);
    return is_gguf() ? name + "-" + precision_ + ".gguf" : name;
}

void ExportForm::start(ui::Context& ctx) {
    if (const std::vector<std::string> all = precisions(ctx); precision_.empty() && !all.empty()) {
        precision_ = all.front();
    }
    if (obstacle(ctx) != nullptr) {
        return;
    }
    json order = {{"model", model_}, {"format", kFormats[static_cast<std::size_t>(format_)]}};
    // The client lives as long as its session is on show, and so does what waits for the dialog.
    if (is_gguf()) {
        order["precision"] = precision_;
        order["router"] = kRouters[static_cast<std::size_t>(router_)];
        order["replace"] = true;  // the dialog has asked
        ctx.choose_target(proposed_name(ctx),
                          [this, &client = ctx.client, order, add = add_](const std::string& path) mutable {
                              send(client, std::move(order), path, add);
                          });
        return;
    }
    const std::string name = name_.empty() ? proposed_name(ctx) : name_;
    ctx.choose_folder(ctx.text.format("models.export.choose_folder", {{"name", name}}), "export",
                      [this, &client = ctx.client, order, name](const std::string& folder) mutable {
                          send(client, std::move(order), folder + "/" + name, false);
                      });
}

void ExportForm::send(client::NodeClient& client, json order, const std::string& path, bool add) {
    file_ = path.substr(path.find_last_of('/') + 1);
    add_it_ = add;
    saved_as_.clear();
    notes_.clear();
    problem_ = {};
    order["path"] = path;
    exporting_ = client.send("models.export", std::move(order));
}

void ExportForm::take_exported(const ui::Context& ctx) {
    const client::CommandResult* answer = ui::take_answer(ctx, exporting_);
    if (answer == nullptr) {
        return;
    }
    if (answer->state != State::done) {
        problem_ = answer->state == State::failed ? answer->error
                                                  : base::Sentence::verbatim(ctx.text("models.export.unknown"));
        return;
    }
    saved_as_ = base::text_of(answer->value, "path");
    for (const json& note : base::member(answer->value, "notes")) {
        notes_.push_back(base::sentence_in(note, "text"));
    }
    if (add_it_) {
        // The node's own copy, where what it wrote was fetched from another machine.
        const std::string there = base::text_of(answer->value, "node_path");
        adding_ = ctx.client.send("models.add", {{"path", there.empty() ? saved_as_ : there}});
    }
}

std::string ExportForm::draw(ui::Context& ctx) {
    take_exported(ctx);
    const AddedModel added = take_added(ctx, adding_).value_or(AddedModel{});
    if (!added.problem.empty()) {
        problem_ = added.problem;
    }
    if (!open_) {
        watch_.reset(ctx);
        return added.name;
    }
    if (ui::begin_floating(ctx, ctx.text.label("models.export.form"), open_, {.size = {34, 0}, .least = {16, 8}})) {
        ui::text_wrapped(ctx.text("models.export.what"), ctx.theme.text_dim);
        draw_fields(ctx);
        watch(ctx);
        draw_progress(ctx);
        draw_result(ctx);
        draw_buttons(ctx);
    }
    ImGui::End();
    return added.name;
}

void ExportForm::watch(ui::Context& ctx) {
    json state = {{"model", model_}, {"format", kFormats[static_cast<std::size_t>(format_)]},
                  {"name", name_},   {"precision", precision_},
                  {"add", add_},     {"router", kRouters[static_cast<std::size_t>(router_)]}};
    watch_.follow(ctx, std::move(state), ui::form_field, [this](ui::Context&, const json& now) {
        model_ = now.at("model");
        name_ = now.at("name");
        precision_ = now.at("precision");
        add_ = now.at("add");
        format_ = place_of(kFormats, now.at("format").get<std::string>(), format_);
        router_ = place_of(kRouters, now.at("router").get<std::string>(), router_);
    });
}

void ExportForm::draw_fields(ui::Context& ctx) {
    ui::text_dim(ctx, ctx.text("models.export.model"));
    ImGui::SetNextItemWidth(-FLT_MIN);
    const std::string shown =
        model_.empty() ? std::string(ctx.text("models.export.no_model")) : model_title(ctx, model_);
    model_combo(ctx, "###models.export.model", model_, shown.c_str());
    ui::text_dim(ctx, ctx.text("models.export.format"));
    ui::segmented(ctx, "format",
                  {ctx.text.label("models.export.format.gguf"), ctx.text.label("models.export.format.huggingface")},
                  format_);
    ui::text_wrapped(ctx.text(is_gguf() ? "models.export.format.gguf.what" : "models.export.format.huggingface.what"),
                     ctx.theme.text_dim);
    if (is_gguf()) {
        draw_precision(ctx);
        return;
    }
    ui::text_dim(ctx, ctx.text("models.export.name"));
    ImGui::SetNextItemWidth(-FLT_MIN);
    ImGui::InputTextWithHint("###models.export.name", proposed_name(ctx).c_str(), &name_);
}

/// And what else there is to say of a GGUF file.
void ExportForm::draw_precision(ui::Context& ctx) {
    const std::vector<std::string> all = precisions(ctx);
    if (precision_.empty() && !all.empty()) {
        precision_ = all.front();
    }
    ui::text_dim(ctx, ctx.text("models.export.precision"));
    ImGui::SetNextItemWidth(-FLT_MIN);
    if (ui::begin_combo("###models.export.precision", precision_.c_str(), ImGuiComboFlags_HeightLarge)) {
        for (const std::string& name : all) {
            if (ImGui::Selectable(name.c_str(), name == precision_)) {
                precision_ = name;
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(ctx.text("models.export.precision.help"));
    ui::text_dim(ctx, ctx.text("models.export.router"));
    ui::segmented(ctx, "router",
                  {ctx.text.label("models.export.router.f32"), ctx.text.label("models.export.router.quantised")},
                  router_);
    ui::tooltip(ctx.text("models.export.router.help"));
    ImGui::Checkbox("###models.export.add", &add_);
    ImGui::SameLine();
    ui::text_wrapped(ctx.text("models.export.add"));
}

void ExportForm::draw_progress(ui::Context& ctx) {
    if (exporting_ == 0) {
        return;
    }
    const client::Task* task = task_of(ctx, file_);
    const double fraction = task != nullptr ? task_fraction(ctx, *task) : -1;
    if (fraction >= 0) {
        ui::meter(ctx, fraction, task_progress(ctx, *task));
    } else {
        ui::text_wrapped(ctx.text(task != nullptr ? "models.export.working" : "models.export.waiting"),
                         ctx.theme.text_dim);
    }
    if (ui::button(ctx.text.label("models.export.cancel"), task != nullptr, ctx.text("models.export.waiting"))) {
        cancel_task(ctx, *task);
    }
}

void ExportForm::draw_result(const ui::Context& ctx) {
    if (!problem_.empty()) {
        ui::text_wrapped(ctx.text.message(problem_), ctx.theme.error);
    }
    if (!saved_as_.empty()) {
        ui::text_wrapped(std::string(ui::icon::check) + " " +
                         ctx.text.format("notice.file_saved", {{"path", saved_as_}}));
    }
    for (const base::Sentence& note : notes_) {
        ui::text_wrapped(std::string(ui::icon::info) + " " + ctx.text.message(note), ctx.theme.text_dim);
    }
}

void ExportForm::draw_buttons(ui::Context& ctx) {
    const char *start_label = ctx.text.label("models.export.start"), *close = ctx.text.label("models.export.close");
    const char* why_not = obstacle(ctx);
    if (ui::button(start_label, why_not == nullptr, why_not != nullptr ? ctx.text(why_not) : "")) {
        start(ctx);
    }
    ui::flow(ui::button_width(close));
    if (ui::button(close)) {
        open_ = false;
    }
}

}  // namespace moescope::panels
