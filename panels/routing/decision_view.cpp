#include "panels/routing/decision_view.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <imgui_internal.h>

#include "base/error.hpp"
#include "panels/routing/bar_view.hpp"
#include "panels/routing/show_expert.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/routing/token_colours.hpp"
#include "panels/routing/trace_head.hpp"
#include "panels/ui/table_fit.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/view_parts.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr float kBeside = 38;  ///< em, from which layers and detail stand beside one another

bool is_known(float value) {
    return std::isfinite(value);
}

/// A number of a column whose decimal points stand below each other: there is room for a sign and a digit before them.
void draw_number(const std::string& number) {
    const std::size_t point = std::min(number.find('.'), number.size());
    const float before = ImGui::CalcTextSize(number.c_str(), number.c_str() + point).x;
    ImGui::SetCursorPosX(ImGui::GetCursorPosX() + std::max(0.0f, ImGui::CalcTextSize("-0").x - before));
    ImGui::TextUnformatted(number.c_str());
}

const char* column_key(ExpertColumn column) {
    switch (column) {
        case ExpertColumn::expert:
            return "decision.expert";
        case ExpertColumn::logit:
            return "decision.logit";
        case ExpertColumn::score:
            return "decision.score";
        case ExpertColumn::bias:
            return "decision.bias";
        case ExpertColumn::selection:
            return "decision.selection";
        case ExpertColumn::group:
            return "decision.group";
        case ExpertColumn::weight:
            return "decision.weight";
    }
    return "decision.expert";
}

/// "0.83 nats (40 % of ln 64)"
std::string entropy_text(const ui::Language& text, float entropy, int experts) {
    if (!is_known(entropy)) {
        return text("decision.unknown");
    }
    if (experts < 2) {
        return text.format("effect.nats", {{"n", score_text(text, entropy)}});
    }
    return text.format("decision.entropy.of",
                       {{"n", score_text(text, entropy)},
                        {"share", ui::percent_text(text, static_cast<double>(entropy) / std::log(experts))},
                        {"experts", std::to_string(experts)}});
}

}  // namespace

void DecisionView::refresh(const history::RunRouting& routing, std::uint64_t token, const DecisionCache::Place& place) {
    const Key key{routing.trace.get(), token, routing.trace->bytes(), place.chunk != nullptr};
    if (plan_of_ != routing.run) {
        plan_of_ = routing.run;
        plan_ = nullptr;
        try {
            routing::Interventions changes = routing::interventions_from_json(
                routing.interventions.is_array() ? routing.interventions : nlohmann::json::array());
            changes.replay = {};  // its ids are in another trace
            plan_ = std::make_shared<const routing::InterventionPlan>(changes, routing.trace->spec());
        } catch (const base::Error&) {
            plan_ = nullptr;
        }
    }
    if (key == key_) {
        return;
    }
    const bool other = key.trace != key_.trace || key.token != key_.token;
    key_ = key;
    // A trace that grows says nothing new of a token whose scores are there.
    if (other || scores_.empty()) {
        scores_ = routing.trace->scores(token).value_or(std::vector<routing::LayerDecision>());
    }
    const routing::Chunk nothing;
    rows_ = layer_rows(routing.trace->spec(), place.chunk != nullptr ? *place.chunk : nothing, place.at, scores_);
    detail_due_ = true;
}

