#include "panels/ui/table_view.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_internal.h>
#include <numeric>

#include "panels/ui/figure_text.hpp"
#include "panels/ui/table_fit.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/view_parts.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr float kLeastName = 5;  ///< em, of the first column where there is little room

}  // namespace

void TableView::refresh(const ui::Context& ctx, const std::shared_ptr<const Table>& table) {
    if (table == table_ && ctx.text.code() == language_ && ctx.em == em_) {
        return;
    }
    table_ = table;
    language_ = ctx.text.code();
    em_ = ctx.em;
    texts_.clear();
    texts_.reserve(table->rows.size());
    widths_.clear();
    for (const Table::Column& column : table->columns) {
        // Beside its name the head has an arrow.
        widths_.push_back(ImGui::CalcTextSize(ctx.text(column.key)).x + 1.3f * ctx.em);
    }
    for (const Table::Row& row : table->rows) {
        std::vector<std::string> texts;
        for (std::size_t i = 0; i < table->columns.size(); ++i) {
            texts.push_back(cell_text(ctx.text, table->columns[i], row[i]));
            widths_[i] = std::max(widths_[i], ImGui::CalcTextSize(texts.back().c_str()).x + 0.3f * ctx.em);
        }
        texts_.push_back(std::move(texts));
    }
    order_.resize(table->rows.size());
    if (sorted_) {
        order_ = sorted_rows(*table_, column_, descending_);
    } else {
        std::iota(order_.begin(), order_.end(), std::size_t{0});
    }
}

/// No number is cut: the first column takes the rest of the room, and where there is too little the table scrolls
/// sideways.
bool TableView::begin(const ui::Context& ctx, const Spec& spec, ImVec2 size) {
    const float between = 2 * ImGui::GetStyle().CellPadding.x + 1;
    const float room = size.x - ImGui::GetStyle().ScrollbarSize;
    // Numbers that grow must not make another table with each digit.
    std::vector<float> steps;
    for (const float width : widths_) {
        steps.push_back(ui::stepped_width(width, 1.5f * ctx.em));
    }
    const ui::TableFit fit = ui::fit_table(steps, between, kLeastName * ctx.em, room);
    std::vector<ui::TableColumn> columns;
    // A table keeps the widths that it began with: other widths make another table.
    std::string id = std::string(spec.id) + (fit.scrolls ? ".wide" : "");
    for (std::size_t i = 0; i < widths_.size(); ++i) {
        const float width = steps[i] / ctx.em;
        columns.push_back({table_->columns[i].key, width, true, static_cast<ImGuiID>(i + 1)});
        id += '.' + std::to_string(std::lround(width));
    }
    if (!fit.scrolls) {
        columns.front().width = 1;
        columns.front().fixed = false;
    } else {
        columns.front().width = fit.first / ctx.em;
    }
    return ui::begin_table(ctx, id.c_str(), columns,
                           ImGuiTableFlags_ScrollY | ImGuiTableFlags_Sortable | ImGuiTableFlags_SortTristate |
                               (fit.scrolls ? ImGuiTableFlags_ScrollX : 0),
                           size);
}

void TableView::take_order() {
    ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs();
    if (specs == nullptr || !specs->SpecsDirty) {
        return;
    }
    specs->SpecsDirty = false;
    sorted_ = specs->SpecsCount > 0;
    if (!sorted_) {
        std::iota(order_.begin(), order_.end(), std::size_t{0});
        return;
    }
    column_ = specs->Specs[0].ColumnUserID - 1;
    descending_ = specs->Specs[0].SortDirection == ImGuiSortDirection_Descending;
    order_ = sorted_rows(*table_, column_, descending_);
}

std::optional<std::size_t> TableView::draw(ui::Context& ctx, const Spec& spec, ImVec2 size) {
    refresh(ctx, spec.table);
    std::optional<std::size_t> clicked;
    bool open_menu = false;
    ImGui::PushID(spec.id);
    if (begin(ctx, spec, size)) {
        take_order();
        const ImRect head = ImGui::TableGetCellBgRect(ImGui::GetCurrentTable(), 0);
        ImGuiListClipper clipper;
        clipper.Begin(static_cast<int>(order_.size()));
        while (clipper.Step()) {
            for (int line = clipper.DisplayStart; line < clipper.DisplayEnd; ++line) {
                const std::size_t row = order_[static_cast<std::size_t>(line)];
                ImGui::TableNextRow();
                ImGui::TableNextColumn();
                const bool chosen = spec.chosen && spec.chosen(table_->rows[row]);
                ImGui::PushID(static_cast<int>(row));
                if (ImGui::Selectable("###row", chosen, ImGuiSelectableFlags_SpanAllColumns) && spec.rows_clickable) {
                    clicked = row;
                }
                if (ImGui::IsItemHovered() && ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
                    about_ = table_->rows[row];
                    open_menu = true;
                }
                if (!spec.tip.empty()) {
                    ui::tooltip(spec.tip);
                }
                ImGui::PopID();
                ImGui::SameLine(0, 0);
                for (std::size_t i = 0; i < table_->columns.size(); ++i) {
                    if (i > 0) {
                        ImGui::TableNextColumn();
                    }
                    const std::string& text = texts_[row][i];
                    const float room = ImGui::GetContentRegionAvail().x;
                    if (i == 0) {
                        ui::text_elided(text, room);
                    } else {
                        // Numbers end at the right, so that their digits stand below each other.
                        const bool number = table_->columns[i].unit != Unit::text;
                        const float width = ImGui::CalcTextSize(text.c_str()).x;
                        if (number && width < room) {
                            ImGui::SetCursorPosX(ImGui::GetCursorPosX() + room - width);
                        }
                        ImGui::TextUnformatted(text.c_str());
                    }
                }
            }
        }
        const ImGuiTable* table = ImGui::GetCurrentTable();
        if (!open_menu && ImGui::IsMouseReleased(ImGuiMouseButton_Right) && ImGui::IsWindowHovered() &&
            table->OuterRect.Contains(ImGui::GetMousePos()) && ImGui::GetMousePos().y > head.Max.y) {
            about_.reset();
            open_menu = true;
        }
        ImGui::EndTable();
    }
    if (open_menu) {
        ImGui::OpenPopup("menu");
    }
    draw_menu(ctx, spec);
    ImGui::PopID();
    return clicked;
}

void TableView::draw_menu(ui::Context& ctx, const Spec& spec) {
    if (!ImGui::BeginPopup("menu")) {
        return;
    }
    if (spec.menu && about_ && about_->size() == table_->columns.size()) {
        spec.menu(*about_);
    }
    const auto make = [&]() -> std::function<std::string()> { return [table = table_] { return to_csv(*table); }; };
    draw_export_items(ctx, {.name = spec.file, .csv = make});
    ImGui::EndPopup();
}

}  // namespace moescope::panels
