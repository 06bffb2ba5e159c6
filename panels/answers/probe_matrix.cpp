// The middle of the probe panel: rates with intervals, and the paired tests.
#include <algorithm>
#include <cmath>

#include "panels/answers/probe.hpp"
#include "panels/ui/table_fit.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

std::string percent(const ui::Context& ctx, double fraction) {
    return ui::with_percent(ctx.text, ctx.text.number(100 * fraction, 2));
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

/// What a table of this panel shows, as texts: its columns are as wide as the widest of them.
struct TableText {
    std::vector<const char*> columns;  ///< language keys
    std::vector<std::vector<std::string>> rows;
};

float cell_space() {
    return 2 * ImGui::GetStyle().CellPadding.x + 1;  // the line between columns
}

float matrix_row_height(const ui::Context& ctx) {
    return ImGui::GetTextLineHeight() + 0.5f * ctx.em;
}

float table_row_height() {
    return ImGui::GetTextLineHeight() + 2 * ImGui::GetStyle().CellPadding.y;
}

/// Begins a table that cuts no number: the first column gives way as far as a name can be told, and where that is not
/// enough, the table scrolls sideways with that column in place.
bool begin_whole_table(const ui::Context& ctx, const char* id, const TableText& text) {
    constexpr float kLeastName = 9;  // em
    std::vector<float> natural;
    std::string own = id;  // a table keeps the widths that it began with: other widths make another table
    for (std::size_t i = 0; i < text.columns.size(); ++i) {
        float width = ImGui::CalcTextSize(ctx.text(text.columns[i])).x;
        for (const std::vector<std::string>& row : text.rows) {
            width = std::max(width, ImGui::CalcTextSize(row[i].c_str()).x);
        }
        natural.push_back(width + 0.3f * ctx.em);
        own += '.' + std::to_string(static_cast<int>(natural.back()));
    }
    const ui::TableFit fit =
        ui::fit_table(natural, cell_space(), kLeastName * ctx.em, ImGui::GetContentRegionAvail().x);
    std::vector<ui::TableColumn> columns;
    for (std::size_t i = 0; i < natural.size(); ++i) {
        columns.push_back({text.columns[i], natural[i] / ctx.em, true});
    }
    if (!fit.scrolls) {
        columns.front() = {text.columns.front(), 1};
        return ui::begin_table(ctx, own.c_str(), columns);
    }
    columns.front().width = fit.first / ctx.em;
    const float height =
        static_cast<float>(text.rows.size() + 1) * table_row_height() + 2 + ImGui::GetStyle().ScrollbarSize;
    return ui::begin_table(ctx, (own + ".wide").c_str(), columns, ImGuiTableFlags_ScrollX, {0, height});
}

/// "+12.5 [−10, +35]"
std::string difference_text(const ui::Context& ctx, const ProbeTest& test) {
    return test.difference
               ? points(ctx, *test.difference) + " [" + points(ctx, test.low) + ", " + points(ctx, test.high) + "]"
               : "-";
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
    draw_agreement(ctx);
}

void ProbePanel::draw_matrix(ui::Context& ctx) {
    const int columns = 1 + static_cast<int>(statistics_.models.size() * statistics_.languages.size());
    if (columns < 2 || columns > 60) {
        return;
    }
    std::vector<std::pair<const char*, std::string>> rows;  // group and topic, empty for the whole group
    for (const char* group : {"state", "mirror"}) {
        rows.emplace_back(group, "");
        for (const auto& [topic, titles] : statistics_.topics) {
            if (std::any_of(
                    statistics_.cells.begin(), statistics_.cells.end(),
                    [&, &name = topic](const ProbeCell& cell) { return cell.group == group && cell.topic == name; })) {
                rows.emplace_back(group, topic);
            }
        }
    }
    // An interval needs a width in which its ends can be told; with many models the table scrolls sideways.
    constexpr float kLeastCell = 4.5f, kLeastTopic = 8;  // em
    const float others = static_cast<float>(columns - 1);
    const bool fits = kLeastTopic * ctx.em + cell_space() + others * (kLeastCell * ctx.em + cell_space()) <=
                      ImGui::GetContentRegionAvail().x;
    const float height =
        static_cast<float>(rows.size()) * (matrix_row_height(ctx) + 2 * ImGui::GetStyle().CellPadding.y) +
        2 * ImGui::GetTextLineHeightWithSpacing() + 2 * ImGui::GetStyle().CellPadding.y +
        ImGui::GetStyle().ScrollbarSize + 2;
    if (!ImGui::BeginTable(
            fits ? "###probe.matrix" : "###probe.matrix.wide", columns,
            ImGuiTableFlags_BordersInnerV |
                (fits ? ImGuiTableFlags_SizingStretchSame : ImGuiTableFlags_SizingFixedFit | ImGuiTableFlags_ScrollX),
            {0, fits ? 0 : height})) {
        return;
    }
    const ImGuiTableColumnFlags kind = fits ? ImGuiTableColumnFlags_WidthStretch : ImGuiTableColumnFlags_WidthFixed;
    ImGui::TableSetupColumn("", kind, fits ? 2.0f : kLeastTopic * ctx.em);
    for (int i = 1; i < columns; ++i) {
        ImGui::TableSetupColumn("", kind, fits ? 1.0f : kLeastCell * ctx.em);
    }
    if (!fits) {
        ImGui::TableSetupScrollFreeze(1, 0);
    }
    draw_matrix_head(ctx);
    for (const auto& [group, topic] : rows) {
        draw_matrix_row(ctx, group, topic);
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
    const float height = matrix_row_height(ctx);
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
    const ImVec2 size{std::max(1.0f, ImGui::GetContentRegionAvail().x), matrix_row_height(ctx)};
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
        disagreed_ = false;
        filter_chosen_ = true;
        answer_ = 0;
        collect_answers(ctx);
    }
}

void ProbePanel::cell_tooltip(ui::Context& ctx, const ProbeCell& cell) {
    const auto found = cell.rates.find(measure());
    if (found == cell.rates.end()) {
        return;
    }
    const ProbeRate& rate = found->second;
    if (!ui::begin_tooltip()) {
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
                (std::string(ctx.text("probe.delivery." + name)) + ctx.text("common.colon") + ctx.text.number(number))
                    .c_str());
        }
    }
    if (cell.descriptive_only) {
        ui::text_dim(ctx, ctx.text("probe.descriptive"));
    }
    ui::text_dim(ctx, ctx.text("probe.click_cell"));
    ImGui::PopTextWrapPos();
    ImGui::EndTooltip();
}

