// The library: every model file with its maker, licence, hash and state, and the models on servers; add by path or
// address, remove.
#include <algorithm>
#include <array>
#include <filesystem>
#include <imgui.h>
#include <imgui_stdlib.h>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "panels/node/export_form.hpp"
#include "panels/node/library.hpp"
#include "panels/node/server_form.hpp"
#include "panels/panels.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/text_view.hpp"
#include "panels/ui/undo.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using client::ModelEntry;

class ModelsPanel : public ui::Panel {
 public:
    void draw(ui::Context& context) override;
    void draw_above(ui::Context& context) override;
    /// models.add asks for a file and adds it, models.add=PATH adds that one, models.add_server opens the form,
    /// models.export and models.export=MODEL that of an export, whose own actions ExportForm has.
    bool act(const std::string& action, ui::Context& context) override;

 private:
    void take_answers(const ui::Context& ctx);
    void add(ui::Context& ctx);
    void draw_add(ui::Context& ctx);
    void draw_table(ui::Context& ctx, float height);
    void draw_row(ui::Context& ctx, const client::ModelEntry& model, const std::vector<ui::TableColumn>& columns);
    void draw_cell(ui::Context& ctx, const client::ModelEntry& model, ImGuiID column);
    void draw_details(ui::Context& ctx);
    void draw_actions(ui::Context& ctx, const ModelEntry& model);
    void draw_server(ui::Context& ctx, const client::ModelEntry& model);
    std::vector<std::size_t> sorted(const ui::Context& ctx) const;

    ui::FieldWatch watch_;  ///< of the path
    std::string path_, selected_;
    base::Sentence problem_;
    client::CommandId adding_ = 0;
    ServerForm form_;
    ExportForm export_;
    client::CommandId asking_ = 0;  ///< the server of asked_
    std::string asked_, answer_;    ///< the model whose server was asked last, and what it said
};

/// Columns of the table, in the order of the headers; the value names a column while the table is sorted by it.
enum ColumnId : ImGuiID { kName, kMaker, kSize, kPrecision, kLicence, kArchitecture, kHash, kOrigin, kState };

/// A column, and the narrowest table in em that still has room for it. The rest stands in the details of a row.
struct Offered {
    ui::TableColumn column;
    float from;
};
const std::array<Offered, 9> kColumns = {{{{"models.name", 2.0f, false, kName}, 0},
                                          {{"models.maker", 2.2f, false, kMaker}, 36},
                                          {{"models.size", 4.6f, true, kSize}, 24},
                                          {{"models.precision", 5.0f, true, kPrecision}, 44},
                                          {{"models.licence", 1.3f, false, kLicence}, 30},
                                          {{"models.architecture", 6.0f, true, kArchitecture}, 66},
                                          {{"models.hash", 5.6f, true, kHash}, 58},
                                          {{"models.origin", 1.6f, false, kOrigin}, 84},
                                          {{"models.state", 9.4f, true, kState}, 0}}};

std::string maker_text(const ui::Context& ctx, const ModelEntry& model) {
    if (model.trained_here) {
        return ctx.text("models.made_here");
    }
    const std::string maker = ctx.text.named("models.maker_name.", model.maker);
    const std::string country = ctx.text.named("models.country.", model.country);
    return maker + (maker.empty() || country.empty() ? "" : ctx.text("common.comma")) + country;
}

/// Empty where there is no file here.
std::string size_text(const ui::Context& ctx, const ModelEntry& model) {
    return model.bytes > 0 ? ui::bytes_text(ctx.text, model.bytes) : std::string();
}

std::string state_text(const ui::Context& ctx, const ModelEntry& model) {
    if (model.state) {
        return ctx.text(std::string("models.state.") + protocol::model_state_name(*model.state));
    }
    return ctx.text(model.available ? "models.state.available" : "models.state.missing");
}

