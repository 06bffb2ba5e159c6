// The expert load panel: which expert got how many tokens. A layer x expert map of one step, the history of one layer
// over steps, the bars and balance numbers of that layer; for all text, English, Chinese, or the difference of the two.
// What is shown is in load_model.hpp; here the views get their places.
#include <algorithm>
#include <array>
#include <string>

#include "panels/experts/expert_map.hpp"
#include "panels/experts/expert_menu.hpp"
#include "panels/experts/layer_bars.hpp"
#include "panels/experts/layer_numbers.hpp"
#include "panels/experts/load_history.hpp"
#include "panels/experts/load_model.hpp"
#include "panels/experts/load_toolbar.hpp"
#include "panels/panels.hpp"
#include "panels/training/step_plot.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::TrainingRun;
using ui::Context;

class ExpertLoadPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override;
    void draw(ui::Context& ctx) override;
    /// load.all, load.english, load.chinese, load.difference, load.live, load.layer_next, load.layer_previous,
    /// load.expert_next, load.expert_previous.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    void draw_views(const LoadView& view, bool open_menu);
    void draw_layer(const LoadView& view, float height) const;

    LoadModel model_;
    ExpertMap map_;
    LoadHistory history_;
    ExpertMenu menu_;
};

constexpr float kLeastWidth = 14, kLeastHeight = 12;  ///< em, of the views
constexpr float kBeside = 24;                         ///< em, from which map and layer stand beside one another

constexpr std::array<const char*, 4> kModes = {"load.all", "load.english", "load.chinese", "load.difference"};

struct Turn {
    const char* action;
    int layers, experts;
};
constexpr std::array<Turn, 4> kTurns = {{{"load.layer_next", 1, 0},
                                         {"load.layer_previous", -1, 0},
                                         {"load.expert_next", 0, 1},
                                         {"load.expert_previous", 0, -1}}};

bool has_load(const TrainingRun* run) {
    return run != nullptr && !run->counts.empty() && run->layers > 0 && run->experts > 0;
}

void turn_selection(ui::Selection& selection, const TrainingRun& run, const Turn& turn) {
    selection.layer = std::clamp(static_cast<int>(shown_layer(selection, run)) + turn.layers, 0, run.layers - 1);
    if (turn.experts == 0) {
        return;
    }
    const int last = run.experts - 1;
    selection.expert =
        selection.expert < 0 ? (turn.experts > 0 ? 0 : last) : std::clamp(selection.expert + turn.experts, 0, last);
}

}  // namespace

void ExpertLoadPanel::draw(Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    if (!has_load(run)) {
        ui::empty_state(ctx, ui::icon::table, run == nullptr ? "load.empty" : "load.waiting",
                        run == nullptr && ctx.connected() ? "training.run.start" : nullptr, "run.start");
        return;
    }
    follow_steps(ctx.selection, *run);
    auto& old_steps = ctx.shared.get<OldSteps>();
    ShownSteps shown = old_steps.up_to(ctx, *run, ctx.selection.pinned_step, kLoadWindows[model_.window]);
    const bool open_menu = draw_load_toolbar(ctx, *run, model_, shown);
    model_.show(*run, std::move(shown.counts));
    const std::vector<ExpertState> states = expert_states(
        ctx.snapshot, *run, ctx.selection.pinned_step ? std::optional(model_.loads().last_step) : std::nullopt);
    draw_views({ctx, *run, model_, states, shown_layer(ctx.selection, *run)}, open_menu);
}

void ExpertLoadPanel::draw_views(const LoadView& view, bool open_menu) {
    const float em = view.ctx.em;
    if (open_menu) {
        menu_.open(view, {});
    }
    // In a small place the views keep a size in which they can be read, and the panel scrolls.
    const ImVec2 there = ImGui::GetContentRegionAvail();
    const ImVec2 room = {std::max(there.x, kLeastWidth * em), std::max(there.y, kLeastHeight * em)};
    if (room.x < kBeside * em) {
        const std::optional<ExpertCell> hovered = map_.draw(view, {room.x, kLeastHeight * em});
        draw_layer(view, std::max(kLeastHeight * em, there.y - kLeastHeight * em));
        menu_.draw(view, hovered);
        return;
    }
    // A narrow panel keeps the map and the layer; the history needs width.
    const bool three = room.x >= 50 * em;
    const std::optional<ExpertCell> hovered = map_.draw(view, {(three ? 0.36f : 0.52f) * room.x, room.y});
    ImGui::SameLine(0, em);
    if (three) {
        history_.draw(view, {0.28f * room.x, room.y});
        ImGui::SameLine(0, em);
    }
    draw_layer(view, room.y);
    menu_.draw(view, hovered);
}

