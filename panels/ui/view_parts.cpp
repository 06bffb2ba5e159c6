#include "panels/ui/view_parts.hpp"

#include <algorithm>

#include "panels/ui/plot_parts.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr std::size_t kFewNames = 16;  ///< that are cut rather than left out
constexpr float kLeastName = 2.5f;     ///< em, below which nothing can be told of a name

}  // namespace

std::size_t part_at(float at, float low, float extent, std::size_t n) {
    const float part = std::max(0.0f, (at - low) / extent * static_cast<float>(n));
    return std::min(n - 1, static_cast<std::size_t>(part));
}

ImU32 faded(ImU32 color, float alpha) {
    const auto a = static_cast<ImU32>(static_cast<float>(color >> IM_COL32_A_SHIFT) * alpha);
    return (color & ~IM_COL32_A_MASK) | (a << IM_COL32_A_SHIFT);
}

void begin_view(const char* id, ImVec2 size) {
    ImGui::BeginChild(id, size, 0, ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse);
}

void draw_head(const ui::Context& ctx, const std::string& title, const std::string& unit) {
    ui::draw_title_button(ctx, title.c_str(), ctx.text("training.menu.help"));
    ImGui::SameLine(0, 0.4f * ctx.em);
    ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.text_dim);
    ui::text_elided(unit, std::max(2 * ctx.em, ImGui::GetContentRegionAvail().x));
    ImGui::PopStyleColor();
}

void draw_axis_label(const ui::Context& ctx, const Area& area, float y, const std::string& label) {
    const float line = ImGui::GetTextLineHeight();
    ImGui::GetWindowDrawList()->AddText({area.min.x - 0.35f * ctx.em - ImGui::CalcTextSize(label.c_str()).x,
                                         std::clamp(y - line / 2, area.min.y - 0.2f * line, area.max.y - 0.8f * line)},
                                        ImGui::GetColorU32(ctx.theme.text_dim), label.c_str());
}

void draw_names_below(const ui::Context& ctx, const Area& area, std::size_t n,
                      const std::function<std::string(std::size_t)>& name) {
    const float part = area.width() / static_cast<float>(n);
    float widest = 0;
    for (std::size_t i = 0; i < n; ++i) {
        widest = std::max(widest, ImGui::CalcTextSize(name(i).c_str()).x);
    }
    widest += 0.4f * ctx.em;
    const bool cut = n <= kFewNames && part < widest && part > kLeastName * ctx.em;
    std::size_t stride = 1;
    while (!cut && part * static_cast<float>(stride) < widest && stride < n) {
        stride *= 2;
    }
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    for (std::size_t i = 0; i < n; i += stride) {
        const std::string label = cut ? ui::elided(name(i), part - 0.4f * ctx.em) : name(i);
        const float width = ImGui::CalcTextSize(label.c_str()).x;
        // The first and the last one stay within the view, whatever their length.
        const float middle = area.min.x + (static_cast<float>(i) + 0.5f) * part;
        const float left =
            std::max(area.min.x - 0.2f * ctx.em, std::min(middle - width / 2, area.max.x + 0.8f * ctx.em - width));
        ImGui::GetWindowDrawList()->AddText({left, area.max.y + 0.1f * ctx.em}, ink, label.c_str());
    }
}

void draw_names_left(const ui::Context& ctx, const Area& area, std::size_t n,
                     const std::function<std::string(std::size_t)>& name, std::size_t chosen) {
    const float line = ImGui::GetTextLineHeight(), part = area.height() / static_cast<float>(n);
    std::size_t stride = 1;
    while (part * static_cast<float>(stride) < line && stride < n) {
        stride *= 2;
    }
    for (std::size_t i = 0; i < n; i += stride) {
        const std::string label = name(i);
        ImGui::GetWindowDrawList()->AddText({area.min.x - ImGui::CalcTextSize(label.c_str()).x - 0.4f * ctx.em,
                                             area.min.y + (static_cast<float>(i) + 0.5f) * part - line / 2},
                                            ImGui::GetColorU32(i == chosen ? ctx.theme.text : ctx.theme.text_dim),
                                            label.c_str());
    }
}

void draw_export_items(ui::Context& ctx, const Exports& exports) {
    if (exports.csv && ImGui::MenuItem(ctx.text.label("training.menu.csv")) && ctx.save_as) {
        ctx.save_as(exports.name + ".csv", exports.csv());
    }
    if (exports.svg && ImGui::MenuItem(ctx.text.label("training.menu.svg")) && ctx.save_as) {
        ctx.save_as(exports.name + ".svg", exports.svg());
    }
    const bool picture = exports.max.x > exports.min.x && exports.max.y > exports.min.y;
    if (picture && ImGui::MenuItem(ctx.text.label("training.menu.png")) && ctx.save_picture) {
        ctx.save_picture(exports.name + ".png", exports.min, exports.max);
    }
    if (exports.csv) {
        ImGui::Separator();
        if (ImGui::MenuItem(ctx.text.label("training.menu.copy")) && ctx.copy_text) {
            ctx.copy_text(exports.csv());
        }
    }
}

}  // namespace moescope::panels