void state_badge(const ui::Context& ctx, const ModelEntry& model) {
    if (model.state == protocol::ModelState::server) {
        ui::badge(ctx, ui::icon::server, state_text(ctx, model), ui::Tone::neutral);
        ui::tooltip(ctx.text("servers.state_help"));
        return;
    }
    const bool refused = model.state == protocol::ModelState::refused;
    if (model.available && model.state == protocol::ModelState::untrained) {
        ui::badge(ctx, ui::icon::hourglass, state_text(ctx, model), ui::Tone::neutral);
        return;
    }
    const char* mark = model.available ? ui::icon::check : refused ? ui::icon::error : ui::icon::warning;
    ui::badge(ctx, mark, state_text(ctx, model),
              model.available ? ui::Tone::good
              : refused       ? ui::Tone::error
                              : ui::Tone::warning);
    if (!model.message.empty()) {
        ui::tooltip(ctx.text.message(model.message));
    }
}

/// Asks for a folder on this machine, and fetches the model from the node's into it.
void ask_to_fetch(const ui::Context& ctx, const ModelEntry& model) {
    std::string name = model.trained_here ? model.name : std::filesystem::path(model.path).filename().string();
    std::replace(name.begin(), name.end(), ':', '-');
    ctx.choose_folder(ctx.text.format("models.fetch_title", {{"name", name}}), "export",
                      [&client = ctx.client, model = model.name, name](const std::string& folder) {
                          client.send("transfer.pull", {{"model", model}, {"to", folder + "/" + name}});
                      });
}

int compare_by(const ui::Context& ctx, const ModelEntry& a, const ModelEntry& b, ImGuiID column) {
    switch (column) {
        case kMaker:
            return maker_text(ctx, a).compare(maker_text(ctx, b));
        case kArchitecture:
            return a.architecture.compare(b.architecture);
        case kSize:
            return a.bytes < b.bytes ? -1 : a.bytes > b.bytes ? 1 : 0;
        case kPrecision:
            return a.precision.compare(b.precision);
        case kLicence:
            return a.licence.compare(b.licence);
        case kHash:
            return a.sha256.compare(b.sha256);
        case kOrigin:
            return a.origin.english().compare(b.origin.english());
        case kState:
            return state_text(ctx, a).compare(state_text(ctx, b));
        default:
            return a.name.compare(b.name);
    }
}

}  // namespace

bool ModelsPanel::act(const std::string& action, ui::Context& ctx) {
    if (const char* path = ui::action_value(action, "models.add")) {
        path_ = path;
        add(ctx);
    } else if (action == "models.add") {
        ctx.choose_file(ctx.text("command.models.add"), "model",
                        [run = ctx.run, show = ctx.show_panel](const std::string& chosen) {
                            show("models");
                            run("models.add=" + chosen);
                        });
    } else if (action == "models.add_server") {
        form_.open({});
    } else if (const char* model = ui::action_value(action, "models.export")) {
        export_.open(ctx, model);
    } else if (action == "models.export") {
        export_.open(ctx, selected_);
    } else {
        return export_.act(action, ctx);
    }
    return true;
}

void ModelsPanel::draw_above(ui::Context& ctx) {
    take_answers(ctx);
    for (const std::string& added : {form_.draw(ctx), export_.draw(ctx)}) {
        if (!added.empty()) {
            selected_ = added;
        }
    }
}

/// Every frame, also while the panel is closed: the client keeps only the latest answers.
void ModelsPanel::take_answers(const ui::Context& ctx) {
    if (const std::optional<AddedModel> added = take_added(ctx, adding_)) {
        problem_ = added->problem;
        if (!added->name.empty()) {
            selected_ = added->name;
            path_.clear();
        }
    }
    if (const client::CommandResult* answer = ui::take_answer(ctx, asking_)) {
        std::string names;
        for (const std::string& name : base::texts_of(answer->value, "models")) {
            base::append_to_list(names, name);
        }
        answer_ = list_notes(ctx, answer->value);
        if (answer->state == client::CommandResult::State::failed) {
            answer_ = ctx.text.message(answer->error);
        } else if (!names.empty()) {
            answer_ = ctx.text.format("servers.answers", {{"models", names}}) + (answer_.empty() ? "" : "\n") + answer_;
        } else if (answer_.empty()) {
            answer_ = ctx.text("servers.no_list");
        }
    }
}

void ModelsPanel::add(ui::Context& ctx) {
    problem_ = {};
    if (path_.empty()) {
        problem_ = base::Sentence::verbatim(ctx.text("models.no_path"));
    } else {
        adding_ = ctx.client.send("models.add", {{"path", path_}});
    }
}

