// The middle of the probe panel: rates with intervals, and the paired tests.
#include <algorithm>
#include <cmath>

#include "panels/answers/probe.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

std::string percent(const ui::Context& ctx, double fraction) {
    return ctx.text.number(100 * fraction, 2) + " %";
}

/// A difference of rates in percentage points with its sign.
std::string points(const ui::Context& ctx, double difference) {
    const double value = std::round(1000 * difference) / 10;
    return (value > 0 ? "+" : "") + ctx.text.number(value, 3);
}

std::string p_text(const ui::Context& ctx, const std::optional<double>& p) {
    if (!p) {
        return "-";
    }
    return *p < 0.0001 ? "< 0.0001" : ctx.text.number(*p, 2);
}

}  // namespace

/// The measure on show; empty when the statistics have none.
const std::string& ProbePanel::measure() const {
    static const std::string kNone;
    const auto at = static_cast<std::size_t>(std::max(0, measure_));
    return at < statistics_.measures.size() ? statistics_.measures[at] : kNone;
}

void ProbePanel::draw_middle(ui::Context& ctx) {
    if (statistics_.cells.empty()) {
        ui::empty_state(ctx, ui::icon::hourglass, "probe.no_statistics");
        return;
    }
    // Another run may have other measures than the one that was on show.
    measure_ = std::clamp(measure_, 0, std::max(0, static_cast<int>(statistics_.measures.size()) - 1));
    if (statistics_.measures.size() > 1) {
        std::vector<const char*> labels;
        for (const std::string& measure : statistics_.measures) {
            labels.push_back(ctx.text.label("probe.measure." + measure));
        }
        ui::segmented(ctx, "probe.measure", labels, measure_);
        ImGui::SameLine();
        ui::help_mark(ctx, "probe.measure_help");
    }
    draw_matrix(ctx);
    draw_tests(ctx);
    draw_contrasts(ctx);
}

void ProbePanel::draw_matrix(ui::Context& ctx) {
    const int columns = 1 + static_cast<int>(statistics_.models.size() * statistics_.languages.size());
    if (columns < 2 || columns > 60 ||
        !ImGui::BeginTable("###probe.matrix", columns,
                           ImGuiTableFlags_BordersInnerV | ImGuiTableFlags_SizingStretchSame)) {
        return;
    }
    ImGui::TableSetupColumn("", ImGuiTableColumnFlags_WidthStretch, 2.0f);
    for (int i = 1; i < columns; ++i) {
        ImGui::TableSetupColumn("", ImGuiTableColumnFlags_WidthStretch, 1.0f);
    }
    draw_matrix_head(ctx);
    for (const char* group : {"state", "mirror"}) {
        draw_matrix_row(ctx, group, "");
        for (const auto& [topic, titles] : statistics_.topics) {
            if (std::any_of(statistics_.cells.begin(), statistics_.cells.end(),
                            [&](const ProbeCell& cell) { return cell.group == group && cell.topic == topic; })) {
                draw_matrix_row(ctx, group, topic);
            }
        }
    }
    ImGui::EndTable();
}

void ProbePanel::draw_matrix_head(ui::Context& ctx) {
    ImGui::TableNextRow(ImGuiTableRowFlags_Headers);
    ImGui::TableNextColumn();
    ui::text_dim(ctx, ctx.text("probe.topic"));
    for (const std::string& model : statistics_.models) {
        for (const std::string& language : statistics_.languages) {
            ImGui::TableNextColumn();
            ui::text_elided(short_title(ctx, model), ImGui::GetContentRegionAvail().x);
            ui::text_colored(language == "zh" ? ctx.theme.chinese : ctx.theme.english,
                             ctx.text("probe.language." + language));
        }
    }
}

void ProbePanel::draw_matrix_row(ui::Context& ctx, const std::string& group, const std::string& topic) {
    ImGui::PushID((group + "/" + topic).c_str());
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    const bool total = topic.empty();
    const float height = ImGui::GetTextLineHeight() + 0.5f * ctx.em;
    ImGui::SetCursorPosY(ImGui::GetCursorPosY() + (height - ImGui::GetTextLineHeight()) / 2);
    if (total) {
        ImGui::PushFont(ctx.bold, 0);
        ui::text_elided(ctx.text("probe.group." + group), ImGui::GetContentRegionAvail().x);
        ImGui::PopFont();
    } else {
        ImGui::Indent(0.7f * ctx.em);
        ui::text_elided(topic_title(ctx, topic), ImGui::GetContentRegionAvail().x);
        ImGui::Unindent(0.7f * ctx.em);
    }
    for (const std::string& model : statistics_.models) {
        for (const std::string& language : statistics_.languages) {
            ImGui::TableNextColumn();
            ImGui::PushID((model + "/" + language).c_str());
            const ProbeCell* cell = statistics_.find(group, topic, model, language);
            draw_cell(ctx, cell, total);
            ImGui::PopID();
        }
    }
    ImGui::PopID();
}

