#include "panels/experts/expert_load.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fmt/format.h>
#include <numbers>

#include "base/axis.hpp"
#include "panels/panels.hpp"
#include "panels/training/step_plot.hpp"
#include "panels/ui/plot_tools.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using history::StepCounts;
using history::TrainingRun;
using protocol::kTextLanguages;
using ui::Context;
namespace icon = ui::icon;

constexpr std::array<std::size_t, 4> kWindows = {1, 16, 64, 256};
constexpr std::size_t kMostCells = 8000;    ///< of the history: what is drawn in well under a millisecond
constexpr std::size_t kMostHatched = 2000;  ///< cells that get a stroke or a number each
constexpr double kLadder[] = {1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 1024};
constexpr double kDifferenceLadder[] = {0.25, 0.5, 1, 1.5, 2, 3, 4, 8, 16, 64, 256, 1024};

template <std::size_t N>
double rung(const double (&ladder)[N], double value) {
    const double* found = std::lower_bound(ladder, ladder + N, value);
    return found == ladder + N ? ladder[N - 1] : *found;
}

bool fits(const StepCounts& step, const TrainingRun& run) {
    return step.counts.size() == std::size_t{kTextLanguages} * run.layers * run.experts;
}

/// Index of the newest kept step that is not after `step`; 0 when all are.
std::size_t index_of(const TrainingRun& run, std::uint64_t step) {
    const auto after = std::upper_bound(run.counts.begin(), run.counts.end(), step,
                                        [](std::uint64_t s, const auto& counts) { return s < counts->step; });
    return after == run.counts.begin() ? 0 : static_cast<std::size_t>(after - run.counts.begin()) - 1;
}

ImU32 faded(ImU32 color, float alpha) {
    const auto a = static_cast<ImU32>(static_cast<float>(color >> IM_COL32_A_SHIFT) * alpha);
    return (color & ~IM_COL32_A_MASK) | (a << IM_COL32_A_SHIFT);
}

/// "3/N", "1/N", "0.5/N"
std::string of_even(const Context& ctx, double ratio) {
    return ratio == 0 ? "0" : ctx.text.number(ratio, 3) + "/N";
}

std::string loads_csv(const Loads& loads) {
    std::string result = "first_step,last_step,layer,expert,english,chinese\r\n";
    for (std::size_t l = 0; l < loads.layers; ++l)
        for (std::size_t e = 0; e < loads.experts; ++e)
            result += fmt::format("{},{},{},{},{},{}\r\n", loads.first_step, loads.last_step, l, e,
                                  loads.counts[0][l * loads.experts + e], loads.counts[1][l * loads.experts + e]);
    return result;
}

/// Takes back one pushed style variable at the end of the scope.
struct ScopedStyle {
    ~ScopedStyle() { ImGui::PopStyleVar(); }
};

void draw_cross(ImDrawList& draw, ImVec2 centre, float radius, ImU32 ink) {
    const float stroke = std::clamp(0.25f * radius, 1.0f, 2.0f);
    draw.AddLine({centre.x - radius, centre.y - radius}, {centre.x + radius, centre.y + radius}, ink, stroke);
    draw.AddLine({centre.x - radius, centre.y + radius}, {centre.x + radius, centre.y - radius}, ink, stroke);
}

void draw_snowflake(ImDrawList& draw, ImVec2 centre, float radius, ImU32 ink) {
    const float stroke = std::clamp(0.2f * radius, 1.0f, 1.5f);
    constexpr int kArms = 6;
    const auto at = [&](float turn, float part) {
        return ImVec2{centre.x + part * radius * std::sin(turn), centre.y - part * radius * std::cos(turn)};
    };
    for (int arm = 0; arm < kArms; ++arm) {
        const float turn = 2 * std::numbers::pi_v<float> * static_cast<float>(arm) / kArms;
        draw.AddLine(centre, at(turn, 1), ink, stroke);
        // Without its branches a small one is a star, which still is no cross.
        for (const float side : {-0.45f, 0.45f})
            if (radius > 5)
                draw.AddLine(at(turn, 0.55f), at(turn + side, 0.9f), ink, stroke);
    }
}

/// How the map shows what a person has told an expert.
struct Mark {
    bool ExpertState::*set;
    const char* key;        ///< language key of the legend; key + ".help" says what the mark means
    const char* state_key;  ///< language key of the sentence about one expert
    void (*draw)(ImDrawList& draw, ImVec2 centre, float radius, ImU32 ink);
};
constexpr Mark kMarks[] = {{&ExpertState::disabled, "load.marks.disabled", "load.expert.disabled", draw_cross},
                           {&ExpertState::frozen, "load.marks.frozen", "load.expert.frozen", draw_snowflake}};

/// The rest of the line after `reserved` pixels for others is the unit's.
void caption(const Context& ctx, const char* title, const std::string& unit, float reserved = 0) {
    ImGui::PushFont(ctx.bold, 0);
    ImGui::TextUnformatted(title);
    ImGui::PopFont();
    ImGui::SameLine(0, 0.4f * ctx.em);
    ui::text_elided(unit, std::max(2 * ctx.em, ImGui::GetContentRegionAvail().x - reserved));
}

}  // namespace

// --- Data
// ---------------------------------------------------------------------------------------------------------------

void ExpertLoadPanel::load(const TrainingRun& run, const ui::Selection& selection) {
    const std::size_t last = selection.pinned_step ? index_of(run, *selection.pinned_step) : run.counts.size() - 1;
    const std::uint64_t key[4] = {run.id, run.counts[last]->step, run.counts.size(),
                                  static_cast<std::uint64_t>(window_)};
    if (std::equal(key, key + 4, loaded_key_))
        return;
    const bool same_run = loaded_key_[0] == run.id;
    std::copy(key, key + 4, loaded_key_);
    if (!same_run)
        sums_.clear();
    const std::size_t window = kWindows[static_cast<std::size_t>(window_)];
    const auto newest = run.counts.begin() + static_cast<std::ptrdiff_t>(last) + 1;
    sums_.update({newest - static_cast<std::ptrdiff_t>(std::min(window, last + 1)), newest}, run.layers, run.experts);
    ++loads_version_;
}

void ExpertLoadPanel::refresh_cells() {
    if (cells_of_ == loads_version_ && cells_mode_ == mode_)
        return;
    cells_of_ = loads_version_;
    cells_mode_ = mode_;
    ++cells_version_;
    const std::size_t count = loads().layers * loads().experts;
    const bool diff = mode_ == kDifference;
    cells_ = {};
    cells_.value.resize(count);
    cells_.sigma.resize(diff ? count : 0);
    cells_.beyond.resize(diff ? count : 0);
    for (std::size_t cell = 0; cell < count; ++cell) {
        const std::size_t at = cell / loads().experts, expert = cell % loads().experts;
        if (diff) {
            const history::ShareDifference d = difference(at, expert);
            cells_.value[cell] = d.difference;
            cells_.sigma[cell] = d.sigma;
            cells_.beyond[cell] = d.beyond_chance ? 1 : 0;
            cells_.beyond_count += d.beyond_chance ? 1 : 0;
        } else {
            cells_.value[cell] = share(at, expert);
        }
        if (!std::isnan(cells_.value[cell]))
            cells_.highest = std::max(cells_.highest, std::abs(cells_.value[cell]));
    }
    for (std::size_t at = 0; at < loads().layers; ++at) {
        cells_.layers.push_back(history::load_metrics(layer_load(at, diff ? static_cast<int>(kEnglish) : mode_)));
        if (diff)
            cells_.layers_chinese.push_back(history::load_metrics(layer_load(at, kChinese)));
    }
}