void DecisionView::refresh_detail(const ui::Context& ctx, const history::RunRouting& routing, std::size_t place) {
    const routing::RouterSpec& spec = routing.trace->spec();
    const int layer = place < spec.routed_layers.size() ? spec.routed_layers[place] : -1;
    if (!detail_due_ && layer == detail_layer_ && detail_language_ == ctx.text.code() && dark_ == ctx.theme.dark) {
        return;
    }
    detail_due_ = false;
    detail_layer_ = layer;
    detail_language_ = ctx.text.code();
    dark_ = ctx.theme.dark;
    detail_.reset();
    const auto decision = std::find_if(scores_.begin(), scores_.end(),
                                       [&](const routing::LayerDecision& one) { return one.layer == layer; });
    if (decision == scores_.end() || (decision->scores.empty() && decision->selection.empty())) {
        return;
    }
    detail_ = layer_detail(spec, *decision, plan_ ? plan_->layer(layer) : nullptr);
    order_ = sorted_experts(*detail_, sorted_by_, descending_);
    picture_ = {};
    picture_.title = ctx.text.format("decision.picture", {{"layer", std::to_string(layer)}});
    picture_.x_name = ctx.text("decision.expert");
    BarPicture::Series score{ctx.text("decision.score"), ui::packed(ctx.theme.series_color(1)), {}, {}, {}},
        selection{ctx.text("decision.selection"), ui::packed(ctx.theme.series_color(0)), {}, {}, {}};
    for (const ExpertRow& row : detail_->experts) {
        picture_.labels.push_back(row.expert);
        score.values.push_back(row.score);
        selection.values.push_back(row.selection);
        picture_.marked.push_back(row.rank >= 0 ? 1 : 0);
        picture_.hatched.push_back(row.masked || row.knocked_out ? 1 : 0);
    }
    picture_.series.push_back(std::move(score));
    // What the choice was made by stands beside what the weights are made of.
    if (detail_->has_bias) {
        picture_.series.push_back(std::move(selection));
    } else {
        picture_.y_name = ctx.text("decision.score");
    }
    if (detail_->last_chosen >= 0) {
        const auto at = static_cast<std::size_t>(detail_->last_chosen);
        picture_.levels.push_back({detail_->experts[at].selection, ctx.text("decision.last_chosen")});
    }
    const std::size_t width =
        detail_->groups.empty() ? 0 : detail_->experts.size() / std::max<std::size_t>(1, detail_->groups.size());
    for (const GroupRow& group : detail_->groups) {
        const std::string name =
            ctx.text.format(group.kept ? "decision.group.short" : "decision.group.masked_short",
                            {{"group", std::to_string(group.group)}, {"score", score_text(ctx.text, group.score)}});
        picture_.parts.push_back({(static_cast<std::size_t>(group.group) + 1) * width, name});
    }
}

/// The chosen experts of a row: number, colour and weight of each, as many as there is room for.
void DecisionView::draw_chosen(ui::Context& ctx, const LayerRow& row) {
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float room = ImGui::GetContentRegionAvail().x, line = ImGui::GetTextLineHeight();
    const float box = 0.5f * ctx.em, gap = 0.25f * ctx.em;
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    float largest = 0;
    for (const ChosenExpert& one : row.chosen) {
        largest = std::max(largest, is_known(one.weight) ? one.weight : 0);
    }
    const ImVec2 mouse = ImGui::GetMousePos();
    float x = at.x;
    for (std::size_t i = 0; i < row.chosen.size(); ++i) {
        const ChosenExpert& one = row.chosen[i];
        const std::string number = std::to_string(one.expert);
        const float width = box + gap + ImGui::CalcTextSize(number.c_str()).x + 0.6f * ctx.em;
        const std::string rest = fmt::format("+{}", row.chosen.size() - i);
        const bool last = i + 1 == row.chosen.size();
        if (x + width + (last ? 0 : ImGui::CalcTextSize(rest.c_str()).x) > at.x + room && i > 0) {
            draw.AddText({x, at.y}, ImGui::GetColorU32(ctx.theme.text_dim), rest.c_str());
            break;
        }
        const bool chosen = ctx.selection.expert == one.expert && ctx.selection.layer == row.layer;
        draw.AddRectFilled({x, at.y + (line - box) / 2}, {x + box, at.y + (line + box) / 2},
                           expert_colour(ctx.theme, one.expert), 2);
        draw.AddText({x + box + gap, at.y}, ImGui::GetColorU32(chosen ? ctx.theme.accent : ctx.theme.text),
                     number.c_str());
        if (is_known(one.weight) && largest > 0) {
            const float full = width - 0.5f * ctx.em, part = full * std::max(0.0f, one.weight) / largest;
            draw.AddRectFilled({x, at.y + line}, {x + full, at.y + line + 2}, ImGui::GetColorU32(ctx.theme.grid));
            draw.AddRectFilled({x, at.y + line}, {x + part, at.y + line + 2}, expert_colour(ctx.theme, one.expert));
        }
        if (mouse.x >= x && mouse.x < x + width && mouse.y >= at.y - 2 && mouse.y < at.y + line + 3 &&
            ImGui::IsWindowHovered()) {
            if (ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
                menu_layer_ = row.layer;
                menu_expert_ = one.expert;
                open_menu_ = true;
            } else if (ImGui::IsMouseReleased(ImGuiMouseButton_Left)) {
                toggle_expert(ctx.selection, row.layer, one.expert);
            } else if (!ImGui::IsMouseDown(ImGuiMouseButton_Right) && ui::begin_tooltip()) {
                ImGui::TextUnformatted(
                    ctx.text
                        .format("decision.chosen.tip", {{"expert", number},
                                                        {"rank", std::to_string(i + 1)},
                                                        {"weight", score_text(ctx.text, one.weight)}})
                        .c_str());
                if (row.rounded) {
                    ui::text_dim(ctx, ctx.text(rounded_key(row.margin)));
                }
                ImGui::EndTooltip();
            }
        }
        x += width;
    }
    ImGui::Dummy({std::max(1.0f, std::min(room, x - at.x)), line + 2});
}