void ModelsPanel::draw(ui::Context& ctx) {
    draw_add(ctx);
    if (ctx.snapshot.models.empty()) {
        ui::empty_state(ctx, ui::icon::folder, "models.empty");
        return;
    }
    const bool details = !selected_.empty();
    const float all = ImGui::GetContentRegionAvail().y;
    draw_table(ctx, details ? std::max(8 * ctx.em, all - 18 * ctx.em) : 0);
    if (details) {
        draw_details(ctx);
    }
}

void ModelsPanel::draw_add(ui::Context& ctx) {
    const char *choose = ctx.text.label("models.choose"), *add_label = ctx.text.label("models.add");
    const char* server = ctx.text.label("servers.open");
    const float buttons = ui::button_width(choose) + ui::button_width(add_label) + ui::button_width(server) +
                          3 * ImGui::GetStyle().ItemSpacing.x + 3;
    const float all = ImGui::GetContentRegionAvail().x;
    ImGui::SetNextItemWidth(all - buttons >= 12 * ctx.em ? all - buttons : all);
    const bool entered = ImGui::InputTextWithHint(
        "###models.path", ctx.text("models.path_hint"), &path_,
        ImGuiInputTextFlags_EnterReturnsTrue | (path_.empty() ? 0 : ImGuiInputTextFlags_ElideLeft));
    watch_.follow(ctx, {{"path", path_}}, ui::form_field,
                  [this](ui::Context&, const nlohmann::json& now) { path_ = now.at("path"); });
    ui::flow(ui::button_width(choose));
    if (ui::button(choose)) {
        ctx.choose_file(ctx.text("models.choose_title"), "model", [this](const std::string& path) {
            watch_.touch({{"path", path_}});
            path_ = path;
        });
    }
    ui::flow(ui::button_width(add_label));
    if (ui::button(add_label, adding_ == 0, ctx.text("models.adding")) || (entered && adding_ == 0)) {
        add(ctx);
    }
    ui::flow(ui::button_width(server));
    if (ui::button(server, ctx.connected(), ctx.text("servers.offline"))) {
        form_.open(path_.find("://") != std::string::npos ? path_ : std::string());
    }
    if (ctx.connected()) {
        ui::tooltip(ctx.text("servers.open_help"));
    }
    if (!problem_.empty() &&
        ui::banner(ctx, ui::Tone::error, ctx.text.message(problem_), ctx.text.label("models.dismiss"))) {
        problem_ = {};
    }
}

std::vector<std::size_t> ModelsPanel::sorted(const ui::Context& ctx) const {
    const std::vector<ModelEntry>& models = ctx.snapshot.models;
    std::vector<std::size_t> order(models.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs();
    if (!specs || specs->SpecsCount == 0) {
        return order;
    }
    const ImGuiID column = specs->Specs[0].ColumnUserID;
    const bool down = specs->Specs[0].SortDirection == ImGuiSortDirection_Descending;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const int c = compare_by(ctx, models[a], models[b], column);
        return down ? c > 0 : c < 0;
    });
    return order;
}

void ModelsPanel::draw_table(ui::Context& ctx, float height) {
    const float width = ImGui::GetContentRegionAvail().x / ctx.em;
    std::vector<ui::TableColumn> columns;
    for (const Offered& offered : kColumns) {
        if (width >= offered.from) {
            columns.push_back(offered.column);
        }
    }
    const std::string id = "models" + std::to_string(columns.size());  // each set of columns keeps its own widths
    if (!ui::begin_table(ctx, id.c_str(), columns, ImGuiTableFlags_Sortable | ImGuiTableFlags_ScrollY, {0, height})) {
        return;
    }
    for (const std::size_t i : sorted(ctx)) {
        draw_row(ctx, ctx.snapshot.models[i], columns);
    }
    ImGui::EndTable();
}

