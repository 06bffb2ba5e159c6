#include "panels/experts/layer_numbers.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <optional>
#include <vector>

#include "panels/experts/old_steps.hpp"
#include "panels/ui/plot_tools.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr std::size_t kNumbers = 6;  // that every run has

struct Number {
    const char* key;
    std::string here, other;
};

/// Runs in eight bits have a number more.
std::size_t count_of(const LoadView& view) {
    const bool errors = !view.run.expert_errors.empty() && !view.model.is_difference();
    return kNumbers + (errors ? 1 : 0);
}

/// Of the latest step that measured it, in percent.
Number error_of(const LoadView& view) {
    const auto step = static_cast<double>(view.run.expert_errors_step);
    const std::vector<float>& errors = view.run.expert_errors;
    const std::size_t at = view.layer * (errors.size() / std::max<std::size_t>(1, view.run.layers));
    const double here = at < errors.size() ? static_cast<double>(errors[at]) : std::nan("");
    const std::optional<std::size_t> row = value_at(view.run.step, step, 0);
    const double all = row ? view.run[&base::StepValues::expert_output_error][*row] : std::nan("");
    const auto shown = [&](double value) {
        return std::isnan(value) ? std::string("-") : view.ctx.text.number(value, 3) + " %";
    };
    return {"metric.expert_error", shown(here), shown(all)};
}

std::vector<Number> numbers_of(const LoadView& view) {
    const bool newest = !view.ctx.selection.pinned_step.has_value();
    const history::StepStore::Entropies entropies =
        newest || view.model.is_difference()
            ? nullptr
            : view.ctx.shared.get<OldSteps>().router_entropy_at(view.ctx, view.run, view.model.loads().last_step);
    const LoadModel::Balance balance = view.model.balance(view.run, view.layer, newest, entropies.get());
    const auto& [here, other, entropy, entropy_mean] = balance;
    const auto shown = [&](double value) {
        return std::isnan(value) ? std::string("-") : view.ctx.text.number(value, 3);
    };
    const auto dead = [&](const routing::LoadMetrics& metrics) {
        return std::isnan(metrics.max_violation) ? std::string("-") : view.ctx.text.number(std::uint64_t{metrics.dead});
    };
    std::vector<Number> numbers = {{"metric.max_violation", shown(here.max_violation), shown(other.max_violation)},
                                   {"metric.variation", shown(here.variation), shown(other.variation)},
                                   {"metric.entropy", shown(here.entropy), shown(other.entropy)},
                                   {"metric.gini", shown(here.gini), shown(other.gini)},
                                   {"metric.dead", dead(here), dead(other)},
                                   {"metric.router_entropy", shown(entropy), shown(entropy_mean)}};
    if (count_of(view) > kNumbers) {
        numbers.push_back(error_of(view));
    }
    return numbers;
}

void draw_head(const LoadView& view) {
    const ui::Language& text = view.ctx.text;
    const bool difference = view.model.is_difference();
    ImGui::TableNextRow();
    ImGui::TableSetColumnIndex(1);
    ui::text_dim(view.ctx, difference ? std::string(text("load.mode.english"))
                                      : text.format("load.numbers.here", {{"layer", std::to_string(view.layer)}}));
    ImGui::TableNextColumn();
    ui::text_dim(view.ctx, text(difference ? "load.mode.chinese" : "load.numbers.mean"));
    if (!difference) {
        ui::tooltip(text("load.numbers.mean.help"));
    }
}

void draw_rows(const LoadView& view, bool compact) {
    const ui::Context& ctx = view.ctx;
    int drawn = 0;
    for (const Number& number : numbers_of(view)) {
        if (!compact || drawn++ % 2 == 0) {
            ImGui::TableNextRow();
        }
        std::string help = ctx.text.format(fmt::format("{}.help", number.key),
                                           {{"step", ctx.text.number(view.run.expert_errors_step)}});
        if (compact) {
            help += "\n" + ctx.text.format("load.numbers.all", {{"value", number.other}});
        }
        ImGui::TableNextColumn();
        ui::text_dim(ctx, ctx.text(number.key));
        ui::tooltip(help);
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(number.here.c_str());
        ui::tooltip(help);
        if (!compact) {
            ImGui::TableNextColumn();
            ui::text_dim(ctx, number.other);
        }
    }
}

}  // namespace

void draw_layer_numbers(const LoadView& view, bool compact) {
    ImGui::PushStyleVar(ImGuiStyleVar_CellPadding, {0.3f * view.ctx.em, ImGui::GetStyle().CellPadding.y});
    if (ImGui::BeginTable("numbers", compact ? 4 : 3, ImGuiTableFlags_SizingStretchProp)) {
        if (!compact) {
            draw_head(view);
        }
        draw_rows(view, compact);
        ImGui::EndTable();
    }
    ImGui::PopStyleVar();
}

float layer_numbers_height(const LoadView& view, bool compact) {
    const float row = ImGui::GetTextLineHeight() + 2 * ImGui::GetStyle().CellPadding.y;
    const std::size_t numbers = count_of(view);
    return row * static_cast<float>(compact ? (numbers + 1) / 2 : numbers + 1) + 0.4f * view.ctx.em;
}

void draw_chance(const LoadView& view) {
    const ui::Context& ctx = view.ctx;
    const std::size_t beyond = view.model.cells().beyond_count, cells = view.model.cells().value.size();
    const double expected = view.model.beyond_by_chance();
    ui::text_wrapped(ctx.text.format("load.chance", {{"beyond", ctx.text.number(std::uint64_t{beyond})},
                                                     {"cells", ctx.text.number(std::uint64_t{cells})},
                                                     {"expected", ctx.text.number(expected, 2)}}),
                     static_cast<double>(beyond) > 2 * expected + 1 ? ctx.theme.text_dim : ctx.theme.warning);
    ui::tooltip(ctx.text("load.chance.help"));
}

}  // namespace moescope::panels