void ExpertLoadPanel::refresh_colors(const Context& ctx) {
    const ColorKey key{cells_version_, mode_ == kDifference ? difference_ : scale_, ctx.theme.dark};
    if (key == color_key_)
        return;
    color_key_ = key;
    cells_.colors.resize(cells_.value.size());
    const ImU32 nothing = ui::packed(ctx.theme.grid);
    for (std::size_t cell = 0; cell < cells_.value.size(); ++cell) {
        const double value = cells_.value[cell];
        const ImU32 fill = std::isnan(value) ? nothing : color(ctx, value);
        cells_.colors[cell] = mode_ == kDifference && cells_.beyond[cell] == 0 ? faded(fill, 0.3f) : fill;
    }
}

std::vector<double> ExpertLoadPanel::layer_load(std::size_t at, int mode) const {
    std::vector<double> result(loads().experts, 0.0);
    for (std::size_t expert = 0; expert < loads().experts; ++expert) {
        if (mode != kChinese)
            result[expert] += loads().counts[0][at * loads().experts + expert];
        if (mode != kEnglish)
            result[expert] += loads().counts[1][at * loads().experts + expert];
    }
    return result;
}

double ExpertLoadPanel::share(std::size_t at, std::size_t expert) const {
    const std::size_t cell = at * loads().experts + expert;
    double count = 0, total = 0;
    if (mode_ != kChinese) {
        count += loads().counts[0][cell];
        total += loads().totals[0][at];
    }
    if (mode_ != kEnglish) {
        count += loads().counts[1][cell];
        total += loads().totals[1][at];
    }
    return total > 0 ? count / total : 0;
}

history::ShareDifference ExpertLoadPanel::difference(std::size_t at, std::size_t expert) const {
    const std::size_t cell = at * loads().experts + expert;
    return history::share_difference(loads().counts[0][cell], loads().totals[0][at], loads().counts[1][cell],
                                     loads().totals[1][at]);
}

/// The scales rise at once when a value would not fit and fall only when far too large, so that colours keep their
/// meaning from step to step.
void ExpertLoadPanel::update_scale() {
    const double ratio = cells_.highest * static_cast<double>(loads().experts);
    if (mode_ == kDifference) {
        if (ratio > difference_ || ratio < 0.35 * difference_)
            difference_ = rung(kDifferenceLadder, ratio);
    } else if (ratio > scale_ || ratio < 0.35 * scale_) {
        scale_ = rung(kLadder, ratio);
    }
}

ImU32 ExpertLoadPanel::color(const Context& ctx, double value) const {
    const double ratio = value * static_cast<double>(loads().experts);
    // -1 of the diverging colours is English: English minus Chinese is drawn with its sign turned round.
    return mode_ == kDifference ? ctx.theme.difference_color(std::clamp(-ratio / difference_, -1.0, 1.0))
                                : ctx.theme.load_color(std::clamp(ratio / scale_, 0.0, 1.0));
}

std::size_t ExpertLoadPanel::layer(const Context& ctx) const {
    return std::min(static_cast<std::size_t>(std::max(0, ctx.selection.layer)), loads().layers - 1);
}

void ExpertLoadPanel::select(Context& ctx, std::size_t at, std::size_t expert) const {
    const bool again = ctx.selection.layer == static_cast<int>(at) && ctx.selection.expert == static_cast<int>(expert);
    ctx.selection.layer = static_cast<int>(at);
    ctx.selection.expert = again ? -1 : static_cast<int>(expert);
}

// --- Toolbar
// ------------------------------------------------------------------------------------------------------------

void ExpertLoadPanel::draw_step(Context& ctx) {
    const ui::Language& text = ctx.text;
    ImGui::AlignTextToFramePadding();
    const std::string step = text.number(loads().last_step);
    if (ctx.selection.pinned_step) {
        ui::text_colored(ctx.theme.accent,
                         std::string(icon::pin) + " " + text.format("load.step.pinned", {{"step", step}}));
        ui::tooltip(text("load.step.pinned.help"));
        ImGui::SameLine();
        if (ImGui::Button(text.label("load.live")))
            ctx.run("load.live");
        ui::command_tooltip(ctx, text("load.live.help"), "load.live");
    } else {
        ui::text_dim(ctx, text.format("load.step.live", {{"step", step}}));
        ui::tooltip(text("load.step.live.help"));
    }
}

void ExpertLoadPanel::draw_toolbar(Context& ctx) {
    const ui::Language& text = ctx.text;
    const float right = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
    const auto flow = [&](float width) {
        if (ImGui::GetItemRectMax().x + ctx.em + width < right)
            ImGui::SameLine(0, ctx.em);
    };
    ui::segmented(ctx, "mode",
                  {text.label("load.mode.all"), text.label("load.mode.english"), text.label("load.mode.chinese"),
                   text.label("load.mode.difference")},
                  mode_);
    ui::tooltip(text("load.mode.help"));
    const float small = 4.2f * ctx.em;
    flow(ImGui::CalcTextSize(text("load.layer")).x + small + 0.4f * ctx.em);
    ImGui::AlignTextToFramePadding();
    ImGui::TextUnformatted(text("load.layer"));
    ImGui::SameLine(0, 0.4f * ctx.em);
    ImGui::SetNextItemWidth(small);
    const std::size_t chosen = layer(ctx);
    if (ImGui::BeginCombo("###load.layer", std::to_string(chosen).c_str())) {
        for (std::size_t l = 0; l < loads().layers; ++l) {
            if (ImGui::Selectable(std::to_string(l).c_str(), l == chosen))
                ctx.selection.layer = static_cast<int>(l);
            if (l == chosen)
                ImGui::SetItemDefaultFocus();
        }
        ImGui::EndCombo();
    }
    ui::command_tooltip(ctx, text("load.layer.help"), "load.layer_next");
    const float medium = 7.5f * ctx.em;
    flow(medium);
    ImGui::SetNextItemWidth(medium);
    const auto name = [&](std::size_t i) {
        return i == 0 ? std::string(text("load.window.one"))
                      : text.format("load.window.many", {{"steps", text.number(std::uint64_t{kWindows[i]})}});
    };
    if (ImGui::BeginCombo("###load.window", name(static_cast<std::size_t>(window_)).c_str())) {
        for (std::size_t i = 0; i < kWindows.size(); ++i)
            if (ImGui::Selectable(name(i).c_str(), static_cast<int>(i) == window_))
                window_ = static_cast<int>(i);
        ImGui::EndCombo();
    }
    ui::tooltip(text("load.window.help"));
    const char* save = text.label("load.menu");
    flow(ui::button_width(save));
    if (ImGui::Button(save)) {
        menu_cell_.reset();
        ImGui::OpenPopup("menu");
    }
    ui::tooltip(text("load.menu.help"));
    flow(ImGui::CalcTextSize(text("load.step.live")).x + 4 * ctx.em);
    draw_step(ctx);
}

