#include "panels/node/server_form.hpp"

#include <array>
#include <cfloat>
#include <imgui.h>
#include <imgui_stdlib.h>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "panels/node/library.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using State = client::CommandResult::State;

/// As the node calls them.
constexpr std::array<const char*, 5> kDialects = {"auto", "vllm", "sglang", "llama.cpp", "openai"};

/// True in a frame in which the value changes.
bool text_field(const ui::Context& ctx, const char* key, const char* hint, std::string& value) {
    ui::text_dim(ctx, ctx.text(key));
    ImGui::SetNextItemWidth(-FLT_MIN);
    return ImGui::InputTextWithHint((std::string("###") + key).c_str(), hint, &value);
}

}  // namespace

std::string dialect_text(const ui::Context& ctx, const std::string& dialect) {
    return ctx.text.named("servers.dialect.", dialect);
}

std::string list_notes(const ui::Context& ctx, const nlohmann::json& answer) {
    std::string notes;
    for (const nlohmann::json& note : base::member(answer, "notes")) {
        base::append_to_list(notes, ctx.text.message(base::sentence_in(note, "text")), "\n");
    }
    return notes;
}

void ServerForm::open(const std::string& address) {
    open_ = true;
    if (!address.empty()) {
        address_ = address;
        model_.clear();
        models_.clear();
        left_out_.clear();
        asking_ = 0;
    }
    problem_ = {};
}

nlohmann::json ServerForm::parameters() const {
    nlohmann::json value = {{"path", address_}, {"dialect", kDialects[static_cast<std::size_t>(dialect_)]}};
    if (!model_.empty() && address_.find('#') == std::string::npos) {
        value["path"] = address_ + "#" + model_;
    }
    if (!key_variable_.empty()) {
        value["key_variable"] = key_variable_;
    }
    if (!config_.empty()) {
        value["config"] = config_;
    }
    if (remote_) {
        value["remote"] = true;
    }
    return value;
}

void ServerForm::add(ui::Context& ctx) {
    problem_ = {};
    if (address_.find("://") == std::string::npos) {
        problem_ = base::Sentence::verbatim(ctx.text("servers.no_address"));
        return;
    }
    adding_ = ctx.client.send("models.add", parameters());
}

void ServerForm::take_models(const ui::Context& ctx) {
    if (const client::CommandResult* answer = ui::take_answer(ctx, asking_)) {
        models_ = base::texts_of(answer->value, "models");
        left_out_ = list_notes(ctx, answer->value);
        if (answer->state == State::failed) {
            problem_ = answer->error;
        } else if (models_.empty() && left_out_.empty()) {
            problem_ = base::Sentence::verbatim(ctx.text("servers.no_list"));
        } else if (model_.empty() && !models_.empty()) {
            model_ = models_.front();
        }
    }
}

std::string ServerForm::draw(ui::Context& ctx) {
    take_models(ctx);
    std::string added;
    if (const std::optional<AddedModel> answer = take_added(ctx, adding_)) {
        problem_ = answer->problem;
        if (problem_.empty()) {
            added = answer->name;
            open_ = false;
            model_.clear();
            models_.clear();
            left_out_.clear();
        }
    }
    if (!open_) {
        watch_.reset(ctx);
        return added;
    }
    if (ui::begin_floating(ctx, ctx.text.label("servers.form"), open_, {.size = {34, 0}, .least = {16, 8}})) {
        ui::text_wrapped(ctx.text("servers.what"), ctx.theme.text_dim);
        draw_fields(ctx);
        watch(ctx);
        if (!problem_.empty()) {
            ui::text_wrapped(ctx.text.message(problem_), ctx.theme.error);
        }
        draw_buttons(ctx);
    }
    ImGui::End();
    return added;
}

nlohmann::json ServerForm::fields() const {
    return {{"address", address_}, {"model", model_},     {"key_variable", key_variable_},
            {"config", config_},   {"dialect", dialect_}, {"remote", remote_}};
}