void ProbePanel::draw_cell(ui::Context& ctx, const ProbeCell* cell, bool total) {
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const ImVec2 size{std::max(1.0f, ImGui::GetContentRegionAvail().x), ImGui::GetTextLineHeight() + 0.5f * ctx.em};
    const bool clicked = ImGui::InvisibleButton("###cell", size, ImGuiButtonFlags_EnableNav);
    if (!cell) {
        return;
    }
    const auto found = cell->rates.find(measure());
    if (found == cell->rates.end()) {
        return;
    }
    const ProbeRate& rate = found->second;
    const ImVec2 end{at.x + size.x, at.y + size.y};
    ImDrawList* list = ImGui::GetWindowDrawList();
    // The ground is weak enough to leave the text its contrast at every rate, in both themes.
    if (cell->n > 0 && rate.estimate) {
        list->AddRectFilled(
            at, end,
            ui::packed(ctx.theme.accent, 0.05f + 0.37f * static_cast<float>(std::clamp(*rate.estimate, 0.0, 1.0))), 3);
    }
    const std::string text = cell->n == 0 ? "-" : std::to_string(rate.count) + "/" + std::to_string(cell->n);
    ImFont* font = total ? ctx.bold : ImGui::GetFont();
    const ImVec2 extent = font->CalcTextSizeA(ImGui::GetFontSize(), FLT_MAX, 0, text.c_str());
    list->AddText(font, ImGui::GetFontSize(), {at.x + (size.x - extent.x) / 2, at.y + 0.02f * ctx.em},
                  ui::packed(cell->n == 0 ? ctx.theme.text_dim : ctx.theme.text), text.c_str());
    if (cell->n > 0 && rate.estimate) {
        const float left = at.x + 0.4f * ctx.em, width = size.x - 0.8f * ctx.em, y = end.y - 0.25f * ctx.em;
        const auto x = [&](double value) { return left + width * static_cast<float>(std::clamp(value, 0.0, 1.0)); };
        list->AddLine({left, y}, {left + width, y}, ui::packed(ctx.theme.text_dim, 0.35f), 1);
        list->AddLine({x(rate.low), y}, {x(rate.high), y}, ui::packed(ctx.theme.text, 0.9f), 0.16f * ctx.em);
        list->AddCircleFilled({x(*rate.estimate), y}, 0.18f * ctx.em, ui::packed(ctx.theme.text, 1));
    }
    const bool chosen = filter_.item.empty() && filter_.group == cell->group && filter_.topic == cell->topic &&
                        filter_.model == cell->model && filter_.language == cell->language;
    if (chosen || ImGui::IsItemHovered() || ImGui::IsItemFocused()) {
        list->AddRect(at, end, ui::packed(ctx.theme.accent, chosen ? 1.0f : 0.6f), 3, chosen ? 2.0f : 1.0f);
    }
    if (ImGui::IsItemHovered()) {
        cell_tooltip(ctx, *cell);
    }
    if (clicked) {
        filter_ = {cell->group, cell->topic, "", cell->model, cell->language};
        filter_chosen_ = true;
        answer_ = 0;
        collect_answers();
    }
}

void ProbePanel::cell_tooltip(ui::Context& ctx, const ProbeCell& cell) {
    const auto found = cell.rates.find(measure());
    if (found == cell.rates.end()) {
        return;
    }
    const ProbeRate& rate = found->second;
    if (!ImGui::BeginTooltip()) {
        return;
    }
    ImGui::PushTextWrapPos(26 * ctx.em);
    const std::string row = cell.topic.empty()
                                ? ctx.text("probe.group." + cell.group)
                                : topic_title(ctx, cell.topic) + " · " + ctx.text("probe.group." + cell.group);
    ImGui::TextUnformatted(row.c_str());
    ui::text_dim(ctx, side_title(ctx, {cell.model, cell.language}));
    ImGui::Separator();
    if (rate.estimate) {
        ImGui::TextUnformatted(ctx.text
                                   .format(rate.bootstrap ? "probe.rate_bootstrap" : "probe.rate_wilson",
                                           {{"measure", ctx.text("probe.measure." + measure())},
                                            {"rate", percent(ctx, *rate.estimate)},
                                            {"low", percent(ctx, rate.low)},
                                            {"high", percent(ctx, rate.high)}})
                                   .c_str());
    }
    if (cell.missing > 0 && rate.worst && rate.best) {
        ImGui::TextUnformatted(ctx.text
                                   .format("probe.bounds", {{"n", std::to_string(cell.missing)},
                                                            {"worst", percent(ctx, *rate.worst)},
                                                            {"best", percent(ctx, *rate.best)}})
                                   .c_str());
    }
    if (cell.pending > 0) {
        ImGui::TextUnformatted(ctx.text.format("probe.pending", {{"n", std::to_string(cell.pending)}}).c_str());
    }
    for (const auto& [name, number] : cell.deliveries) {
        if (number > 0) {
            ImGui::TextUnformatted(
                (std::string(ctx.text("probe.delivery." + name)) + ": " + std::to_string(number)).c_str());
        }
    }
    if (cell.descriptive_only) {
        ui::text_dim(ctx, ctx.text("probe.descriptive"));
    }
    ui::text_dim(ctx, ctx.text("probe.click_cell"));
    ImGui::PopTextWrapPos();
    ImGui::EndTooltip();
}

