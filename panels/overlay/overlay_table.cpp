#include "panels/overlay/overlay_table.hpp"

#include <cmath>
#include <fmt/format.h>

#include "panels/overlay/overlay_plot.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/plot_parts.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::RunFigure;
using nlohmann::json;
using ui::Context;

constexpr float kLongestName = 18;   ///< em
constexpr float kLongestValue = 14;  ///< em

std::string setting_title(const ui::Language& text, const std::string& key) {
    return key == "data" ? std::string(text("runs.data")) : setting_label(text, key);
}

/// The figure and which number of it.
std::string figure_help_of(const ui::Language& text, RunFigure figure, SummaryKind kind) {
    const char* keys[] = {"overlay.summary.last.help", "overlay.summary.best.help", "overlay.summary.mean.help"};
    const std::string unit = figure_unit(text, figure);
    return figure_help(text, figure) + (unit.empty() ? "" : "\n" + unit) + "\n" + text(keys[static_cast<int>(kind)]);
}

}  // namespace

void OverlayTableView::refresh(const Context& ctx, const std::vector<ShownRun>& runs) {
    Key key{{}, ctx.snapshot.catalogue};
    for (const ShownRun& run : runs) {
        key.runs.emplace_back(run.run.get(), run.loads.get());
    }
    if (key == key_) {
        return;
    }
    of_ = runs;
    key_ = std::move(key);
    table_ = make_table(runs, *ctx.snapshot.catalogue);
}

void OverlayTableView::draw_toolbar(Context& ctx, const std::vector<ShownRun>& runs) {
    int kind = static_cast<int>(kind_);
    if (ui::segmented(ctx, "summary",
                      {ctx.text.label("overlay.summary.last"), ctx.text.label("overlay.summary.best"),
                       ctx.text.label("overlay.summary.mean")},
                      kind)) {
        kind_ = static_cast<SummaryKind>(kind);
    }
    ui::tooltip(ctx.text("overlay.summary.help"));
    const auto csv = [&] { return [table = table_, runs] { return table_csv(table, runs); }; };
    const char* save = ctx.text.label("overlay.table.csv");
    ui::flow(ui::button_width(save));
    if (ImGui::Button(save) && ctx.save_as) {
        ctx.save_as("runs.csv", csv());
    }
    const char* copy = ctx.text.label("overlay.table.copy");
    ui::flow(ui::button_width(copy));
    if (ImGui::Button(copy) && ctx.copy_text) {
        ctx.copy_text(csv());
    }
    if (table_.settings.empty() && runs.size() > 1) {
        ui::text_wrapped(ctx.text("overlay.table.equal"), ctx.theme.text_dim);
    }
}

void OverlayTableView::draw_headers(const Context& ctx) const {
    const ui::Language& text = ctx.text;
    ImGui::TableNextRow(ImGuiTableRowFlags_Headers);
    ImGui::TableNextColumn();
    ImGui::TableHeader(text.label("overlay.table.run"));
    for (const SettingColumn& column : table_.settings) {
        ImGui::TableNextColumn();
        ImGui::TableHeader((setting_title(text, column.key) + "###" + column.key).c_str());
        if (!ui::tooltip_due()) {
            continue;
        }
        const std::string help = "runs.field." + column.key + ".help";
        std::string tip = text.has(help) ? text(help) : std::string();
        if (!column.standard.is_null()) {
            tip += (tip.empty() ? "" : "\n") +
                   text.format("overlay.table.default", {{"value", value_label(text, column.key, column.standard)}});
        }
        ui::tooltip(tip);
    }
    for (const RunFigure figure : table_.figures) {
        ImGui::TableNextColumn();
        ImGui::TableHeader((figure_name(text, figure) + "###figure." + history::row_of(figure).key).c_str());
        if (ui::tooltip_due()) {
            ui::tooltip(figure_help_of(text, figure, kind_));
        }
    }
}

void OverlayTableView::draw_row(const Context& ctx, const ShownRun& run, std::size_t row) const {
    const ui::Language& text = ctx.text;
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ui::look_sign(ctx, ui::line_look(ctx.theme, run.look));
    ui::text_elided(run.label, kLongestName * ctx.em);
    if (run.run->state != history::RunState::done) {
        ImGui::SameLine(0, 0.4f * ctx.em);
        ui::text_dim(ctx, text(ui::state_key(run.run->state)));
    }
    for (const SettingColumn& column : table_.settings) {
        ImGui::TableNextColumn();
        const json& value = column.values[row];
        const bool standard = !column.standard.is_null() && value == column.standard;
        const std::string shown = value.is_null() ? "\u2013" : value_label(text, column.key, value);
        // What is as it comes is dim, and says so: a dim text alone would be nothing to those who do not see it.
        ImGui::PushStyleColor(ImGuiCol_Text, standard ? ctx.theme.text_dim : ctx.theme.text);
        ui::text_elided(shown, kLongestValue * ctx.em);
        ImGui::PopStyleColor();
        if (standard) {
            ui::tooltip(text("overlay.table.is_default"));
        }
    }
    for (const RunFigure figure : table_.figures) {
        ImGui::TableNextColumn();
        const double value = panels::number_of(table_.rows[row][static_cast<std::size_t>(figure)], kind_);
        ImGui::TextUnformatted(text.number(value, 4).c_str());
        if (!std::isnan(value)) {
            ui::tooltip(text.number(value, 9));
        }
    }
}

void OverlayTableView::draw(Context& ctx, const std::vector<ShownRun>& runs) {
    refresh(ctx, runs);
    draw_toolbar(ctx, runs);
    // The columns are those of these runs: another set of them is another table.
    std::string id = "runs";
    for (const SettingColumn& column : table_.settings) {
        id += "," + column.key;
    }
    id += fmt::format("#{}", table_.figures.size());
    constexpr ImGuiTableFlags flags = ImGuiTableFlags_RowBg | ImGuiTableFlags_BordersInnerH | ImGuiTableFlags_ScrollX |
                                      ImGuiTableFlags_ScrollY | ImGuiTableFlags_Sortable |
                                      ImGuiTableFlags_SortTristate | ImGuiTableFlags_Resizable |
                                      ImGuiTableFlags_NoSavedSettings | ImGuiTableFlags_SizingFixedFit;
    const float least = 5 * ImGui::GetTextLineHeightWithSpacing();
    const ImVec2 size{0, std::max(least, ImGui::GetContentRegionAvail().y)};
    if (!ImGui::BeginTable(id.c_str(), static_cast<int>(table_.columns()), flags, size)) {
        return;
    }
    ImGui::TableSetupScrollFreeze(1, 1);
    for (std::size_t i = 0; i < table_.columns(); ++i) {
        ImGui::TableSetupColumn("", ImGuiTableColumnFlags_WidthFixed, 0, static_cast<ImGuiID>(i));
    }
    if (const ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs()) {
        sorted_ = specs->SpecsCount > 0;
        sorted_by_ = sorted_ ? specs->Specs[0].ColumnUserID : 0;
        descending_ = sorted_ && specs->Specs[0].SortDirection == ImGuiSortDirection_Descending;
    }
    draw_headers(ctx);
    std::vector<std::size_t> order;
    if (sorted_) {
        order = sorted_rows(table_, runs, sorted_by_, descending_, kind_);
    } else {
        for (std::size_t i = 0; i < runs.size(); ++i) {
            order.push_back(i);
        }
    }
    for (const std::size_t row : order) {
        ImGui::PushID(static_cast<int>(row));
        draw_row(ctx, runs[row], row);
        ImGui::PopID();
    }
    ImGui::EndTable();
}

}  // namespace moescope::panels