void DecisionView::draw_layer_row(ui::Context& ctx, const history::RunRouting& routing, const LayerRow& row,
                                  bool selected) {
    ImGui::PushID(row.layer);
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    if (ImGui::Selectable((std::to_string(row.layer) + "###layer").c_str(), selected,
                          ImGuiSelectableFlags_SpanAllColumns | ImGuiSelectableFlags_AllowOverlap)) {
        ctx.selection.layer = row.layer;
    }
    if (selected && shown_layer_ != row.layer) {
        shown_layer_ = row.layer;
        ImGui::SetScrollHereY();
    }
    ImGui::TableNextColumn();
    if (row.chosen.empty()) {
        ui::text_dim(ctx, ui::elided(ctx.text(row.known ? "decision.no_ids" : "decision.unknown_here"),
                                     ImGui::GetContentRegionAvail().x));
    } else {
        draw_chosen(ctx, row);
    }
    ImGui::TableNextColumn();
    if (row.by_token) {
        ui::text_dim(ctx, ui::elided(ctx.text("decision.by_token"), ImGui::GetContentRegionAvail().x));
        ui::tooltip(ctx.text("decision.by_token.help"));
    } else {
        draw_number(margin_text(ctx.text, row.margin, row.rounded));
        if (row.rounded && is_known(row.margin)) {
            ui::tooltip(ctx.text("decision.rounded"));
        }
    }
    ImGui::TableNextColumn();
    draw_number(score_text(ctx.text, row.entropy));
    if (ui::tooltip_due()) {
        ui::tooltip(entropy_text(ctx.text, row.entropy, routing.trace->spec().experts));
    }
    if (routing.trace->spec().groups > 1) {
        ImGui::TableNextColumn();
        std::string groups;
        for (const std::int32_t group : row.groups_kept) {
            groups += (groups.empty() ? "" : " ") + std::to_string(group);
        }
        ui::text_elided(groups.empty() ? "\u2013" : groups, ImGui::GetContentRegionAvail().x);
    }
    ImGui::PopID();
}

void DecisionView::draw_layers(ui::Context& ctx, const history::RunRouting& routing, ImVec2 size) {
    std::vector<ui::TableColumn> columns = {{"decision.layer", 2.9f, true},
                                            {"decision.experts", 1},
                                            {"decision.margin", 5, true},
                                            {"decision.entropy", 4, true}};
    if (routing.trace->spec().groups > 1) {
        columns.push_back({"decision.groups", 4.3f, true});
    }
    if (!ui::begin_table(ctx, "decision.layers", columns, ImGuiTableFlags_ScrollY, size)) {
        return;
    }
    const std::size_t selected = selected_place(ctx.selection, routing.trace->spec());
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(rows_.size()));
    if (selected < rows_.size() && shown_layer_ != rows_[selected].layer) {
        clipper.IncludeItemByIndex(static_cast<int>(selected));
    }
    while (clipper.Step()) {
        for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
            const auto place = static_cast<std::size_t>(i);
            draw_layer_row(ctx, routing, rows_[place], place == selected);
        }
    }
    ImGui::EndTable();
}

