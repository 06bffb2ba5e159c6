#include "panels/runs/experiment_part.hpp"

#include <imgui_stdlib.h>

#include "base/settings.hpp"
#include "base/text.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using nlohmann::json;

const ConfigField* find_field(const std::vector<FieldGroup>& groups, const std::string& key) {
    for (const FieldGroup& group : groups) {
        for (const ConfigField& field : group.fields) {
            if (field.key == key) {
                return &field;
            }
        }
    }
    return nullptr;
}

}  // namespace

void ExperimentPart::draw_key(ui::Context& ctx, const std::vector<FieldGroup>& groups) {
    ImGui::AlignTextToFramePadding();
    ImGui::TextUnformatted(ctx.text("runs.experiment.key"));
    ImGui::SameLine();
    ui::next_field(16 * ctx.em);
    if (!ui::begin_combo("###runs.experiment.key", experiment_key_label(ctx.text, key_).c_str(),
                         ImGuiComboFlags_HeightLarge)) {
        ui::tooltip(ctx.text("runs.experiment.key.help"));
        return;
    }
    if (ImGui::IsWindowAppearing()) {
        search_.clear();
        ImGui::SetKeyboardFocusHere();
    }
    ImGui::SetNextItemWidth(-1);
    ImGui::InputTextWithHint("###runs.experiment.search", ctx.text("runs.search.hint"), &search_);
    for (const FieldGroup& group : groups) {
        for (const ConfigField& field : group.fields) {
            const std::string label = experiment_key_label(ctx.text, field.key);
            // Devices are no question to a training.
            const bool shown = field.type != ConfigField::Type::device &&
                               (search_.empty() || base::contains_any_case(label, search_) ||
                                base::contains_any_case(field.key, search_));
            if (shown && ImGui::Selectable((label + "###" + field.key).c_str(), field.key == key_)) {
                key_ = field.key;
            }
        }
    }
    ImGui::EndCombo();
}

void ExperimentPart::draw_choices(const std::vector<OfferedValue>& offered) {
    std::set<std::string>& turned = turned_[key_];
    bool first = true;
    for (const OfferedValue& one : offered) {
        const std::string name = base::setting_text(one.value);
        bool ticked = one.first != (turned.count(name) > 0);
        const float width =
            ImGui::GetFrameHeight() + ImGui::GetStyle().ItemInnerSpacing.x + ImGui::CalcTextSize(one.label.c_str()).x;
        if (!first) {
            ui::flow(width);
        }
        first = false;
        if (ImGui::Checkbox((one.label + "###runs.experiment.value." + name).c_str(), &ticked)) {
            if (turned.erase(name) == 0) {
                turned.insert(name);
            }
        }
        ui::tooltip(one.help);
        if (ticked) {
            values_.push_back(one.value);
        }
    }
}

void ExperimentPart::draw_list(ui::Context& ctx, const ConfigField& field, const json& config) {
    const json* now = base::setting(config, key_);
    auto [list, is_new] = typed_.try_emplace(key_);
    if (is_new) {
        list->second = proposed_values(field, now == nullptr ? field.standard : *now);
    }
    ui::next_field(24 * ctx.em);
    ImGui::InputTextWithHint("###runs.experiment.list", ctx.text("runs.experiment.list.hint"), &list->second);
    ui::tooltip(ctx.text("runs.experiment.list.help"));
    TypedValues typed = read_values(field, list->second);
    values_ = std::move(typed.values);
    refused_ = std::move(typed.refused);
}

void ExperimentPart::draw(ui::Context& ctx, const std::vector<FieldGroup>& groups, const json& config) {
    values_.clear();
    refused_.clear();
    ImGui::Checkbox(ctx.text.label("runs.experiment"), &on);
    ui::tooltip(ctx.text("runs.experiment.help"));
    if (!on) {
        return;
    }
    const ConfigField* field = find_field(groups, key_);
    const float key_width = ImGui::CalcTextSize(ctx.text("runs.experiment.key")).x + 17 * ctx.em;
    ui::flow(key_width);
    draw_key(ctx, groups);
    if (field == nullptr) {
        return;
    }
    if (const auto offered = offered_values(ctx.text, *ctx.snapshot.catalogue, *field); !offered.empty()) {
        draw_choices(offered);
    } else {
        draw_list(ctx, *field, config);
    }
}

std::string ExperimentPart::why_not(const ui::Context& ctx) const {
    if (!on) {
        return {};
    }
    if (!refused_.empty()) {
        std::string list;
        for (const std::string& one : refused_) {
            base::append_to_list(list, one, ctx.text("common.comma"));
        }
        return ctx.text.format("runs.experiment.refused", {{"values", list}});
    }
    if (values_.size() < kFewestExperimentRuns || values_.size() > kMostExperimentRuns) {
        return ctx.text.format("runs.experiment.count",
                               {{"low", ctx.text.number(std::uint64_t{kFewestExperimentRuns})},
                                {"high", ctx.text.number(std::uint64_t{kMostExperimentRuns})}});
    }
    return {};
}

void ExperimentPart::set_state(const nlohmann::json& state) {
    on = state.at("on");
    key_ = state.at("key");
    turned_ = state.at("turned").get<decltype(turned_)>();
    typed_ = state.at("typed").get<decltype(typed_)>();
}

}  // namespace moescope::panels