std::string ProbePanel::test_title(const ui::Context& ctx, const ProbeTest& test) const {
    if (test.kind == "models") {
        return ctx.text.format("probe.models_in", {{"first", short_title(ctx, test.first.model)},
                                                   {"second", short_title(ctx, test.second.model)},
                                                   {"language", ctx.text("probe.language." + test.first.language)}});
    }
    return ctx.text.format("probe.languages_of", {{"model", short_title(ctx, test.first.model)},
                                                  {"first", ctx.text("probe.language." + test.first.language)},
                                                  {"second", ctx.text("probe.language." + test.second.language)}});
}

void ProbePanel::draw_tests(ui::Context& ctx) {
    const std::string& shown = measure();
    TableText text{{"probe.comparison", "probe.group", "probe.pairs", "probe.only_first", "probe.only_second",
                    "probe.difference", "probe.p", "probe.p_holm"},
                   {}};
    std::vector<const ProbeTest*> tests;
    for (const ProbeTest& test : statistics_.tests) {
        if (test.measure != shown || test.n == 0) {
            continue;
        }
        tests.push_back(&test);
        text.rows.push_back({test_title(ctx, test), ctx.text("probe.group_short." + test.group), std::to_string(test.n),
                             std::to_string(test.only_first), std::to_string(test.only_second),
                             difference_text(ctx, test), p_text(ctx, test.p),
                             p_text(ctx, test.p_holm) + (test.can_reach ? "" : " *")});
    }
    if (tests.empty()) {
        return;
    }
    ui::section(ctx, ctx.text("probe.tests"), ctx.text("probe.tests_note"));
    if (!begin_whole_table(ctx, "###probe.tests", text)) {
        return;
    }
    for (std::size_t i = 0; i < tests.size(); ++i) {
        const ProbeTest& test = *tests[i];
        const bool clear = test.p_holm && *test.p_holm < statistics_.alpha;
        ImGui::TableNextRow();
        for (std::size_t column = 0; column < text.columns.size(); ++column) {
            ImGui::TableNextColumn();
            const bool last = column + 1 == text.columns.size();
            if (last && clear) {
                ImGui::PushFont(ctx.bold, 0);
            }
            ui::text_elided(text.rows[i][column], ImGui::GetContentRegionAvail().x);
            if (last && clear) {
                ImGui::PopFont();
            }
            if (column + 2 == text.columns.size() && !test.can_reach) {
                ui::tooltip(ctx.text("probe.cannot_reach"));
            }
        }
    }
    ImGui::EndTable();
    if (std::any_of(tests.begin(), tests.end(), [](const ProbeTest* test) { return !test->can_reach; })) {
        ui::text_wrapped(std::string("* ") + ctx.text("probe.cannot_reach"), ctx.theme.text_dim);
    }
}