/// Words about the layer's decision, which do not need the scores of all experts.
void DecisionView::draw_summary(const ui::Context& ctx, const history::RunRouting& routing, const LayerRow& row) const {
    const routing::RouterSpec& spec = routing.trace->spec();
    std::string line;
    const auto add = [&](const std::string& part) { line += (line.empty() ? "" : " \u00b7 ") + part; };
    if (is_known(row.margin)) {
        add(detail_ && detail_->last_chosen >= 0 && detail_->first_left >= 0
                ? ctx.text.format("decision.margin.between", {{"n", margin_text(ctx.text, row.margin, row.rounded)},
                                                              {"last", std::to_string(detail_->last_chosen)},
                                                              {"next", std::to_string(detail_->first_left)}})
                : ctx.text.format("decision.margin.is", {{"n", margin_text(ctx.text, row.margin, row.rounded)}}));
    }
    if (is_known(row.entropy)) {
        add(ctx.text.format("decision.entropy.is", {{"entropy", entropy_text(ctx.text, row.entropy, spec.experts)}}));
    }
    if (row.by_token) {
        add(ctx.text("decision.by_token.help"));
    }
    if (spec.shared_experts > 0) {
        add(ctx.text.format("decision.shared", {{"n", std::to_string(spec.shared_experts)}}));
    }
    if (!line.empty()) {
        ui::text_wrapped(line, ctx.theme.text_dim);
    }
}

void DecisionView::draw_picture(ui::Context& ctx, ImVec2 size) {
    picture_min_ = ImGui::GetCursorScreenPos();
    picture_max_ = {picture_min_.x + (size.x > 0 ? size.x : ImGui::GetContentRegionAvail().x), picture_min_.y + size.y};
    const int selected = ctx.selection.layer == detail_layer_ || ctx.selection.layer < 0 ? ctx.selection.expert : -1;
    bool menu = false;
    const BarHit hit = draw_bars(ctx, "###decision.picture", size, picture_, selected, &menu);
    if (menu) {
        menu_layer_ = detail_layer_;
        menu_expert_ = -1;
        open_menu_ = true;
    }
    if (!hit.hovered) {
        return;
    }
    const ExpertRow& row = detail_->experts[*hit.hovered];
    if (hit.clicked) {
        toggle_expert(ctx.selection, detail_layer_, row.expert);
    }
    if (hit.menu) {
        menu_layer_ = detail_layer_;
        menu_expert_ = row.expert;
        open_menu_ = true;
    }
    if (!ImGui::IsMouseDown(ImGuiMouseButton_Right) && ui::begin_tooltip()) {
        ImGui::TextUnformatted(
            ctx.text
                .format("load.cell", {{"layer", std::to_string(detail_layer_)}, {"expert", std::to_string(row.expert)}})
                .c_str());
        if (ui::begin_properties("values")) {
            const auto value = [&](const char* key, float number) {
                if (is_known(number)) {
                    ui::property(ctx, ctx.text(key), ctx.text.number(static_cast<double>(number), 6));
                }
            };
            value("decision.logit", row.logit);
            value("decision.score", row.score);
            if (detail_->has_bias) {
                value("decision.bias", row.bias);
                value("decision.selection", row.selection);
            }
            value("decision.weight", row.weight);
            ui::end_properties();
        }
        if (row.masked) {
            ui::text_dim(ctx, ctx.text("decision.masked"));
        }
        if (row.knocked_out) {
            ui::text_dim(ctx, ctx.text("decision.knocked_out"));
        }
        ImGui::EndTooltip();
    }
}