void ModelsPanel::draw_row(ui::Context& ctx, const ModelEntry& model, const std::vector<ui::TableColumn>& columns) {
    ImGui::PushID(model.name.c_str());
    ImGui::TableNextRow();
    float end = 0;
    for (const ui::TableColumn& column : columns) {
        ImGui::TableNextColumn();
        const float top = ImGui::GetCursorPosY();
        if (column.id == kName) {
            // The row is as high as its longest cell was in the frame before.
            float& tall = *ImGui::GetStateStorage()->GetFloatRef(ImGui::GetID("height"), ImGui::GetTextLineHeight());
            const bool is_selected = model.name == selected_;
            if (ImGui::Selectable("###row", is_selected,
                                  ImGuiSelectableFlags_SpanAllColumns | ImGuiSelectableFlags_AllowOverlap, {0, tall})) {
                selected_ = is_selected ? std::string() : model.name;
            }
            ImGui::SetCursorPosY(top);
        }
        draw_cell(ctx, model, column.id);
        end = std::max(end, ImGui::GetCursorPosY() - ImGui::GetStyle().ItemSpacing.y - top);
    }
    *ImGui::GetStateStorage()->GetFloatRef(ImGui::GetID("height")) = end;
    ImGui::PopID();
}

/// One cell; long texts break into lines, because a name that is cut says little.
void ModelsPanel::draw_cell(ui::Context& ctx, const ModelEntry& model, ImGuiID column) {
    const auto right = [](const std::string& text) {
        ImGui::SetCursorPosX(ImGui::GetCursorPosX() +
                             std::max(0.0f, ImGui::GetContentRegionAvail().x - ImGui::CalcTextSize(text.c_str()).x));
        ImGui::TextUnformatted(text.c_str());
    };
    switch (column) {
        case kName:
            return ui::text_wrapped(entry_title(ctx.snapshot, model));
        case kMaker:
            return ui::text_wrapped(maker_text(ctx, model));
        case kSize:
            return right(size_text(ctx, model));
        case kPrecision:
            return ui::text_wrapped(model.precision);
        case kLicence:
            return ui::text_wrapped(model.licence);
        case kArchitecture:
            return ui::text_wrapped(model.architecture);
        case kHash:
            ImGui::PushFont(ctx.mono, 0);
            ImGui::TextUnformatted(model.sha256.substr(0, 8).c_str());
            ImGui::PopFont();
            if (!model.sha256.empty()) {
                ui::tooltip(model.sha256);
            }
            return;
        case kOrigin:
            return ui::text_elided(ctx.text.message(model.origin), ImGui::GetContentRegionAvail().x);
        default:
            return state_badge(ctx, model);
    }
}

/// Above what is known of it: in a low panel the rest scrolls.
void ModelsPanel::draw_actions(ui::Context& ctx, const ModelEntry& model) {
    const ui::Language& text = ctx.text;
    if (!model.server) {
        const char* label = text.label("models.export.open");
        if (ui::button(label, can_export(model) && ctx.connected(),
                       text(can_export(model) ? "servers.offline" : "models.export.missing"))) {
            export_.open(ctx, model.name);
        }
        if (const char* fetch = text.label("models.fetch"); !ctx.snapshot.link.address.empty()) {
            ui::flow(ui::button_width(fetch));
            if (ui::button(fetch, can_export(model) && ctx.connected(),
                           text(can_export(model) ? "servers.offline" : "models.export.missing"))) {
                ask_to_fetch(ctx, model);
            }
        }
        ui::flow(ui::button_width(text.label("models.copy_hash")));
        if (ui::button(text.label("models.copy_hash"), !model.sha256.empty())) {
            ImGui::SetClipboardText(model.sha256.c_str());
        }
        ui::flow(ui::button_width(text.label("models.copy_path")));
    }
    if (ui::button(text.label("models.copy_path"), !model.path.empty())) {
        ImGui::SetClipboardText(model.path.c_str());
    }
    ui::flow(ui::button_width(text.label("models.remove")));
    if (ui::button(text.label("models.remove"), !model.trained_here, text("models.cannot_remove"))) {
        ctx.client.send("models.remove", {{"name", model.name}});
    }
    if (!model.server) {
        ui::tooltip(text("models.remove_help"));
    }
}