// --- Map
// ----------------------------------------------------------------------------------------------------------------

void ExpertLoadPanel::cell_tooltip(const Context& ctx, std::size_t at, std::size_t expert) const {
    if (!ImGui::BeginTooltip())
        return;
    const ui::Language& text = ctx.text;
    const std::size_t cell = at * loads().experts + expert;
    const double even = 1.0 / static_cast<double>(loads().experts);
    ImGui::TextUnformatted(
        text.format("load.cell", {{"layer", std::to_string(at)}, {"expert", std::to_string(expert)}}).c_str());
    const bool window = loads().first_step != loads().last_step;
    ui::text_dim(ctx, window ? text.format("load.cell.steps", {{"first", text.number(loads().first_step)},
                                                               {"last", text.number(loads().last_step)}})
                             : text.format("load.cell.step", {{"step", text.number(loads().last_step)}}));
    const auto property = [&](const char* name, const std::string& value) {
        ImGui::TableNextRow();
        ImGui::TableNextColumn();
        ui::text_dim(ctx, name);
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(value.c_str());
    };
    if (ImGui::BeginTable("cell", 2, ImGuiTableFlags_SizingFixedFit)) {
        const auto percent = [&](double value) { return text.number(100 * value, 4) + " %"; };
        if (mode_ == kDifference) {
            const history::ShareDifference d = difference(at, expert);
            for (const int language : {0, 1}) {
                const auto l = static_cast<std::size_t>(language);
                const double total = loads().totals[l][at];
                property(text(language == 0 ? "load.mode.english" : "load.mode.chinese"),
                         percent(total > 0 ? loads().counts[l][cell] / total : 0) + "  (" +
                             text.number(static_cast<std::uint64_t>(loads().counts[l][cell])) + ")");
            }
            property(text("load.cell.difference"), std::isnan(d.difference) ? "-" : percent(d.difference));
            property(text("load.cell.noise"), std::isnan(d.sigma) ? "-" : "\u00b1 " + percent(2 * d.sigma));
        } else {
            const double part = share(at, expert);
            property(text("load.cell.count"), text.number(static_cast<std::uint64_t>(layer_load(at, mode_)[expert])));
            property(text("load.cell.share"), percent(part));
            property(text("load.cell.even"), percent(even));
            property(text("load.cell.ratio"), text.number(part / even, 3) + " \u00d7");
        }
        ImGui::EndTable();
    }
    if (mode_ == kDifference)
        ui::text_wrapped(text(difference(at, expert).beyond_chance ? "load.cell.beyond" : "load.cell.within"),
                         ctx.theme.text_dim, 20 * ctx.em);
    for (const Mark& mark : kMarks)
        if (experts_[cell].*mark.set)
            ui::text_wrapped(text(mark.state_key), {}, 20 * ctx.em);
    ImGui::EndTooltip();
}

void ExpertLoadPanel::draw_expert_ids(const Context& ctx, const Area& area) const {
    const float cell = area.width() / static_cast<float>(loads().experts);
    const float widest = ImGui::CalcTextSize(std::to_string(loads().experts - 1).c_str()).x + 0.4f * ctx.em;
    std::size_t stride = 1;
    while (cell * static_cast<float>(stride) < widest && stride < loads().experts)
        stride *= 2;
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    for (std::size_t e = 0; e < loads().experts; e += stride) {
        const std::string id = std::to_string(e);
        const float width = ImGui::CalcTextSize(id.c_str()).x;
        ImGui::GetWindowDrawList()->AddText(
            {area.min.x + (static_cast<float>(e) + 0.5f) * cell - width / 2, area.max.y + 0.1f * ctx.em}, ink,
            id.c_str());
    }
}

/// Of layer and expert, one line per layer: "layer 3: 1, 4, 7".
std::string ExpertLoadPanel::marked_experts(const Context& ctx, bool ExpertState::*set) const {
    std::string lines;
    for (std::size_t at = 0; at < loads().layers; ++at) {
        std::string experts;
        for (std::size_t e = 0; e < loads().experts; ++e)
            if (experts_[at * loads().experts + e].*set)
                experts += (experts.empty() ? "" : ", ") + std::to_string(e);
        if (!experts.empty())
            lines += "\n" + ctx.text.format("load.marks.layer", {{"layer", std::to_string(at)}, {"experts", experts}});
    }
    return lines;
}

float ExpertLoadPanel::draw_legend(const Context& ctx, float room) const {
    struct Entry {
        const Mark* mark;
        std::string text;
        float width;
    };
    std::vector<Entry> entries;
    const float line = ImGui::GetTextLineHeight(), gap = 0.3f * ctx.em, between = 0.8f * ctx.em;
    for (const bool words : {true, false}) {
        entries.clear();
        float all = 0;
        for (const Mark& mark : kMarks) {
            const auto n = std::count_if(experts_.begin(), experts_.end(),
                                         [&](const ExpertState& expert) { return expert.*mark.set; });
            if (n == 0)
                continue;
            const std::string count = ctx.text.number(static_cast<std::uint64_t>(n));
            Entry entry{&mark, words ? ctx.text.format(mark.key, {{"n", count}}) : count, 0};
            entry.width = line + gap + ImGui::CalcTextSize(entry.text.c_str()).x;
            all += between + entry.width;
            entries.push_back(std::move(entry));
        }
        if (all <= room)
            break;
    }
    const ImVec2 start = ImGui::GetCursorScreenPos();
    float right = start.x + ImGui::GetContentRegionAvail().x;
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
        const Mark& mark = *entry->mark;
        const ImVec2 at{right - entry->width, start.y};
        ImGui::SetCursorScreenPos(at);
        ImGui::PushItemFlag(ImGuiItemFlags_NoNav, true);
        ImGui::InvisibleButton(("###" + std::string(mark.key)).c_str(), {entry->width, line});
        ImGui::PopItemFlag();
        ui::tooltip(ctx.text(std::string(mark.key) + ".help") + marked_experts(ctx, mark.set));
        ImDrawList& draw = *ImGui::GetWindowDrawList();
        const ImU32 ink = ImGui::GetColorU32(ctx.theme.text);
        mark.draw(draw, {at.x + line / 2, at.y + line / 2}, 0.36f * line, ink);
        draw.AddText({at.x + line + gap, at.y}, ink, entry->text.c_str());
        right = at.x - between;
    }
    ImGui::SetCursorScreenPos(start);
    return start.x + ImGui::GetContentRegionAvail().x - right;
}