namespace {

/// What stands in a cell, beside the colour of an expert.
std::string cell_text(const ui::Language& text, const ExpertRow& row, ExpertColumn column) {
    switch (column) {
        case ExpertColumn::expert:
            return std::to_string(row.expert) + (row.knocked_out ? std::string(" ") + ui::icon::cross : "") +
                   (row.forced ? std::string(" ") + ui::icon::pin : "");
        case ExpertColumn::logit:
            return score_text(text, row.logit);
        case ExpertColumn::score:
            return score_text(text, row.score);
        case ExpertColumn::bias:
            return score_text(text, row.bias);
        case ExpertColumn::selection:
            return score_text(text, row.selection);
        case ExpertColumn::group:
            return row.masked ? text.format("decision.group.masked", {{"group", std::to_string(row.group)}})
                              : std::to_string(row.group);
        case ExpertColumn::weight:
            return row.rank < 0 ? std::string()
                                : std::string(ui::icon::check) + " " + std::to_string(row.rank + 1) +
                                      (is_known(row.weight) ? " \u00b7 " + score_text(text, row.weight) : "");
    }
    return {};
}

/// Width of a column that cuts neither its name nor any of its texts, em.
float least_width(const ui::Context& ctx, const std::vector<ExpertRow>& rows, ExpertColumn column) {
    const float colour = column == ExpertColumn::expert ? 0.8f * ctx.em : 0;
    float widest = ImGui::CalcTextSize(ctx.text.label(column_key(column)), nullptr, true).x;
    for (const ExpertRow& row : rows) {
        widest = std::max(widest, colour + ImGui::CalcTextSize(cell_text(ctx.text, row, column).c_str()).x);
    }
    // Numbers that grow must not make another table with each digit.
    return ui::stepped_width(widest + 0.1f * ctx.em, 0.5f * ctx.em) / ctx.em;
}

}  // namespace

void DecisionView::draw_expert_row(ui::Context& ctx, const ExpertRow& row, const std::vector<ExpertColumn>& columns) {
    ImGui::PushID(row.expert);
    ImGui::TableNextRow();
    if (row.rank >= 0) {
        ImGui::TableSetBgColor(ImGuiTableBgTarget_RowBg0, ui::packed(ctx.theme.accent, 0.13f));
    }
    const bool out = row.masked || row.knocked_out;
    ImGui::PushStyleColor(ImGuiCol_Text, out ? ctx.theme.text_dim : ctx.theme.text);
    for (const ExpertColumn column : columns) {
        ImGui::TableNextColumn();
        if (column == ExpertColumn::expert) {
            const bool selected = ctx.selection.expert == row.expert && ctx.selection.layer == detail_layer_;
            if (ImGui::Selectable("###expert", selected,
                                  ImGuiSelectableFlags_SpanAllColumns | ImGuiSelectableFlags_AllowOverlap)) {
                toggle_expert(ctx.selection, detail_layer_, row.expert);
            }
            if (ImGui::IsItemHovered() && ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
                menu_layer_ = detail_layer_;
                menu_expert_ = row.expert;
                open_menu_ = true;
            }
            ImGui::SameLine(0, 0);
            const float box = 0.5f * ctx.em, line = ImGui::GetTextLineHeight();
            const ImVec2 at = ImGui::GetCursorScreenPos();
            ImGui::GetWindowDrawList()->AddRectFilled({at.x, at.y + (line - box) / 2},
                                                      {at.x + box, at.y + (line + box) / 2},
                                                      expert_colour(ctx.theme, row.expert), 2);
            ImGui::SetCursorScreenPos({at.x + box + 0.3f * ctx.em, at.y});
        }
        const bool number = column == ExpertColumn::logit || column == ExpertColumn::score ||
                            column == ExpertColumn::bias || column == ExpertColumn::selection;
        const std::string cell = cell_text(ctx.text, row, column);
        if (number) {
            draw_number(cell);
        } else {
            ImGui::TextUnformatted(cell.c_str());
        }
    }
    ImGui::PopStyleColor();
    ImGui::PopID();
}

