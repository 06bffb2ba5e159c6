// The placement panel on a written session: numbers are typed, what does not come out even is told and mended by its
// button, a layer is chosen, and the clipboard has what the balancer gives for the loads of the run.
#include "routing/placement.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_internal.h>
#include <nlohmann/json.hpp>

#include "nodes/history/load_sums.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/screen_text.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

using nlohmann::json;

/// A row is clicked at its beginning: in its middle may be the border of two columns, which is dragged.
constexpr ImGuiTestOpFlags kBesideBorders = ImGuiTestOpFlags_MoveToEdgeL;

std::string item(const std::string& id) {
    return "//###panel.placement/**/" + id;
}

bool says(Harness& h, ImGuiTestContext* ctx, const std::string& words) {
    std::string all;
    for (const ScreenLine& line : h.screen(ctx)) {
        all += line.window == "panel.placement" ? squeezed(line.text) : "";
    }
    return all.find(squeezed(words)) != std::string::npos;
}

bool comes_to_say(Harness& h, ImGuiTestContext* ctx, const std::string& words) {
    const bool found = h.wait(ctx, 20, [&] { return says(h, ctx, words); });
    if (!found) {
        ctx->LogError("it does not say \"%s\"", words.c_str());
    }
    return found;
}

void enter(ImGuiTestContext* ctx, const char* field, int value) {
    ctx->ItemInput(item(field).c_str());
    ctx->KeyCharsReplaceEnter(std::to_string(value).c_str());
    ctx->Yield(3);
}

/// What the balancer gives for all steps of the run on show.
json placed(Harness& h, const routing::PlacementOrder& order) {
    const history::TrainingRun& run = h.training();
    history::LoadSums sums;
    sums.update({run.counts.begin(), run.counts.end()}, run.layers, run.experts);
    return routing::placement_to_json(
        routing::place_experts({run.layers, run.experts, history::tokens(sums.loads())}, order));
}

/// Whether the clipboard gets that placement by the button.
bool copies(Harness& h, ImGuiTestContext* ctx, const routing::PlacementOrder& order) {
    const json wanted = placed(h, order);
    return h.wait(ctx, 20, [&] {
        ImGui::SetClipboardText("");
        ctx->ItemClick(item("###placement.copy").c_str());
        h.wait(ctx, 5, [] { return *ImGui::GetClipboardText() != '\0'; });
        return json::parse(ImGui::GetClipboardText(), nullptr, false) == wanted;
    });
}