/// A disabled expert is crossed; a frozen one has a snowflake, in the corner where something else is in the middle.
void ExpertLoadPanel::draw_marks(const Context& ctx, std::size_t cell, const Area& area, bool with_number) const {
    const ImU32 fill = cells_.colors[cell];
    const bool opaque = (fill & IM_COL32_A_MASK) == IM_COL32_A_MASK;
    const ImU32 ink = opaque ? ui::ink_on(fill) : ImGui::GetColorU32(ctx.theme.text);
    const float least = std::min(area.width(), area.height());
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ImVec2 centre{(area.min.x + area.max.x) / 2, (area.min.y + area.max.y) / 2};
    const ExpertState& state = experts_[cell];
    if (state.disabled)
        draw_cross(draw, centre, std::min(0.36f * least, 0.6f * ctx.em), ink);
    if (!state.frozen)
        return;
    if (!state.disabled && !with_number)
        return draw_snowflake(draw, centre, std::min(0.4f * least, 0.5f * ctx.em), ink);
    const float radius = std::min(0.24f * least, 0.4f * ctx.em);
    draw_snowflake(draw, {area.max.x - 1.2f * radius, area.min.y + 1.2f * radius}, radius, ink);
}

void ExpertLoadPanel::draw_cells(Context& ctx, const Area& area) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float w = area.width() / static_cast<float>(loads().experts),
                h = area.height() / static_cast<float>(loads().layers);
    const float gap = w > 6 && h > 6 ? 1.0f : 0.0f;
    const bool roomy = loads().layers * loads().experts <= kMostHatched;
    const bool numbers = roomy && w > 2.6f * ctx.em && h > 1.3f * ctx.em, tall = h > 2.6f * ctx.em;
    const auto corner = [&](std::size_t l, std::size_t e) {
        return ImVec2{area.min.x + static_cast<float>(e) * w, area.min.y + static_cast<float>(l) * h};
    };
    for (std::size_t l = 0; l < loads().layers; ++l) {
        // One reservation per layer: sixteen-bit indices do not reach over a whole large map.
        draw.PrimReserve(static_cast<int>(6 * loads().experts), static_cast<int>(4 * loads().experts));
        for (std::size_t e = 0; e < loads().experts; ++e) {
            const ImVec2 low = corner(l, e);
            draw.PrimRect(low, {low.x + w - gap, low.y + h - gap}, cells_.colors[l * loads().experts + e]);
        }
    }
    const ImU32 stroke = ui::packed(ctx.theme.text_dim, 0.35f);
    for (std::size_t cell = 0; roomy && cell < cells_.value.size(); ++cell) {
        const ImVec2 low = corner(cell / loads().experts, cell % loads().experts);
        const ImVec2 high{low.x + w - gap, low.y + h - gap};
        const bool chance = mode_ == kDifference && cells_.beyond[cell] == 0;
        if (chance && w > 5)
            draw.AddLine({low.x, high.y}, {high.x, low.y}, stroke);
        // A mark is worth more than a number that its tooltip has too, where there is no room for both.
        if (!numbers || std::isnan(cells_.value[cell]) || experts_[cell].disabled || (marked(cell) && !tall))
            continue;
        const std::string shown = ctx.text.number(100 * cells_.value[cell], 2);
        const ImVec2 size = ImGui::CalcTextSize(shown.c_str());
        draw.AddText({(low.x + high.x - size.x) / 2, (low.y + high.y - size.y) / 2},
                     chance ? ImGui::GetColorU32(ctx.theme.text_dim) : ui::ink_on(cells_.colors[cell]), shown.c_str());
    }
    for (std::size_t cell = 0; cell < experts_.size(); ++cell)
        if (const ImVec2 low = corner(cell / loads().experts, cell % loads().experts); marked(cell))
            draw_marks(ctx, cell, {low, {low.x + w - gap, low.y + h - gap}}, numbers && tall);
    const std::size_t row = layer(ctx);
    const ImU32 accent = ImGui::GetColorU32(ctx.theme.text);
    const float top = area.min.y + static_cast<float>(row) * h;
    draw.AddRect({area.min.x - 1, top - 1}, {area.max.x + 1 - gap, top + h + 1 - gap}, faded(accent, 0.8f), 0, 1.0f);
    if (ctx.selection.expert >= 0 && ctx.selection.expert < static_cast<int>(loads().experts) &&
        ctx.selection.layer >= 0) {
        const float left = area.min.x + static_cast<float>(ctx.selection.expert) * w;
        draw.AddRect({left - 1, top - 1}, {left + w + 1 - gap, top + h + 1 - gap}, ImGui::GetColorU32(ctx.theme.accent),
                     0, 2.5f);
    }
}

/// The colour bar at the right of the map, with 1/N or 0 marked.
void ExpertLoadPanel::draw_scale(const Context& ctx, const Area& area) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const bool diff = mode_ == kDifference;
    const double top = diff ? difference_ : scale_, bottom = diff ? -difference_ : 0;
    const double even = 1.0 / static_cast<double>(loads().experts);
    constexpr int kSlices = 48;
    const float slice = area.height() / kSlices;
    for (int i = 0; i < kSlices; ++i) {
        const double ratio = top + (bottom - top) * (i + 0.5) / kSlices;
        draw.AddRectFilled({area.min.x, area.min.y + static_cast<float>(i) * slice},
                           {area.max.x, area.min.y + static_cast<float>(i + 1) * slice + 0.5f},
                           color(ctx, ratio * even));
    }
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    const float line = ImGui::GetTextLineHeight();
    for (const double ratio : {top, diff ? 0.0 : 1.0, bottom}) {
        const float y = area.min.y + static_cast<float>((top - ratio) / (top - bottom)) * area.height();
        draw.AddLine({area.min.x, y}, {area.max.x + 0.25f * ctx.em, y}, ink);
        const float at = std::clamp(y - line / 2, area.min.y - 0.3f * line, area.max.y - 0.7f * line);
        draw.AddText({area.max.x + 0.35f * ctx.em, at}, ink, of_even(ctx, ratio).c_str());
    }
}

void ExpertLoadPanel::draw_map(Context& ctx, ImVec2 size) {
    ImGui::BeginChild("map", size, 0, ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse);
    const float legend = draw_legend(ctx, 0.6f * size.x);
    caption(ctx, ctx.text("load.map"), ctx.text(mode_ == kDifference ? "load.map.difference" : "load.map.unit"),
            legend);
    const float line = ImGui::GetTextLineHeight();
    const ImVec2 corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    // Beside the cells: the colour bar and its labels, of which the lower end of a difference is the longest.
    const std::string label = of_even(ctx, mode_ == kDifference ? -difference_ : scale_);
    const float left = ImGui::CalcTextSize("00").x + 0.5f * ctx.em,
                right = std::max(3.9f * ctx.em, 1.65f * ctx.em + ImGui::CalcTextSize(label.c_str()).x);
    const Area area{{corner.x + left, corner.y}, {corner.x + room.x - right, corner.y + room.y - line - 0.2f * ctx.em}};
    if (area.width() < ctx.em || area.height() < ctx.em) {
        ImGui::EndChild();
        return;
    }
    ImGui::SetCursorScreenPos(area.min);
    ImGui::InvisibleButton("###load.cells", {area.width(), area.height()});
    const bool hovered = ImGui::IsItemHovered(), clicked = ImGui::IsItemClicked();
    draw_cells(ctx, area);
    const float h = area.height() / static_cast<float>(loads().layers);
    std::size_t stride = 1;
    while (h * static_cast<float>(stride) < line && stride < loads().layers)
        stride *= 2;
    for (std::size_t l = 0; l < loads().layers; l += stride) {
        const std::string id = std::to_string(l);
        ImGui::GetWindowDrawList()->AddText({area.min.x - ImGui::CalcTextSize(id.c_str()).x - 0.4f * ctx.em,
                                             area.min.y + (static_cast<float>(l) + 0.5f) * h - line / 2},
                                            ImGui::GetColorU32(l == layer(ctx) ? ctx.theme.text : ctx.theme.text_dim),
                                            id.c_str());
    }
    draw_expert_ids(ctx, area);
    draw_scale(ctx, {{area.max.x + 0.6f * ctx.em, area.min.y}, {area.max.x + 1.2f * ctx.em, area.max.y}});
    if (hovered) {
        const ImVec2 mouse = ImGui::GetMousePos();
        const auto index = [](float at, float low, float extent, std::size_t n) {
            return std::min(n - 1,
                            static_cast<std::size_t>(std::max(0.0f, (at - low) / extent * static_cast<float>(n))));
        };
        const std::size_t e = index(mouse.x, area.min.x, area.width(), loads().experts);
        const std::size_t l = index(mouse.y, area.min.y, area.height(), loads().layers);
        hovered_cell_ = Cell{static_cast<int>(l), static_cast<int>(e)};
        cell_tooltip(ctx, l, e);
        if (clicked)
            select(ctx, l, e);
    }
    ImGui::EndChild();
}