void DecisionView::draw_experts(ui::Context& ctx, ImVec2 size) {
    // What was chosen stands beside its number: the last columns may lie out of sight.
    std::vector<ExpertColumn> shown = {ExpertColumn::expert, ExpertColumn::weight};
    if (detail_->has_logits) {
        shown.push_back(ExpertColumn::logit);
    }
    shown.push_back(ExpertColumn::score);
    if (detail_->has_bias) {
        shown.insert(shown.end(), {ExpertColumn::bias, ExpertColumn::selection});
    }
    if (!detail_->groups.empty()) {
        shown.push_back(ExpertColumn::group);
    }
    std::vector<ui::TableColumn> columns;
    float wide = ImGui::GetStyle().ScrollbarSize;
    for (const ExpertColumn column : shown) {
        const float width = column == ExpertColumn::expert      ? 3.6f
                            : column == ExpertColumn::selection ? 5.2f
                            : column == ExpertColumn::weight    ? 6.6f
                            : column == ExpertColumn::group     ? 5.0f
                                                                : 5.0f;
        columns.push_back({column_key(column), width, true, static_cast<ImGuiID>(column) + 1});
        wide += width * ctx.em + 2 * ImGui::GetStyle().CellPadding.x + 1;
    }
    // As wide as its numbers; in a narrow place it scrolls to the side. Without a height of its own it has all its
    // rows, and what it stands in scrolls.
    const bool whole = size.y <= 0;
    std::string id = whole ? "decision.experts.whole" : "decision.experts";
    if (wide > ImGui::GetContentRegionAvail().x) {
        float sum = 0, saved = 0;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const float width = std::min(columns[i].width, least_width(ctx, detail_->experts, shown[i]));
            saved += columns[i].width - width;
            columns[i].width = width;
            sum += width;
        }
        wide -= saved * ctx.em;
        id += ".narrow" + std::to_string(std::lround(10 * sum));  // a table keeps the widths that it began with
    }
    ImGuiTableFlags flags = ImGuiTableFlags_Sortable | ImGuiTableFlags_SortTristate;
    flags |= wide > ImGui::GetContentRegionAvail().x ? ImGuiTableFlags_ScrollX : 0;
    if (whole) {
        const float row = ImGui::GetTextLineHeight() + 2 * ImGui::GetStyle().CellPadding.y;
        size.y = (static_cast<float>(order_.size()) + 1) * row + ImGui::GetStyle().ScrollbarSize + 4;
    } else {
        flags |= ImGuiTableFlags_ScrollY;
    }
    if (!ui::begin_table(ctx, id.c_str(), columns, flags, size)) {
        return;
    }
    if (ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs(); specs != nullptr && specs->SpecsDirty) {
        // Until a person sorts it: the best first.
        const bool sorted = specs->SpecsCount > 0;
        sorted_by_ = sorted ? static_cast<ExpertColumn>(specs->Specs[0].ColumnUserID - 1) : ExpertColumn::selection;
        descending_ = !sorted || specs->Specs[0].SortDirection == ImGuiSortDirection_Descending;
        order_ = sorted_experts(*detail_, sorted_by_, descending_);
        specs->SpecsDirty = false;
    }
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(order_.size()));
    while (clipper.Step()) {
        for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
            draw_expert_row(ctx, detail_->experts[order_[static_cast<std::size_t>(i)]], shown);
        }
    }
    ImGui::EndTable();
}

