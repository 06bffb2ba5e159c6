#include "panels/experts/expert_marks.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <numbers>
#include <vector>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

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
        for (const float side : {-0.45f, 0.45f}) {
            if (radius > 5) {
                draw.AddLine(at(turn, 0.55f), at(turn + side, 0.9f), ink, stroke);
            }
        }
    }
}

struct Mark {
    bool ExpertState::*set;
    const char* key;        ///< language key of the legend; key + ".help" says what the mark means
    const char* state_key;  ///< language key of the sentence about one expert
    void (*draw)(ImDrawList& draw, ImVec2 centre, float radius, ImU32 ink);
};
constexpr Mark kMarks[] = {{&ExpertState::disabled, "load.marks.disabled", "load.expert.disabled", draw_cross},
                           {&ExpertState::frozen, "load.marks.frozen", "load.expert.frozen", draw_snowflake}};

/// One line per layer: "layer 3: 1, 4, 7".
std::string marked_experts(const LoadView& view, const Mark& mark) {
    std::string lines;
    for (const std::string& layer :
         experts_text(view.ctx.text, {view.states.begin(), view.states.end()}, view.model.experts(), mark.set)) {
        lines += "\n" + layer;
    }
    return lines;
}

struct Entry {
    const Mark* mark;
    std::string text;
    float width;
};

/// With words, or only with numbers where that is too wide.
std::vector<Entry> legend_entries(const LoadView& view, float room, float symbol, float between) {
    std::vector<Entry> entries;
    for (const bool words : {true, false}) {
        entries.clear();
        float all = 0;
        for (const Mark& mark : kMarks) {
            const auto n = std::count_if(view.states.begin(), view.states.end(),
                                         [&](const ExpertState& expert) { return expert.*mark.set; });
            if (n == 0) {
                continue;
            }
            const std::string count = view.ctx.text.number(static_cast<std::uint64_t>(n));
            Entry entry{&mark, words ? view.ctx.text.format(mark.key, {{"n", count}}) : count, 0};
            entry.width = symbol + ImGui::CalcTextSize(entry.text.c_str()).x;
            all += between + entry.width;
            entries.push_back(std::move(entry));
        }
        if (all <= room) {
            break;
        }
    }
    return entries;
}

}  // namespace

void draw_marks(const ui::Context& ctx, const ExpertState& state, const Area& cell, ImU32 fill, bool with_number) {
    const bool opaque = (fill & IM_COL32_A_MASK) == IM_COL32_A_MASK;
    const ImU32 ink = opaque ? ui::ink_on(fill) : ImGui::GetColorU32(ctx.theme.text);
    const float least = std::min(cell.width(), cell.height());
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ImVec2 centre{(cell.min.x + cell.max.x) / 2, (cell.min.y + cell.max.y) / 2};
    if (state.disabled) {
        draw_cross(draw, centre, std::min(0.36f * least, 0.6f * ctx.em), ink);
    }
    if (!state.frozen) {
        return;
    }
    if (!state.disabled && !with_number) {
        draw_snowflake(draw, centre, std::min(0.4f * least, 0.5f * ctx.em), ink);
        return;
    }
    const float radius = std::min(0.24f * least, 0.4f * ctx.em);
    draw_snowflake(draw, {cell.max.x - 1.2f * radius, cell.min.y + 1.2f * radius}, radius, ink);
}

float draw_marks_legend(const LoadView& view, float room) {
    const float line = ImGui::GetTextLineHeight(), gap = 0.3f * view.ctx.em, between = 0.8f * view.ctx.em;
    const std::vector<Entry> entries = legend_entries(view, room, line + gap, between);
    const ImVec2 start = ImGui::GetCursorScreenPos();
    const float end = start.x + ImGui::GetContentRegionAvail().x;
    float right = end;
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
        const Mark& mark = *entry->mark;
        const ImVec2 at{right - entry->width, start.y};
        ImGui::SetCursorScreenPos(at);
        ImGui::PushItemFlag(ImGuiItemFlags_NoNav, true);
        ImGui::InvisibleButton(fmt::format("###{}", mark.key).c_str(), {entry->width, line});
        ImGui::PopItemFlag();
        ui::tooltip(view.ctx.text(fmt::format("{}.help", mark.key)) + marked_experts(view, mark));
        ImDrawList& draw = *ImGui::GetWindowDrawList();
        const ImU32 ink = ImGui::GetColorU32(view.ctx.theme.text);
        mark.draw(draw, {at.x + line / 2, at.y + line / 2}, 0.36f * line, ink);
        draw.AddText({at.x + line + gap, at.y}, ink, entry->text.c_str());
        right = at.x - between;
    }
    ImGui::SetCursorScreenPos(start);
    return end - right;
}

void draw_mark_sentences(const LoadView& view, const ExpertState& state) {
    for (const Mark& mark : kMarks) {
        if (state.*mark.set) {
            ui::text_wrapped(view.ctx.text(mark.state_key), {}, 20 * view.ctx.em);
        }
    }
}

}  // namespace moescope::panels