void ModelsPanel::draw_details(ui::Context& ctx) {
    const auto found = std::find_if(ctx.snapshot.models.begin(), ctx.snapshot.models.end(),
                                    [&](const ModelEntry& m) { return m.name == selected_; });
    if (found == ctx.snapshot.models.end()) {
        selected_.clear();
        return;
    }
    const ModelEntry& model = *found;
    if (!ImGui::BeginChild("###models.details")) {
        ImGui::EndChild();
        return;
    }
    ui::section(ctx, entry_title(ctx.snapshot, model));
    if (!model.message.empty()) {
        ui::text_wrapped(
            std::string(model.available ? ui::icon::info : ui::icon::warning) + " " + ctx.text.message(model.message),
            model.available ? ctx.theme.text_dim : ctx.theme.error);
    }
    draw_actions(ctx, model);
    if (ui::begin_properties("details")) {
        const auto row = [&](const char* key, const std::string& value) {
            if (!value.empty()) {
                ui::property(ctx, ctx.text(key), value);
            }
        };
        row("models.name", model.name);
        row("models.maker", maker_text(ctx, model));
        row("models.licence", model.licence);
        row("models.architecture", model.architecture);
        if (!model.server || model.server->layers > 0) {  // else nobody has said
            row("models.is_moe", ctx.text(model.is_moe ? "models.yes" : "models.no"));
        }
        row("models.precision", model.precision);
        row("models.format", model.format);
        if (!model.server) {
            row("models.size", size_text(ctx, model) +
                                   (model.bytes > 0 ? ui::in_brackets(ctx.text, ctx.text.number(model.bytes)) : ""));
        }
        row("models.hash", model.sha256);
        row("models.origin", ctx.text.message(model.origin));
        row(model.server ? "servers.address" : "models.path", model.path);
        if (const auto& server = model.server) {
            row("servers.dialect", dialect_text(ctx, server->dialect));
            row("servers.key_variable",
                server->key_variable +
                    ui::in_brackets(ctx.text, ctx.text(server->key_set ? "servers.key_set" : "servers.key_unset")));
            row("servers.where", ctx.text(server->remote ? "servers.elsewhere" : "servers.here"));
            row("servers.shape",
                server->layers > 0
                    ? ctx.text.format("servers.shape_text", {{"layers", std::to_string(server->layers)},
                                                             {"experts", std::to_string(server->experts)},
                                                             {"k", std::to_string(server->experts_per_token)}})
                    : std::string());
        }
        row("models.state", state_text(ctx, model));
        ui::end_properties();
    }
    if (model.server) {
        draw_server(ctx, model);
    }
    ImGui::EndChild();
}

/// A server is asked how it is when a person wants to know, and never else.
void ModelsPanel::draw_server(ui::Context& ctx, const ModelEntry& model) {
    if (ui::button(ctx.text.label("servers.try"), asking_ == 0 && ctx.connected(), ctx.text("servers.asking"))) {
        asking_ = ctx.client.send("models.ask", {{"name", model.name}});
        asked_ = model.name;
        answer_.clear();
    }
    if (asking_ == 0) {
        ui::tooltip(ctx.text("servers.try_help"));
    }
    if (asked_ == model.name && !answer_.empty()) {
        ui::text_wrapped(answer_, ctx.theme.text_dim);
    }
}

ui::PanelDescription describe_models() {
    using ui::Place;
    using Show = ui::Stand::Show;
    return {.key = "models",
            .make = ui::make_panel<ModelsPanel>,
            .stands = {{"training", Place::lower, 1, Show::open},
                       {"compare", Place::whole, 5, Show::open},
                       {"probe", Place::whole, 5, Show::open}},
            .commands = {{.key = "models.add",
                          .menu = {"menu.models", 0},
                          .available = [](const ui::Context& ctx) { return ctx.connected(); }},
                         {.key = "models.add_server",
                          .menu = {"menu.models", 0},
                          .available = [](const ui::Context& ctx) { return ctx.connected(); }},
                         {.key = "models.export", .menu = {"menu.models", 0}, .available = [](const ui::Context& ctx) {
                              const auto& models = ctx.snapshot.models;
                              return ctx.connected() && std::any_of(models.begin(), models.end(), can_export);
                          }}}};
}

}  // namespace moescope::panels