// --- History
// ------------------------------------------------------------------------------------------------------------

void ExpertLoadPanel::refresh_rows(const Context& ctx, const TrainingRun& run, const RowsKey& key) {
    if (key == rows_key_)
        return;
    RowsKey grown = rows_key_;
    grown.newest = key.newest;
    grown.size = key.size;
    grown.from = key.from;
    grown.to = key.to;
    // Of a run that has grown only the rows at the ends are new.
    std::vector<Row> old;
    if (grown == key)
        old.swap(rows_);
    auto reuse = old.begin();
    rows_key_ = key;
    rows_.clear();
    const std::size_t first = index_of(run, static_cast<std::uint64_t>(std::max(0.0, std::ceil(key.from))));
    const std::size_t last = index_of(run, static_cast<std::uint64_t>(std::max(0.0, key.to))) + 1;
    // Rows are cut at multiples of a power of two of the step number, so that a growing run keeps its picture.
    const std::uint64_t stride = std::bit_ceil(std::max<std::uint64_t>(1, (last - first + key.limit - 1) / key.limit));
    const std::size_t cells = std::size_t{run.layers} * run.experts, offset = key.layer * run.experts;
    std::array<std::vector<double>, kTextLanguages> sums;
    for (std::size_t i = first; i < last;) {
        Row row{run.counts[i]->step, run.counts[i]->step, {}, nullptr};
        const std::uint64_t group = row.first / stride;
        const std::size_t begin = i;
        for (; i < last && run.counts[i]->step / stride == group; ++i)
            row.last = run.counts[i]->step;
        row.end = run.counts[i - 1];
        while (reuse != old.end() && reuse->first < row.first)
            ++reuse;
        if (reuse != old.end() && reuse->first == row.first && reuse->end == row.end) {
            rows_.push_back(std::move(*reuse));
            continue;
        }
        for (auto& sum : sums)
            sum.assign(run.experts, 0.0);
        for (std::size_t step = begin; step < i; ++step) {
            if (!fits(*run.counts[step], run))
                continue;
            for (std::size_t language = 0; language < sums.size(); ++language)
                for (std::size_t e = 0; e < run.experts; ++e)
                    sums[language][e] += run.counts[step]->counts[language * cells + offset + e];
        }
        double total[kTextLanguages] = {};
        for (std::size_t language = 0; language < sums.size(); ++language)
            for (const double count : sums[language])
                total[language] += count;
        row.colors.reserve(run.experts);
        for (std::size_t e = 0; e < run.experts; ++e) {
            double value = 0;
            if (mode_ == kDifference) {
                const history::ShareDifference d =
                    history::share_difference(sums[0][e], total[0], sums[1][e], total[1]);
                row.colors.push_back(std::isnan(d.difference) ? 0
                                     : d.beyond_chance        ? color(ctx, d.difference)
                                                              : faded(color(ctx, d.difference), 0.3f));
                continue;
            }
            const double all = (mode_ != kChinese ? total[0] : 0) + (mode_ != kEnglish ? total[1] : 0);
            value = (mode_ != kChinese ? sums[0][e] : 0) + (mode_ != kEnglish ? sums[1][e] : 0);
            row.colors.push_back(all > 0 ? color(ctx, value / all) : 0);
        }
        rows_.push_back(std::move(row));
    }
}

void ExpertLoadPanel::draw_rows(Context& ctx, const Area& area) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const double from = rows_key_.from, range = rows_key_.to - rows_key_.from;
    const auto y_of = [&](double step) {
        return area.min.y + static_cast<float>(std::clamp((step - from) / range, 0.0, 1.0)) * area.height();
    };
    const float w = area.width() / static_cast<float>(loads().experts);
    int quads = 0;
    for (const Row& row : rows_)
        quads += static_cast<int>(row.colors.size());
    draw.PrimReserve(6 * quads, 4 * quads);
    for (const Row& row : rows_) {
        const float top = y_of(static_cast<double>(row.first)),
                    bottom = std::max(y_of(static_cast<double>(row.last + 1)), top + 1);
        for (std::size_t e = 0; e < row.colors.size(); ++e) {
            const float left = area.min.x + static_cast<float>(e) * w;
            draw.PrimRect({left, top}, {left + w, bottom}, row.colors[e]);
        }
    }
    const double tick = base::tick_step(range, std::max(2, static_cast<int>(area.height() / (3 * ctx.em))));
    const float line = ImGui::GetTextLineHeight();
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    for (int i = 0; i < 50; ++i) {
        const double step = (std::ceil(from / tick) + i) * tick;
        if (step > rows_key_.to)
            break;
        const std::string name = ctx.text.number(static_cast<std::uint64_t>(std::max(0.0, step)));
        const float y = y_of(step);
        draw.AddLine({area.min.x - 0.25f * ctx.em, y}, {area.min.x, y}, ink);
        draw.AddText({area.min.x - 0.35f * ctx.em - ImGui::CalcTextSize(name.c_str()).x,
                      std::clamp(y - line / 2, area.min.y - 0.2f * line, area.max.y - 0.8f * line)},
                     ink, name.c_str());
    }
    const auto mark = [&](double step, const ImVec4& tint) {
        if (step >= from && step <= rows_key_.to)
            draw.AddLine({area.min.x, y_of(step)}, {area.max.x, y_of(step)}, ImGui::GetColorU32(tint), 1.5f);
    };
    if (ctx.selection.pinned_step)
        mark(static_cast<double>(*ctx.selection.pinned_step) + 0.5, ctx.theme.accent);
    if (ctx.selection.hovered_step)
        mark(*ctx.selection.hovered_step, ctx.theme.text);
    draw.AddRect(area.min, area.max, ImGui::GetColorU32(ctx.theme.border));
    if (ctx.selection.expert >= 0 && ctx.selection.expert < static_cast<int>(loads().experts)) {
        const float left = area.min.x + static_cast<float>(ctx.selection.expert) * w;
        draw.AddRect({left - 1, area.min.y}, {left + w + 1, area.max.y}, ImGui::GetColorU32(ctx.theme.accent), 0, 1.5f);
    }
}