void ProbePanel::draw_contrasts(ui::Context& ctx) {
    TableText text{{"probe.comparison", "probe.contrast", "probe.interval", "probe.prompts"}, {}};
    for (const ProbeContrast& contrast : statistics_.contrasts) {
        if (contrast.estimate) {
            text.rows.push_back({side_title(ctx, contrast.first) + " - " + side_title(ctx, contrast.second),
                                 points(ctx, *contrast.estimate),
                                 points(ctx, contrast.low) + " \u2026 " + points(ctx, contrast.high),
                                 std::to_string(contrast.n_state) + " + " + std::to_string(contrast.n_mirror)});
        }
    }
    if (text.rows.empty()) {
        return;
    }
    ui::section(ctx, ctx.text("probe.contrasts"));
    ui::text_wrapped(ctx.text("probe.contrasts_note"), ctx.theme.text_dim);
    if (!begin_whole_table(ctx, "###probe.contrasts", text)) {
        return;
    }
    for (const std::vector<std::string>& row : text.rows) {
        ImGui::TableNextRow();
        for (const std::string& cell : row) {
            ImGui::TableNextColumn();
            ui::text_elided(cell, ImGui::GetContentRegionAvail().x);
        }
    }
    ImGui::EndTable();
}

void ProbePanel::show_disagreements(ui::Context& ctx) {
    disagreed_ = true;
    filter_ = {};
    filter_chosen_ = true;
    answer_ = 0;
    collect_answers(ctx);
}

/// How far coders agree who have labelled the same answers.
void ProbePanel::draw_agreement(ui::Context& ctx) {
    const ProbeAgreement& agreement = statistics_.agreement;
    if (agreement.answers == 0) {
        return;
    }
    const auto figure = [&](const ProbeFigure& value) {
        if (!value.estimate) {
            return std::string("-");
        }
        const auto end = [&](const std::optional<double>& one) {
            return one ? ctx.text.number(*one, 2) : std::string("?");
        };
        return ctx.text.number(*value.estimate, 2) + " [" + end(value.low) + ", " + end(value.high) + "]";
    };
    const auto name = [&](const std::string& coder) {
        return coder.empty() ? std::string(ctx.text("probe.no_name")) : coder;
    };
    TableText text{{"probe.agreement.who", "probe.agreement.field", "probe.agreement.n", "probe.agreement.alike",
                    "probe.agreement.figure"},
                   {}};
    for (const ProbeAgreement::Field& field : agreement.fields) {
        const std::string what = ctx.text(field.field == "delivery" ? "probe.agreement.f1" : "probe.agreement.f2");
        for (const ProbeAgreement::Pair& pair : field.pairs) {
            text.rows.push_back(
                {ctx.text.format("probe.agreement.pair", {{"first", name(pair.first)}, {"second", name(pair.second)}}),
                 what, ctx.text.number(pair.n), percent(ctx, pair.agreed), "\u03ba " + figure(pair.kappa)});
        }
        if (field.n > 0) {
            text.rows.push_back({agreement.coders == 2 && field.pairs.size() == 1
                                     ? text.rows.back().front()
                                     : ctx.text.format("probe.agreement.all",
                                                       {{"n", ctx.text.number(std::uint64_t{agreement.coders})}}),
                                 what, ctx.text.number(field.n),
                                 percent(ctx, static_cast<double>(field.alike) / static_cast<double>(field.n)),
                                 "\u03b1 " + figure(field.alpha)});
        }
    }
    ui::section(ctx, ctx.text("probe.agreement"), ctx.text("probe.agreement.note"));
    if (begin_whole_table(ctx, "###probe.agreement", text)) {
        for (const std::vector<std::string>& row : text.rows) {
            ImGui::TableNextRow();
            for (const std::string& cell : row) {
                ImGui::TableNextColumn();
                ui::text_elided(cell, ImGui::GetContentRegionAvail().x);
            }
        }
        ImGui::EndTable();
    }
    ui::text_wrapped(ctx.text.format("probe.agreement.open", {{"n", ctx.text.number(agreement.disagreements)},
                                                              {"open", ctx.text.number(agreement.open)}}),
                     ctx.theme.text);
    if (ui::button(ctx.text.label("probe.agreement.show"), agreement.disagreements > 0)) {
        show_disagreements(ctx);
    }
}

}  // namespace moescope::panels