void ServerForm::watch(ui::Context& ctx) {
    watch_.follow(ctx, fields(), ui::form_field, [this](ui::Context&, const nlohmann::json& now) {
        if (now.at("address") != address_) {
            models_.clear();  // as when it is typed
            asking_ = 0;
        }
        address_ = now.at("address");
        model_ = now.at("model");
        key_variable_ = now.at("key_variable");
        config_ = now.at("config");
        dialect_ = now.at("dialect");
        remote_ = now.at("remote");
    });
}

void ServerForm::draw_fields(ui::Context& ctx) {
    if (text_field(ctx, "servers.address", "http://127.0.0.1:8000/v1", address_)) {
        models_.clear();  // those of another server, as is what is still to come of it
        asking_ = 0;
    }
    draw_model(ctx);
    text_field(ctx, "servers.key_variable", "MOESCOPE_API_KEY", key_variable_);
    ui::tooltip(ctx.text("servers.key_variable_help"));
    ui::text_dim(ctx, ctx.text("servers.dialect"));
    ImGui::SetNextItemWidth(-FLT_MIN);
    const std::string shown = dialect_text(ctx, kDialects[static_cast<std::size_t>(dialect_)]);
    if (ui::begin_combo("###servers.dialect", shown.c_str())) {
        for (std::size_t i = 0; i < kDialects.size(); ++i) {
            const std::string label = dialect_text(ctx, kDialects[i]) + "###" + kDialects[i];
            if (ImGui::Selectable(label.c_str(), static_cast<int>(i) == dialect_)) {
                dialect_ = static_cast<int>(i);
            }
        }
        ImGui::EndCombo();
    }
    draw_config(ctx);
    ImGui::Checkbox("###servers.remote", &remote_);
    ImGui::SameLine();
    ui::text_wrapped(ctx.text("servers.remote"));
    ui::tooltip(ctx.text("servers.remote_help"));
}

/// Its name on the server: typed, or chosen from what the server says when a person asks it.
void ServerForm::draw_model(ui::Context& ctx) {
    ui::text_dim(ctx, ctx.text("servers.model"));
    ImGui::SetNextItemWidth(-FLT_MIN);
    if (models_.empty()) {
        ImGui::InputTextWithHint("###servers.model", ctx.text("servers.model_hint"), &model_);
    } else if (ui::begin_combo("###servers.model", model_.c_str())) {
        for (std::size_t i = 0; i < models_.size(); ++i) {
            const std::string label = displayable(models_[i]) + "###" + std::to_string(i);
            if (ImGui::Selectable(label.c_str(), models_[i] == model_)) {
                model_ = models_[i];
            }
        }
        ImGui::EndCombo();
    }
    if (!left_out_.empty()) {
        ui::text_wrapped(left_out_, ctx.theme.text_dim);
    }
    const bool ready = address_.find("://") != std::string::npos && asking_ == 0;
    if (ui::button(ctx.text.label("servers.ask"), ready,
                   ctx.text(asking_ != 0 ? "servers.asking" : "servers.no_address"))) {
        problem_ = {};
        nlohmann::json question = parameters();
        question["path"] = address_;
        asking_ = ctx.client.send("models.ask", question);
    }
    if (ready) {
        ui::tooltip(ctx.text("servers.ask_help"));
    }
}

void ServerForm::draw_config(ui::Context& ctx) {
    text_field(ctx, "servers.config", "config.json", config_);
    ui::tooltip(ctx.text("servers.config_help"));
    if (ui::button(ctx.text.label("servers.choose_config"))) {
        ctx.choose_file(ctx.text("servers.choose_config_title"), "config", [this](const std::string& path) {
            watch_.touch(fields());
            config_ = path;
        });
    }
}

void ServerForm::draw_buttons(ui::Context& ctx) {
    const char *add_label = ctx.text.label("servers.add"), *cancel = ctx.text.label("servers.cancel");
    if (ui::button(add_label, adding_ == 0 && ctx.connected(), ctx.text("models.adding"))) {
        add(ctx);
    }
    ui::flow(ui::button_width(cancel));
    if (ui::button(cancel)) {
        open_ = false;
    }
}

}  // namespace moescope::panels