void ExpertLoadPanel::hover_rows(Context& ctx, const TrainingRun& run, const Area& area) {
    const ImVec2 mouse = ImGui::GetMousePos();
    const double step = rows_key_.from + (mouse.y - area.min.y) / area.height() * (rows_key_.to - rows_key_.from);
    ctx.selection.hovered_step = step;
    ctx.selection.hovered_frame = ImGui::GetFrameCount();
    const auto after = std::upper_bound(rows_.begin(), rows_.end(), step,
                                        [](double s, const Row& row) { return s < static_cast<double>(row.first); });
    if (after == rows_.begin())
        return;
    const Row& row = *(after - 1);
    const auto expert = std::min(
        loads().experts - 1, static_cast<std::size_t>(std::max(
                                 0.0f, (mouse.x - area.min.x) / area.width() * static_cast<float>(loads().experts))));
    if (ImGui::IsItemClicked())
        ctx.selection.pinned_step = row.last;
    if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) {
        ctx.selection.pinned_step.reset();
        fit_steps(ctx.selection, run);
    }
    if (!ImGui::BeginTooltip())
        return;
    const StepCounts& counts = *run.counts[index_of(run, row.last)];
    ImGui::TextUnformatted(row.first == row.last
                               ? ctx.text.format("load.cell.step", {{"step", ctx.text.number(row.last)}}).c_str()
                               : ctx.text
                                     .format("load.cell.steps", {{"first", ctx.text.number(row.first)},
                                                                 {"last", ctx.text.number(row.last)}})
                                     .c_str());
    if (fits(counts, run) && static_cast<double>(row.last) + 1.0 >= step) {
        const std::size_t cell = layer(ctx) * loads().experts + expert, half = loads().layers * loads().experts;
        ui::text_dim(ctx, ctx.text.format("load.history.cell",
                                          {{"expert", std::to_string(expert)},
                                           {"step", ctx.text.number(row.last)},
                                           {"english", ctx.text.number(std::uint64_t{counts.counts[cell]})},
                                           {"chinese", ctx.text.number(std::uint64_t{counts.counts[half + cell]})}}));
    } else {
        ui::text_dim(ctx, ctx.text("load.history.hole"));
    }
    ui::text_dim(ctx, ctx.text("load.history.help"));
    ImGui::EndTooltip();
}

void ExpertLoadPanel::draw_history(Context& ctx, const TrainingRun& run, ImVec2 size) {
    ImGui::BeginChild("history", size, 0, ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse);
    caption(ctx, ctx.text("load.history"),
            ctx.text.format("load.history.unit", {{"layer", std::to_string(layer(ctx))}}));
    const float line = ImGui::GetTextLineHeight();
    const ImVec2 corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    const float left =
        ImGui::CalcTextSize(ctx.text.number(std::uint64_t{run.counts.back()->step}).c_str()).x + 0.6f * ctx.em;
    const Area area{{corner.x + left, corner.y},
                    {corner.x + room.x - 0.2f * ctx.em, corner.y + room.y - line - 0.2f * ctx.em}};
    if (area.width() >= ctx.em && area.height() >= ctx.em) {
        // The time range of the plots, as far as counts are kept.
        const double oldest = static_cast<double>(run.counts.front()->step),
                     newest = static_cast<double>(run.counts.back()->step) + 1;
        double from = std::max(ctx.selection.step_min, oldest), to = std::min(ctx.selection.step_max, newest);
        if (to - from < kWindows[0]) {
            from = oldest;
            to = newest;
        }
        const std::size_t limit = std::max<std::size_t>(
            1, std::min(static_cast<std::size_t>(area.height() / 2), kMostCells / loads().experts));
        refresh_rows(ctx, run,
                     {run.id, run.counts.back()->step, run.counts.size(), layer(ctx), limit, from, to,
                      mode_ == kDifference ? difference_ : scale_, mode_, ctx.theme.dark});
        ImGui::SetCursorScreenPos(area.min);
        ImGui::InvisibleButton("###load.rows", {area.width(), area.height()});
        draw_rows(ctx, area);
        draw_expert_ids(ctx, area);
        if (ImGui::IsItemHovered())
            hover_rows(ctx, run, area);
    }
    ImGui::EndChild();
}

// --- Bars and numbers
// -----------------------------------------------------------------------------------------------------

void ExpertLoadPanel::draw_bar_axis(const Context& ctx, const Area& area) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const bool diff = mode_ == kDifference;
    const double even = 100.0 / static_cast<double>(loads().experts);
    const double top = (diff ? difference_ : scale_) * even, bottom = diff ? -top : 0;
    const double tick = base::tick_step(top - bottom, std::max(2, static_cast<int>(area.height() / (2.2f * ctx.em))));
    const ImU32 grid = ImGui::GetColorU32(ctx.theme.grid), ink = ImGui::GetColorU32(ctx.theme.text_dim);
    const float line = ImGui::GetTextLineHeight();
    for (int i = 0; i < 20; ++i) {
        const double value = (std::ceil(bottom / tick) + i) * tick;
        if (value > top)
            break;
        const float y = area.max.y - static_cast<float>((value - bottom) / (top - bottom)) * area.height();
        draw.AddLine({area.min.x, y}, {area.max.x, y}, grid);
        const std::string name = ctx.text.number(std::abs(value) < tick * 1e-9 ? 0.0 : value, 3) + " %";
        draw.AddText({area.min.x - 0.35f * ctx.em - ImGui::CalcTextSize(name.c_str()).x,
                      std::clamp(y - line / 2, area.min.y - 0.2f * line, area.max.y - 0.8f * line)},
                     ink, name.c_str());
    }
}

