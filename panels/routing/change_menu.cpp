#include "panels/routing/change_menu.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "panels/routing/change_list.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using Kind = Change::Kind;

/// Added to a selection score; scores of a softmax or a sigmoid lie between 0 and 1.
constexpr std::array<float, 6> kBiases = {-1.0f, -0.1f, -0.01f, 0.01f, 0.1f, 1.0f};

const char* text_key(Kind kind) {
    return kind == Kind::knock_out ? "change.menu.knock_out"
           : kind == Kind::force   ? "change.menu.force"
                                   : "change.menu.zero";
}

void tell(ui::Context& ctx, EditedChanges& edited, std::string_view model) {
    if (!model.empty()) {
        edited.model = model;
    }
    ctx.notify(ctx.text.format("change.menu.told", {{"changes", changes_text(ctx.text, edited.list.changes())}}),
               false);
}

}  // namespace

void draw_change_menu(ui::Context& ctx, int layer, int expert, std::string_view model) {
    auto& edited = ctx.shared.get<EditedChanges>();
    const int at = std::max(layer, routing::kEvery), which = std::max(expert, routing::kEvery);
    ImGui::PushID("changes");
    ui::text_dim(ctx, ctx.text("change.menu.title"));
    const std::vector<Change> there = edited.list.at(at, which);
    for (const Kind kind : {Kind::knock_out, Kind::force, Kind::zero}) {
        const bool is_there =
            std::any_of(there.begin(), there.end(), [&](const Change& change) { return change.kind == kind; });
        const char* key = text_key(kind);
        if (ImGui::MenuItem(ctx.text.label(key), nullptr, is_there)) {
            const Change change{.kind = kind, .layer = at, .expert = which};
            if (is_there) {
                const std::vector<Change>& all = edited.list.changes();
                edited.list.remove(static_cast<std::size_t>(std::find(all.begin(), all.end(), change) - all.begin()));
            } else {
                edited.list.add(change);
            }
            tell(ctx, edited, model);
        }
        ui::tooltip(ctx.text(std::string(key) + ".help"));
    }
    if (ImGui::BeginMenu(ctx.text.label("change.menu.bias"))) {
        for (const float bias : kBiases) {
            const Change change{.kind = Kind::bias, .layer = at, .expert = which, .bias = bias};
            const std::string label = (bias > 0 ? "+" : "") + ctx.text.number(bias, 3);
            if (ImGui::MenuItem(label.c_str(), nullptr, std::find(there.begin(), there.end(), change) != there.end())) {
                edited.list.add(change);
                tell(ctx, edited, model);
            }
        }
        ImGui::EndMenu();
    } else {
        ui::tooltip(ctx.text("change.menu.bias.help"));
    }
    if (ImGui::MenuItem(ctx.text.label("change.menu.take_back"), nullptr, false, !there.empty())) {
        edited.list.remove_at(at, which);
        tell(ctx, edited, model);
    }
    if (ImGui::MenuItem(ctx.text.label("change.menu.open"))) {
        if (!model.empty()) {
            edited.model = model;
        }
        ctx.show_panel("change");
    }
    ImGui::Separator();
    ImGui::PopID();
}

}  // namespace moescope::panels