void ProbePanel::draw_tests(ui::Context& ctx) {
    const std::string& shown = measure();
    if (std::none_of(statistics_.tests.begin(), statistics_.tests.end(),
                     [&](const ProbeTest& t) { return t.measure == shown && t.n > 0; })) {
        return;
    }
    ui::section(ctx, ctx.text("probe.tests"), ctx.text("probe.tests_note"));
    if (!ui::begin_table(ctx, "###probe.tests",
                         {{"probe.comparison", 3.4f},
                          {"probe.group", 1.0f},
                          {"probe.pairs", 0.7f},
                          {"probe.only_first", 0.6f},
                          {"probe.only_second", 0.6f},
                          {"probe.difference", 2.2f},
                          {"probe.p", 1.1f},
                          {"probe.p_holm", 1.2f}})) {
        return;
    }
    for (const ProbeTest& test : statistics_.tests) {
        if (test.measure != shown || test.n == 0) {
            continue;
        }
        ImGui::TableNextRow();
        ImGui::TableNextColumn();
        const std::string title =
            test.kind == "models"
                ? ctx.text.format("probe.models_in", {{"first", short_title(ctx, test.first.model)},
                                                      {"second", short_title(ctx, test.second.model)},
                                                      {"language", ctx.text("probe.language." + test.first.language)}})
                : ctx.text.format("probe.languages_of",
                                  {{"model", short_title(ctx, test.first.model)},
                                   {"first", ctx.text("probe.language." + test.first.language)},
                                   {"second", ctx.text("probe.language." + test.second.language)}});
        ui::text_elided(title, ImGui::GetContentRegionAvail().x);
        ImGui::TableNextColumn();
        ui::text_elided(ctx.text("probe.group_short." + test.group), ImGui::GetContentRegionAvail().x);
        for (const std::uint64_t value : {test.n, test.only_first, test.only_second}) {
            ImGui::TableNextColumn();
            ImGui::TextUnformatted(std::to_string(value).c_str());
        }
        ImGui::TableNextColumn();
        ui::text_elided(test.difference ? points(ctx, *test.difference) + " [" + points(ctx, test.low) + ", " +
                                              points(ctx, test.high) + "]"
                                        : "-",
                        ImGui::GetContentRegionAvail().x);
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(p_text(ctx, test.p).c_str());
        if (!test.can_reach) {
            ui::tooltip(ctx.text("probe.cannot_reach"));
        }
        ImGui::TableNextColumn();
        const bool clear = test.p_holm && *test.p_holm < statistics_.alpha;
        if (clear) {
            ImGui::PushFont(ctx.bold, 0);
        }
        ImGui::TextUnformatted((p_text(ctx, test.p_holm) + (test.can_reach ? "" : " *")).c_str());
        if (clear) {
            ImGui::PopFont();
        }
    }
    ImGui::EndTable();
    if (std::any_of(statistics_.tests.begin(), statistics_.tests.end(),
                    [&](const ProbeTest& t) { return t.measure == shown && t.n > 0 && !t.can_reach; })) {
        ui::text_wrapped(std::string("* ") + ctx.text("probe.cannot_reach"), ctx.theme.text_dim);
    }
}

void ProbePanel::draw_contrasts(ui::Context& ctx) {
    if (std::none_of(statistics_.contrasts.begin(), statistics_.contrasts.end(),
                     [](const ProbeContrast& c) { return c.estimate.has_value(); })) {
        return;
    }
    ui::section(ctx, ctx.text("probe.contrasts"));
    ui::text_wrapped(ctx.text("probe.contrasts_note"), ctx.theme.text_dim);
    if (!ui::begin_table(ctx, "###probe.contrasts",
                         {{"probe.comparison", 4.0f},
                          {"probe.contrast", 1.0f},
                          {"probe.interval", 1.8f},
                          {"probe.prompts", 1.0f}})) {
        return;
    }
    for (const ProbeContrast& contrast : statistics_.contrasts) {
        if (!contrast.estimate) {
            continue;
        }
        ImGui::TableNextRow();
        ImGui::TableNextColumn();
        ui::text_elided(side_title(ctx, contrast.first) + " - " + side_title(ctx, contrast.second),
                        ImGui::GetContentRegionAvail().x);
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(points(ctx, *contrast.estimate).c_str());
        ImGui::TableNextColumn();
        ImGui::TextUnformatted((points(ctx, contrast.low) + " … " + points(ctx, contrast.high)).c_str());
        ImGui::TableNextColumn();
        ImGui::TextUnformatted((std::to_string(contrast.n_state) + " + " + std::to_string(contrast.n_mirror)).c_str());
    }
    ImGui::EndTable();
}

}  // namespace moescope::panels