void ExpertLoadPanel::draw_bars(Context& ctx, ImVec2 size) {
    ImGui::BeginChild("bars", size, 0, ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse);
    const bool diff = mode_ == kDifference;
    const std::size_t at = layer(ctx);
    caption(ctx, ctx.text.format("load.bars", {{"layer", std::to_string(at)}}).c_str(),
            ctx.text(diff ? "load.bars.difference" : "load.bars.unit"));
    const float line = ImGui::GetTextLineHeight();
    const ImVec2 corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    const Area area{{corner.x + 3.2f * ctx.em, corner.y},
                    {corner.x + room.x - 2 * ctx.em, corner.y + room.y - line - 0.2f * ctx.em}};
    if (area.width() < ctx.em || area.height() < ctx.em) {
        ImGui::EndChild();
        return;
    }
    ImGui::SetCursorScreenPos(area.min);
    ImGui::InvisibleButton("###load.bars", {area.width(), area.height()});
    const bool hovered = ImGui::IsItemHovered(), clicked = ImGui::IsItemClicked();
    draw_bar_axis(ctx, area);
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const double even = 1.0 / static_cast<double>(loads().experts);
    const double top = (diff ? difference_ : scale_) * even, bottom = diff ? -top : 0;
    const auto y_of = [&](double value) {
        return area.max.y -
               static_cast<float>((std::clamp(value, bottom, top) - bottom) / (top - bottom)) * area.height();
    };
    const float w = area.width() / static_cast<float>(loads().experts);
    const ImVec4 plain = mode_ == kEnglish   ? ctx.theme.english
                         : mode_ == kChinese ? ctx.theme.chinese
                                             : ctx.theme.series_color(4);
    for (std::size_t e = 0; e < loads().experts; ++e) {
        const std::size_t cell = at * loads().experts + e;
        const double value = cells_.value[cell];
        if (std::isnan(value))
            continue;
        const float middle = area.min.x + (static_cast<float>(e) + 0.5f) * w, half = std::max(0.5f, 0.36f * w);
        const float a = y_of(std::max(0.0, value)), b = y_of(std::min(0.0, value));
        ImU32 fill = ImGui::GetColorU32(diff ? (value > 0 ? ctx.theme.english : ctx.theme.chinese) : plain);
        if (diff && cells_.beyond[cell] == 0)
            fill = faded(fill, 0.35f);
        draw.AddRectFilled({middle - half, a}, {middle + half, std::max(b, a + 1)}, fill);
        if (diff) {
            // What shuffled labels give: a bracket of two standard deviations around zero.
            const float high = y_of(2 * cells_.sigma[cell]), low = y_of(-2 * cells_.sigma[cell]);
            draw.AddRectFilled({middle - half, high}, {middle + half, low},
                               faded(ImGui::GetColorU32(ctx.theme.text_dim), 0.22f));
        }
        if (ctx.selection.expert == static_cast<int>(e))
            draw.AddRect({middle - w / 2, area.min.y}, {middle + w / 2, area.max.y},
                         ImGui::GetColorU32(ctx.theme.accent), 0, 1.5f);
    }
    const float level = y_of(diff ? 0 : even);
    draw.AddLine({area.min.x, level}, {area.max.x, level}, ImGui::GetColorU32(ctx.theme.text), 1.5f);
    draw.AddText({area.max.x + 0.25f * ctx.em, level - line / 2}, ImGui::GetColorU32(ctx.theme.text),
                 diff ? "0" : "1/N");
    draw_expert_ids(ctx, area);
    if (hovered) {
        const auto e = std::min(loads().experts - 1,
                                static_cast<std::size_t>(std::max(0.0f, (ImGui::GetMousePos().x - area.min.x) / w)));
        cell_tooltip(ctx, at, e);
        if (clicked)
            select(ctx, at, e);
    }
    ImGui::EndChild();
}

void ExpertLoadPanel::draw_chance(Context& ctx) const {
    const std::size_t beyond = cells_.beyond_count;
    const std::size_t cells = loads().layers * loads().experts;
    // Two standard deviations of a normal distribution leave out 4.55 %.
    const double expected = 0.0455 * static_cast<double>(cells);
    ui::text_wrapped(ctx.text.format("load.chance", {{"beyond", ctx.text.number(std::uint64_t{beyond})},
                                                     {"cells", ctx.text.number(std::uint64_t{cells})},
                                                     {"expected", ctx.text.number(expected, 2)}}),
                     static_cast<double>(beyond) > 2 * expected + 1 ? ctx.theme.text_dim : ctx.theme.warning);
    ui::tooltip(ctx.text("load.chance.help"));
}

void ExpertLoadPanel::draw_numbers(Context& ctx, const TrainingRun& run, bool compact) {
    struct Number {
        const char* key;
        std::string here, mean;
    };
    const ui::Language& text = ctx.text;
    const bool diff = mode_ == kDifference;
    const std::size_t at = layer(ctx);
    const auto shown = [&](double value) { return std::isnan(value) ? std::string("-") : text.number(value, 3); };
    const auto dead = [&](const history::LoadMetrics& m) {
        return std::isnan(m.max_violation) ? std::string("-") : text.number(std::uint64_t{m.dead});
    };
    const history::LoadMetrics& here = cells_.layers[at];
    history::LoadMetrics other;
    double entropy_here = std::nan(""), entropy_mean = std::nan("");
    if (diff) {
        other = cells_.layers_chinese[at];
    } else {
        // Layers without experts have no load to be uneven.
        const auto has_load = [](const history::LoadMetrics& m) { return !std::isnan(m.max_violation); };
        const auto n = static_cast<double>(std::count_if(cells_.layers.begin(), cells_.layers.end(), has_load));
        if (n == 0)
            other = here;  // which has none either
        for (const history::LoadMetrics& m : cells_.layers) {
            if (!has_load(m))
                continue;
            other.max_violation += m.max_violation / n;
            other.variation += m.variation / n;
            other.entropy += m.entropy / n;
            other.gini += m.gini / n;
            other.dead += m.dead;
        }
    }
    // The router's entropy is kept for the newest step only.
    if (!ctx.selection.pinned_step && run.router_entropy.size() == loads().layers && !run.step.empty()) {
        entropy_here = run.router_entropy[at];
        entropy_mean = run[&base::StepValues::router_entropy_mean].back();
    }
    const std::vector<Number> numbers = {
        {"metric.max_violation", shown(here.max_violation), shown(other.max_violation)},
        {"metric.variation", shown(here.variation), shown(other.variation)},
        {"metric.entropy", shown(here.entropy), shown(other.entropy)},
        {"metric.gini", shown(here.gini), shown(other.gini)},
        {"metric.dead", dead(here), dead(other)},
        {"metric.router_entropy", diff ? "-" : shown(entropy_here), diff ? "-" : shown(entropy_mean)}};
    // Where height is short the numbers stand in two columns and the second value moves into the tooltip.
    ImGui::PushStyleVar(ImGuiStyleVar_CellPadding, {0.3f * ctx.em, ImGui::GetStyle().CellPadding.y});
    const ScopedStyle pop;
    if (!ImGui::BeginTable("numbers", compact ? 4 : 3, ImGuiTableFlags_SizingStretchProp))
        return;
    if (!compact) {
        ImGui::TableNextRow();
        ImGui::TableSetColumnIndex(1);
        ui::text_dim(ctx, diff ? text("load.mode.english")
                               : text.format("load.numbers.here", {{"layer", std::to_string(at)}}).c_str());
        ImGui::TableNextColumn();
        ui::text_dim(ctx, diff ? text("load.mode.chinese") : text("load.numbers.mean"));
        if (!diff)
            ui::tooltip(text("load.numbers.mean.help"));
    }
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        if (!compact || i % 2 == 0)
            ImGui::TableNextRow();
        const Number& n = numbers[i];
        std::string help = text(std::string(n.key) + ".help");
        if (compact)
            help += "\n" + text.format("load.numbers.all", {{"value", n.mean}});
        ImGui::TableNextColumn();
        ui::text_dim(ctx, text(n.key));
        ui::tooltip(help);
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(n.here.c_str());
        ui::tooltip(help);
        if (compact)
            continue;
        ImGui::TableNextColumn();
        ui::text_dim(ctx, n.mean);
    }
    ImGui::EndTable();
}

// --- The panel
// ------------------------------------------------------------------------------------------------------------

