#include "panels/routing/trace_head.hpp"

#include <algorithm>

#include "panels/routing/shown_routing.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

/// Reads the built-in text with the latest checkpoint of the training run on show.
void draw_nothing(ui::Context& ctx, const char* empty_key) {
    const history::TrainingRun* training = selected_run(ctx);
    const bool can_read = ctx.connected() && training != nullptr && training->last_checkpoint > 0;
    if (ui::empty_state(ctx, ui::icon::network, empty_key, can_read ? "figure.read_built_in" : nullptr)) {
        nlohmann::json parameters = built_in_text();
        parameters["model"] = history::to_text({.run = training->id});
        parameters["detail"] = reading_detail(std::uint64_t{training->layers} * training->experts, kBuiltInTokens);
        ctx.client.send("route.start", std::move(parameters));
    }
}

}  // namespace

std::optional<RoutedRun> draw_trace_head(ui::Context& ctx, const char* empty_key) {
    const auto shown = shown_routing(ctx);
    std::optional<RoutedRun> run = shown ? routed_run(ctx.snapshot, shown->run) : std::nullopt;
    if (!run) {
        draw_nothing(ctx, empty_key);
        return {};
    }
    ui::next_field(22 * ctx.em);
    draw_routing_choice(ctx);
    ui::flow(12 * ctx.em);
    draw_source_badge(ctx, *run->routing);
    if (const std::uint64_t tokens = run->routing->tokens; tokens > 0) {
        const std::string read =
            ctx.text.format(run->alive ? "figure.tokens_so_far" : "figure.tokens", {{"n", ctx.text.number(tokens)}});
        ui::flow(ImGui::CalcTextSize(read.c_str()).x);
        ImGui::AlignTextToFramePadding();
        ui::text_dim(ctx, ui::elided(read, ImGui::GetContentRegionAvail().x));
    }
    if (run->routing->trace->chunks() == 0) {
        ui::empty_state(ctx, ui::icon::hourglass, run->alive ? "figure.waiting" : "figure.nothing");
        return {};
    }
    return run;
}

std::size_t selected_place(const ui::Selection& selection, const routing::RouterSpec& spec) {
    const int place = selection.layer < 0 ? -1 : routing::routed_place(spec, selection.layer);
    return static_cast<std::size_t>(std::max(0, place));
}

ExpertPlace selected_place_of_expert(const ui::Selection& selection, const routing::RouterSpec& spec) {
    const std::size_t place = selected_place(selection, spec);
    const int expert = selection.expert >= 0 && selection.expert < spec.experts ? selection.expert : 0;
    return {place, static_cast<std::size_t>(expert), spec.routed_layers[place]};
}

std::optional<std::size_t> chosen_expert(const ui::Selection& selection, const routing::RouterSpec& spec,
                                         std::size_t place) {
    const bool here =
        selection.layer == spec.routed_layers[place] && selection.expert >= 0 && selection.expert < spec.experts;
    return here ? std::optional(static_cast<std::size_t>(selection.expert)) : std::nullopt;
}

bool layer_combo(const ui::Context& ctx, const char* id, const routing::RouterSpec& spec, std::size_t& place) {
    bool changed = false;
    ui::next_field(4.2f * ctx.em);
    if (ui::begin_combo(id, std::to_string(spec.routed_layers[place]).c_str(), ImGuiComboFlags_HeightLarge)) {
        for (std::size_t i = 0; i < spec.routed_layers.size(); ++i) {
            if (ImGui::Selectable(std::to_string(spec.routed_layers[i]).c_str(), i == place)) {
                changed = i != place;
                place = i;
            }
            if (i == place) {
                ImGui::SetItemDefaultFocus();
            }
        }
        ImGui::EndCombo();
    }
    return changed;
}

void field_word(const ui::Context& ctx, const char* key) {
    ImGui::AlignTextToFramePadding();
    ui::text_dim(ctx, ctx.text(key));
    ImGui::SameLine(0, 0.4f * ctx.em);
}

void flow_field(const ui::Context& ctx, const char* word_key, float width) {
    ui::flow(ImGui::CalcTextSize(ctx.text(word_key)).x + 0.4f * ctx.em + width);
    field_word(ctx, word_key);
}

}  // namespace moescope::panels