bool DecisionView::draw_detail(ui::Context& ctx, const history::RunRouting& routing, const ReadAgain& again,
                               ImVec2 size) {
    bool wanted = false;
    if (!ImGui::BeginChild("###decision.detail", size, size.y <= 0 ? ImGuiChildFlags_AutoResizeY : 0)) {
        ImGui::EndChild();
        return false;
    }
    const auto row =
        std::find_if(rows_.begin(), rows_.end(), [&](const LayerRow& one) { return one.layer == detail_layer_; });
    if (row != rows_.end()) {
        draw_summary(ctx, routing, *row);
    }
    if (!detail_) {
        if (row != rows_.end() && row->by_token) {
            ImGui::EndChild();
            return false;  // there are none
        }
        const char* label = again.possible ? ctx.text.label("decision.read_again") : nullptr;
        wanted = ui::banner(ctx, ui::Tone::neutral,
                            again.possible || again.why_not.empty()
                                ? std::string(ctx.text("decision.no_scores"))
                                : std::string(ctx.text("decision.no_scores")) + " " + again.why_not,
                            label);
        ImGui::EndChild();
        return wanted;
    }
    const float room = ImGui::GetContentRegionAvail().y;
    const float picture = std::clamp(0.5f * room, 9 * ctx.em, 16 * ctx.em);
    draw_picture(ctx, {0, picture});
    // One thing scrolls: the table where there is room for some of its rows, else all that it stands in.
    const float left = ImGui::GetContentRegionAvail().y;
    draw_experts(ctx, {0, size.y > 0 && left >= 9 * ctx.em ? left : 0});
    ImGui::EndChild();
    return wanted;
}

std::string DecisionView::name_of_file(const history::RunRouting& routing, const char* what) const {
    return fmt::format("routing-{}-token-{}-{}", routing.run, key_.token, what);
}

void DecisionView::draw_menus(ui::Context& ctx, const history::RunRouting& routing) {
    if (open_menu_) {
        open_menu_ = false;
        ImGui::OpenPopup("###decision.menu");
    }
    if (!ImGui::BeginPopup("###decision.menu")) {
        return;
    }
    if (menu_expert_ >= 0) {
        draw_expert_items(ctx, menu_layer_, menu_expert_, model_of(ctx.snapshot, routing));
    }
    if (detail_) {
        draw_export_items(ctx, {.name = name_of_file(routing, fmt::format("layer-{}", detail_layer_).c_str()),
                                .csv = [&] { return [detail = *detail_] { return detail_csv(detail); }; },
                                .svg = [&] { return [picture = picture_] { return to_svg(picture); }; },
                                .min = picture_min_,
                                .max = picture_max_});
        ImGui::Separator();
    }
    if (ImGui::MenuItem(ctx.text.label("decision.save_layers"))) {
        ctx.save_as(name_of_file(routing, "layers") + ".csv", [rows = rows_] { return decisions_csv(rows); });
    }
    if (ImGui::MenuItem(ctx.text.label("decision.copy_layers"))) {
        ctx.copy_text([rows = rows_] { return decisions_csv(rows); });
    }
    ImGui::EndPopup();
}

bool DecisionView::draw(ui::Context& ctx, const history::RunRouting& routing, std::uint64_t token,
                        const DecisionCache::Place& place, const ReadAgain& again, ImVec2 size) {
    refresh(routing, token, place);
    refresh_detail(ctx, routing, selected_place(ctx.selection, routing.trace->spec()));
    bool wanted = false;
    if (ImGui::BeginChild("###decision", size)) {
        const ImVec2 room = ImGui::GetContentRegionAvail();
        if (room.x >= kBeside * ctx.em) {
            const float left = std::clamp(0.5f * room.x, 16 * ctx.em, 34 * ctx.em);
            draw_layers(ctx, routing, {left, std::max(8 * ctx.em, room.y)});
            ImGui::SameLine();
            wanted = draw_detail(ctx, routing, again, {0, std::max(8 * ctx.em, room.y)});
        } else {
            // One below the other; what does not fit scrolls.
            const float rows = (static_cast<float>(std::max<std::size_t>(1, rows_.size())) + 1.6f) *
                               (ImGui::GetTextLineHeightWithSpacing() + 4);
            draw_layers(ctx, routing, {0, std::min(rows, std::max(7 * ctx.em, 0.4f * room.y))});
            wanted = draw_detail(ctx, routing, again, {0, 0});
        }
        if (ImGui::IsWindowHovered(ImGuiHoveredFlags_ChildWindows) && ImGui::IsMouseReleased(ImGuiMouseButton_Right) &&
            !open_menu_ && !ImGui::IsPopupOpen("###decision.menu")) {
            menu_expert_ = -1;
            open_menu_ = true;
        }
        draw_menus(ctx, routing);
    }
    ImGui::EndChild();
    return wanted;
}

}  // namespace moescope::panels