void place_experts_of_a_run(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const std::filesystem::path before = h.workbench().session(), folder = h.folder() / "placement";
    h.workbench().show_panel("placement");
    WrittenSession(folder, "Bemo", 3).write("T");
    IM_CHECK(h.open_session(ctx, folder,
                            [&] { return h.snapshot().training.size() == 1 && h.training().counts.size() == 40; }));
    h.workbench().show_panel("placement");
    IM_CHECK(comes_to_say(h, ctx, "Estimate from the load alone"));
    IM_CHECK(copies(h, ctx, {.replicas = 12, .devices = 4}));
    IM_CHECK(says(h, ctx, "Layer 0, experts in several places: "));
    IM_CHECK(says(h, ctx, "Layer 0, without a balancer"));

    // Six places besides one for each of the eight are too many for four devices; the button takes eight.
    enter(ctx, "###placement.extra", 6);
    IM_CHECK(comes_to_say(h, ctx, "14 places cannot be shared evenly by 4 devices"));
    IM_CHECK(!says(h, ctx, "Estimate from the load alone"));
    IM_CHECK((ctx->ItemInfo(item("###placement.copy").c_str()).ItemFlags & ImGuiItemFlags_Disabled) != 0);
    ctx->ItemClick(item("###placement.fit").c_str());
    IM_CHECK(comes_to_say(h, ctx, "Estimate from the load alone"));
    IM_CHECK(copies(h, ctx, {.replicas = 16, .devices = 4}));

    // Two nodes and four groups: hierarchical; three nodes do not divide the devices, eight not the groups.
    enter(ctx, "###placement.groups", 4);
    enter(ctx, "###placement.nodes", 2);
    IM_CHECK(comes_to_say(h, ctx, "each group of experts stays on one node"));
    IM_CHECK(copies(h, ctx, {.replicas = 16, .groups = 4, .nodes = 2, .devices = 4}));
    enter(ctx, "###placement.nodes", 3);
    IM_CHECK(comes_to_say(h, ctx, "4 devices cannot be shared evenly by 3 nodes"));
    enter(ctx, "###placement.devices", 2000);
    IM_CHECK(comes_to_say(h, ctx, "is not a number between 1 and 1,024"));
    enter(ctx, "###placement.devices", 8);
    enter(ctx, "###placement.nodes", 8);
    IM_CHECK(comes_to_say(h, ctx, "groups are not looked at"));
    IM_CHECK(copies(h, ctx, {.replicas = 16, .groups = 4, .nodes = 8, .devices = 8}));

    // A layer by its row and by the keyboard; the devices of it.
    ctx->ItemClick(item("$$1/###row").c_str(), 0, kBesideBorders);
    IM_CHECK(comes_to_say(h, ctx, "Layer 1, balanced"));
    IM_CHECK_EQ(h.workbench().selection().layer, 1);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_UpArrow);
    IM_CHECK(comes_to_say(h, ctx, "Layer 0, balanced"));
    ctx->ItemClick(item("###placement.table.devices").c_str());
    // Eight devices and eight experts: without a balancer each has the tokens of one, here those of a step in the mean.
    double first = 0;
    for (const auto& step : h.training().counts) {
        first += (step->counts[0] + step->counts[2 * 8]) / 40.0;
    }
    IM_CHECK(comes_to_say(h, ctx, h.workbench().text().number(static_cast<std::uint64_t>(std::llround(first)))));

    h.workbench().set_language("zh");
    IM_CHECK(comes_to_say(h, ctx, "仅按负载估计"));
    h.workbench().set_language("en");
    h.workbench().command("view.clear_selection");
    IM_CHECK(h.open_session(ctx, before));
    // What was chosen is the person's and stays; the run is not.
    if (h.snapshot().training.empty()) {
        IM_CHECK(comes_to_say(h, ctx, "Here you will see"));
    }
    h.workbench().show_panel("placement", false);
    ctx->Yield(3);
}

void begin_with_a_layer_that_has_experts(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const std::filesystem::path before = h.workbench().session(), folder = h.folder() / "placement-dense";
    WrittenSession(folder, "Dofi", 4).write("D");
    IM_CHECK(h.open_session(ctx, folder,
                            [&] { return h.snapshot().training.size() == 1 && h.training().counts.size() == 40; }));
    h.workbench().show_panel("placement");
    IM_CHECK_EQ(h.workbench().selection().layer, -1);
    IM_CHECK(comes_to_say(h, ctx, "Layer 1, without a balancer"));
    IM_CHECK(says(h, ctx, "Not placed: the experts of the prediction module (layer 2)"));
    h.workbench().selection().layer = 0;
    IM_CHECK(comes_to_say(h, ctx, "Layer 0 is dense: it has no experts to place."));
    IM_CHECK(!says(h, ctx, "without a balancer"));
    ImGui::SetClipboardText("");
    ctx->ItemClick(item("###placement.copy").c_str());
    IM_CHECK(h.wait(ctx, 5, [] { return *ImGui::GetClipboardText() != '\0'; }));
    const json copied = json::parse(ImGui::GetClipboardText(), nullptr, false);
    IM_CHECK(copied.is_object() && copied["logical_count"][0].is_null() && copied["logical_count"][1].is_array());
    // The load of the experts begins there as well.
    h.workbench().command("view.clear_selection");
    h.workbench().show_panel("expert_load");
    IM_CHECK(h.wait(ctx, 20, [&] {
        const auto lines = h.screen(ctx);
        return std::any_of(lines.begin(), lines.end(), [](const ScreenLine& line) {
            return line.window == "panel.expert_load" && squeezed(line.text).find("ayer1") != std::string::npos;
        });
    }));
    IM_CHECK(h.open_session(ctx, before));
    h.workbench().show_panel("placement", false);
    ctx->Yield(3);
}

}  // namespace

void register_placement(Harness& harness) {
    harness.add("placement", "experts of a run are placed on devices",
                [&harness](ImGuiTestContext* ctx) { place_experts_of_a_run(harness, ctx); });
    harness.add("placement", "a dense layer is called so, and the first one with experts is shown",
                [&harness](ImGuiTestContext* ctx) { begin_with_a_layer_that_has_experts(harness, ctx); });
}

}  // namespace moescope::gui_test