/// What can be done with one expert of a run that goes on. The node's refusals come in the status line.
void ExpertLoadPanel::draw_expert_menu(Context& ctx, const TrainingRun& run, Cell cell) {
    const auto [at, expert] = cell;
    const std::vector<ExpertState> now = expert_states(ctx.snapshot, run);
    const std::size_t index =
        static_cast<std::size_t>(at) * run.experts + static_cast<std::size_t>(expert);  // of an open menu's run
    if (index >= now.size())
        return;
    ui::text_dim(ctx,
                 ctx.text.format("load.cell", {{"layer", std::to_string(at)}, {"expert", std::to_string(expert)}}));
    const char* why_not = ctx.snapshot.link.state != client::Link::State::connected               ? "runs.offline"
                          : !alive(run)                                                           ? "knobs.ended"
                          : at < config_number(run.manifest, "model", "dense_layers").value_or(0) ? "load.expert.none"
                                                                                                  : nullptr;
    const ExpertState state = now[index];
    for (const std::string action :
         {state.disabled ? "enable" : "disable", state.frozen ? "thaw" : "freeze", "reset"}) {
        const std::string key = "load.expert." + action;
        if (ImGui::MenuItem(ctx.text.label(key), nullptr, false, why_not == nullptr))
            ctx.client.send("train.expert", {{"run", run.id}, {"layer", at}, {"expert", expert}, {"action", action}});
        ui::tooltip(ctx.text(why_not == nullptr ? key + ".help" : why_not));
    }
    ImGui::Separator();
}

void ExpertLoadPanel::draw_menu(Context& ctx, const TrainingRun& run) {
    if (ImGui::IsWindowHovered(ImGuiHoveredFlags_ChildWindows) && ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
        menu_cell_ = hovered_cell_;
        ImGui::OpenPopup("menu");
    }
    const ImVec2 low = ImGui::GetWindowPos(), size = ImGui::GetWindowSize();
    if (!ImGui::BeginPopup("menu"))
        return;
    if (menu_cell_)
        draw_expert_menu(ctx, run, *menu_cell_);
    const std::string name = run.name + "-load-" + std::to_string(loads().last_step);
    const auto csv = [this] { return [loads = loads()] { return loads_csv(loads); }; };
    if (ImGui::MenuItem(ctx.text.label("load.menu.csv")) && ctx.choose_save && ctx.save_file)
        ctx.choose_save(ctx.text("training.menu.save"), name + ".csv",
                        [save = ctx.save_file, make = csv()](const std::string& path) { save(path, make); });
    if (ImGui::MenuItem(ctx.text.label("training.menu.png")) && ctx.choose_save && ctx.save_image)
        ctx.choose_save(ctx.text("training.menu.save"), name + ".png",
                        [save = ctx.save_image, low, size](const std::string& path) {
                            save(low, {low.x + size.x, low.y + size.y}, path);
                        });
    if (ImGui::MenuItem(ctx.text.label("load.menu.copy")) && ctx.copy_text)
        ctx.copy_text(csv());
    ImGui::EndPopup();
}

void ExpertLoadPanel::draw(Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    if (run == nullptr || run->counts.empty() || run->layers == 0 || run->experts == 0) {
        const bool can_start = run == nullptr && ctx.snapshot.link.state == client::Link::State::connected;
        ui::empty_state(ctx, icon::table, run == nullptr ? "load.empty" : "load.waiting",
                        can_start ? "training.run.start" : nullptr, "run.start");
        return;
    }
    follow_steps(ctx.selection, *run);
    load(*run, ctx.selection);
    hovered_cell_.reset();
    draw_toolbar(ctx);
    load(*run, ctx.selection);
    refresh_cells();
    experts_ =
        expert_states(ctx.snapshot, *run, ctx.selection.pinned_step ? std::optional(loads().last_step) : std::nullopt);
    update_scale();
    refresh_colors(ctx);
    const ImVec2 room = ImGui::GetContentRegionAvail();
    if (room.x < 12 * ctx.em || room.y < 5 * ctx.em)
        return;
    const float space = ctx.em;
    const bool three = room.x >= 50 * ctx.em;
    // A narrow panel keeps the map and the layer; the history needs width.
    const float map = (three ? 0.36f : 0.52f) * room.x, history = three ? 0.28f * room.x : 0;
    draw_map(ctx, {map, room.y});
    ImGui::SameLine(0, space);
    if (three) {
        draw_history(ctx, *run, {history, room.y});
        ImGui::SameLine(0, space);
    }
    ImGui::BeginChild("layer", {0, room.y}, 0, ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse);
    const float width = ImGui::GetContentRegionAvail().x;
    const float row = ImGui::GetTextLineHeight() + 2 * ImGui::GetStyle().CellPadding.y;
    const bool compact = room.y < 18 * ctx.em && width > 17 * ctx.em;
    // With little height the difference keeps its bars; the balance of each language is one click away.
    const bool with_numbers = !(compact && mode_ == kDifference);
    const float numbers = with_numbers ? row * (compact ? 3 : 7) + 0.4f * ctx.em : 0;
    const float chance =
        mode_ == kDifference ? (width > 26 * ctx.em ? 2 : 3) * ImGui::GetTextLineHeightWithSpacing() : 0;
    const float bars = room.y - numbers - chance;
    if (bars > 5 * ctx.em)
        draw_bars(ctx, {width, bars});
    if (mode_ == kDifference)
        draw_chance(ctx);
    if (with_numbers)
        draw_numbers(ctx, *run, compact);
    ImGui::EndChild();
    draw_menu(ctx, *run);
}

bool ExpertLoadPanel::act(const std::string& action, Context& ctx) {
    static constexpr std::array<const char*, 4> kModes = {"load.all", "load.english", "load.chinese",
                                                          "load.difference"};
    const auto mode = std::find(kModes.begin(), kModes.end(), action);
    if (mode != kModes.end()) {
        mode_ = static_cast<int>(mode - kModes.begin());
        return true;
    }
    if (action == "load.live") {
        ctx.selection.pinned_step.reset();
        return true;
    }
    struct Turn {
        const char* action;
        int layers, experts;
    };
    static constexpr std::array<Turn, 4> kTurns = {{{"load.layer_next", 1, 0},
                                                    {"load.layer_previous", -1, 0},
                                                    {"load.expert_next", 0, 1},
                                                    {"load.expert_previous", 0, -1}}};
    const auto turn = std::find_if(kTurns.begin(), kTurns.end(), [&](const Turn& t) { return action == t.action; });
    if (turn == kTurns.end())
        return false;
    const TrainingRun* run = selected_run(ctx);
    if (run == nullptr || run->layers == 0 || run->experts == 0)
        return true;
    ui::Selection& selection = ctx.selection;
    selection.layer = std::clamp(std::max(0, selection.layer) + turn->layers, 0, run->layers - 1);
    if (turn->experts != 0)
        selection.expert = selection.expert < 0 ? (turn->experts > 0 ? 0 : run->experts - 1)
                                                : std::clamp(selection.expert + turn->experts, 0, run->experts - 1);
    return true;
}

std::unique_ptr<ui::Panel> make_expert_load() {
    return std::make_unique<ExpertLoadPanel>();
}

}  // namespace moescope::panels