/// Bars above, numbers below.
void ExpertLoadPanel::draw_layer(const LoadView& view, float height) const {
    const float em = view.ctx.em;
    begin_view("layer", {0, height});
    const float width = ImGui::GetContentRegionAvail().x;
    const bool difference = view.model.is_difference();
    const bool compact = height < 18 * em && width > 17 * em;
    // With little height the difference keeps its bars; the balance of each language is one click away.
    const bool with_numbers = !(compact && difference);
    const float numbers = with_numbers ? layer_numbers_height(view, compact) : 0;
    const float chance = difference ? (width > 26 * em ? 2 : 3) * ImGui::GetTextLineHeightWithSpacing() : 0;
    const float bars = height - numbers - chance;
    if (bars > 3 * em) {
        draw_layer_bars(view, {width, bars});
    }
    if (difference) {
        draw_chance(view);
    }
    if (with_numbers) {
        draw_layer_numbers(view, compact);
    }
    ImGui::EndChild();
}

void ExpertLoadPanel::take_over(ui::Panel& before) {
    const LoadModel& old = dynamic_cast<const ExpertLoadPanel&>(before).model_;
    model_.mode = old.mode;
    model_.window = old.window;
}

bool ExpertLoadPanel::act(const std::string& action, Context& ctx) {
    if (const auto mode = std::find(kModes.begin(), kModes.end(), action); mode != kModes.end()) {
        model_.mode = static_cast<LoadMode>(mode - kModes.begin());
        return true;
    }
    if (action == "load.live") {
        ctx.selection.pinned_step.reset();
        return true;
    }
    const auto turn = std::find_if(kTurns.begin(), kTurns.end(), [&](const Turn& t) { return action == t.action; });
    if (turn == kTurns.end()) {
        return false;
    }
    const TrainingRun* run = selected_run(ctx);
    if (run != nullptr && run->layers > 0 && run->experts > 0) {
        turn_selection(ctx.selection, *run, *turn);
    }
    return true;
}

namespace {

constexpr ImGuiKeyChord kTurn = ImGuiMod_Ctrl | ImGuiMod_Shift;

bool has_counts(const Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    return run != nullptr && !run->counts.empty();
}

ui::PanelCommand command(const char* key, int group, ImGuiKeyChord shortcut = 0) {
    return {.key = key, .menu = {"menu.experts", group}, .shortcut = shortcut, .available = has_counts};
}

}  // namespace

ui::PanelDescription describe_expert_load() {
    using ui::Place;
    using Show = ui::Stand::Show;
    return {.key = "expert_load",
            .make = ui::make_panel<ExpertLoadPanel>,
            .stands = {{"training", Place::lower, 0, Show::front},
                       {"compare", Place::whole, 4},
                       {"probe", Place::whole, 4}},
            .commands = {command("load.all", 0),
                         command("load.english", 0),
                         command("load.chinese", 0),
                         command("load.difference", 0),
                         command("load.layer_previous", 1, kTurn | ImGuiKey_UpArrow),
                         command("load.layer_next", 1, kTurn | ImGuiKey_DownArrow),
                         command("load.expert_previous", 1, kTurn | ImGuiKey_LeftArrow),
                         command("load.expert_next", 1, kTurn | ImGuiKey_RightArrow),
                         {.key = "load.live", .menu = {"menu.experts", 2}, .available = [](const Context& ctx) {
                              return ctx.selection.pinned_step.has_value();
                          }}}};
}

}  // namespace moescope::panels
