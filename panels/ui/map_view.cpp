#include "panels/ui/map_view.hpp"

#include <algorithm>
#include <cmath>

#include "panels/ui/figure_svg.hpp"
#include "panels/ui/figure_text.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

/// The ticks that were asked for and the ends of the scale, those left out that would stand over another one: `line` is
/// the height of a name, in parts of the scale.
std::vector<std::pair<double, std::string>> ticks_of(const ui::Context& ctx, const MapSpec& spec, double line) {
    std::vector<std::pair<double, std::string>> ticks;
    const double reach = line * (spec.high - spec.low);
    const auto add = [&](double value, const std::string& name) {
        if (value >= spec.low && value <= spec.high && std::none_of(ticks.begin(), ticks.end(), [&](const auto& tick) {
                return std::abs(tick.first - value) < reach;
            })) {
            ticks.emplace_back(value, name);
        }
    };
    for (const auto& [value, name] : spec.ticks) {
        add(value, name);
    }
    add(spec.high, value_text(ctx.text, spec.high, spec.unit_of_value));
    add(spec.low, value_text(ctx.text, spec.low, spec.unit_of_value));
    if (spec.diverging) {
        add(0, value_text(ctx.text, 0, spec.unit_of_value));
    }
    return ticks;
}

void draw_scale(const ui::Context& ctx, const MapSpec& spec, const MapColors& colors,
                const std::vector<std::pair<double, std::string>>& ticks, const Area& area) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    constexpr int kSlices = 48;
    const float slice = area.height() / kSlices;
    for (int i = 0; i < kSlices; ++i) {
        const double value = spec.high + (spec.low - spec.high) * (i + 0.5) / kSlices;
        draw.AddRectFilled({area.min.x, area.min.y + static_cast<float>(i) * slice},
                           {area.max.x, area.min.y + static_cast<float>(i + 1) * slice + 0.5f}, colors(value));
    }
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    const float line = ImGui::GetTextLineHeight();
    for (const auto& [value, label] : ticks) {
        const float y = area.min.y + static_cast<float>((spec.high - value) / (spec.high - spec.low)) * area.height();
        draw.AddLine({area.min.x, y}, {area.max.x + 0.25f * ctx.em, y}, ink);
        const float at = std::clamp(y - line / 2, area.min.y - 0.3f * line, area.max.y - 0.7f * line);
        draw.AddText({area.max.x + 0.35f * ctx.em, at}, ink, label.c_str());
    }
}

float widest_name(const std::vector<std::string>& names) {
    float widest = 0;
    // Names are numbers or few: the longest text is the widest within a letter.
    for (const std::string& name : names) {
        widest = std::max(widest, ImGui::CalcTextSize(name.c_str()).x);
    }
    return widest;
}

/// The numbers of an axis that is one, as many as fit.
void draw_ticks_below(const ui::Context& ctx, const Map& map, const Area& area) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    float free = -1e30f;
    for (const auto& [place, name] : map.column_ticks) {
        const float x = area.min.x + static_cast<float>(place / static_cast<double>(map.columns)) * area.width(),
                    width = ImGui::CalcTextSize(name.c_str()).x;
        draw.AddLine({x, area.max.y}, {x, area.max.y + 0.15f * ctx.em}, ink);
        if (x - width / 2 > free) {
            draw.AddText({x - width / 2, area.max.y + 0.15f * ctx.em}, ink, name.c_str());
            free = x + width / 2 + 0.5f * ctx.em;
        }
    }
}

void draw_selection(const ui::Context& ctx, const MapSpec& spec, const Area& area) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float w = area.width() / static_cast<float>(spec.map->columns),
                h = area.height() / static_cast<float>(spec.map->rows);
    const ImU32 quiet = ui::packed(ctx.theme.text, 0.7f), strong = ImGui::GetColorU32(ctx.theme.accent);
    if (spec.row && *spec.row < spec.map->rows) {
        const float top = area.min.y + static_cast<float>(*spec.row) * h;
        draw.AddRect({area.min.x - 1, top - 1}, {area.max.x + 1, top + h + 1}, quiet, 0, 1.0f);
    }
    if (spec.row && spec.column && *spec.column < spec.map->columns && *spec.row < spec.map->rows) {
        const ImVec2 low{area.min.x + static_cast<float>(*spec.column) * w,
                         area.min.y + static_cast<float>(*spec.row) * h};
        draw.AddRect({low.x - 2, low.y - 2}, {low.x + w + 2, low.y + h + 2}, strong, 0, 2.0f);
    }
}

}  // namespace

MapColors map_colors(const ui::Theme& theme, const MapSpec& spec) {
    MapColors colors;
    colors.low = spec.low;
    colors.high = spec.high;
    colors.middle = spec.diverging ? 0 : spec.low;
    for (std::size_t i = 0; i < colors.ramp.size(); ++i) {
        const double place = static_cast<double>(i) / static_cast<double>(colors.ramp.size() - 1);
        colors.ramp[i] = spec.diverging ? theme.difference_color(2 * place - 1) : theme.load_color(place);
    }
    colors.nothing = ui::packed(theme.grid, 0.5f);
    colors.stroke = ui::packed(theme.text_dim, 0.35f);
    return colors;
}

void MapView::refresh(const ui::Context& ctx, const MapSpec& spec, int width, int height) {
    const Key key{spec.map, width, height, spec.low, spec.high, spec.diverging, ctx.theme.dark};
    if (key == key_) {
        return;
    }
    key_ = key;
    picture_ = ctx.make_picture
                   ? ctx.make_picture(width, height,
                                      rasterise(*spec.map, map_colors(ctx.theme, spec), static_cast<std::size_t>(width),
                                                static_cast<std::size_t>(height)))
                   : nullptr;
}

MapView::Hit MapView::draw(ui::Context& ctx, const MapSpec& spec, ImVec2 size) {
    Hit hit;
    const Map& map = *spec.map;
    ImGui::PushID(spec.id);
    begin_view("map", size);
    const ImVec2 low = ImGui::GetWindowPos(), all = ImGui::GetWindowSize();
    if (!ImGui::IsPopupOpen("menu")) {
        about_.reset();
    }
    draw_head(ctx, spec.title, spec.unit);
    const ImVec2 corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    const float line = ImGui::GetTextLineHeight();
    const std::vector<std::pair<double, std::string>> ticks =
        ticks_of(ctx, spec, 1.4 * line / std::max(line, room.y - 2 * line));
    float right = 0;
    for (const auto& [value, label] : ticks) {
        right = std::max(right, ImGui::CalcTextSize(label.c_str()).x);
    }
    right += 1.7f * ctx.em;
    const float left = widest_name(map.row_names) + 0.6f * ctx.em;
    // Whole pixels: the picture is drawn pixel by pixel.
    const ImVec2 origin{std::floor(corner.x + left), std::floor(corner.y + 0.2f * ctx.em)};
    const int width = static_cast<int>(corner.x + room.x - right - origin.x),
              height = static_cast<int>(corner.y + room.y - 2 * line - 0.3f * ctx.em - origin.y);
    if (map.rows > 0 && map.columns > 0 && width >= static_cast<int>(ctx.em) && height >= static_cast<int>(ctx.em)) {
        const Area area{origin, {origin.x + static_cast<float>(width), origin.y + static_cast<float>(height)}};
        refresh(ctx, spec, width, height);
        ImGui::SetCursorScreenPos(area.min);
        ImGui::InvisibleButton("###cells", {area.width(), area.height()});
        const bool clicked = ImGui::IsItemClicked();
        if (ImGui::IsItemHovered()) {
            const ImVec2 mouse = ImGui::GetMousePos();
            hit.hovered = MapCell{part_at(mouse.y, area.min.y, area.height(), map.rows),
                                  part_at(mouse.x, area.min.x, area.width(), map.columns)};
            if (clicked && ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) {
                hit.opened = hit.hovered;
            } else if (clicked) {
                hit.clicked = hit.hovered;
            }
            if (ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
                about_ = hit.hovered;
                ImGui::OpenPopup("menu");
            }
        }
        if (picture_) {
            ImGui::GetWindowDrawList()->AddImage(ImTextureRef(picture_->id), area.min, area.max);
        }
        if (spec.over) {
            ImGui::PushClipRect(area.min, area.max, true);
            spec.over(*ImGui::GetWindowDrawList(), area);
            ImGui::PopClipRect();
        }
        draw_selection(ctx, spec, area);
        draw_names_left(
            ctx, area, map.rows, [&](std::size_t row) { return map.row_names[row]; }, spec.row.value_or(map.rows));
        if (map.column_ticks.empty()) {
            draw_names_below(ctx, area, map.columns, [&](std::size_t column) { return map.column_names[column]; });
        } else {
            draw_ticks_below(ctx, map, area);
        }
        // What rows and columns are, below all.
        const std::string axes =
            ctx.text.format("figure.axes", {{"rows", ctx.text(map.row_key)}, {"columns", ctx.text(map.column_key)}});
        ImGui::GetWindowDrawList()->AddText({area.min.x, area.max.y + line + 0.1f * ctx.em},
                                            ImGui::GetColorU32(ctx.theme.text_dim),
                                            ui::elided(axes, area.width() + right).c_str());
        draw_scale(ctx, spec, map_colors(ctx.theme, spec), ticks,
                   {{area.max.x + 0.6f * ctx.em, area.min.y}, {area.max.x + 1.2f * ctx.em, area.max.y}});
        if (hit.hovered && spec.tooltip && ui::begin_tooltip()) {
            spec.tooltip(*hit.hovered);
            ImGui::EndTooltip();
        }
    }
    draw_menu(ctx, spec, low, {low.x + all.x, low.y + all.y});
    ImGui::EndChild();
    ImGui::PopID();
    return hit;
}

void MapView::draw_menu(ui::Context& ctx, const MapSpec& spec, ImVec2 min, ImVec2 max) {
    if (!ImGui::BeginPopup("menu")) {
        return;
    }
    if (spec.menu && about_ && about_->row < spec.map->rows && about_->column < spec.map->columns) {
        spec.menu(*about_);
    }
    const auto words = [&] {
        return MapWords{spec.title + ui::in_brackets(ctx.text, spec.unit), ctx.text(spec.map->row_key),
                        ctx.text(spec.map->column_key), ticks_of(ctx, spec, 0.04)};
    };
    draw_export_items(ctx, {.name = spec.file,
                            .csv = [&] { return [map = spec.map] { return to_csv(*map); }; },
                            .svg =
                                [&] {
                                    // On white, whatever the theme of the window.
                                    return [map = spec.map, colors = map_colors(ui::make_theme(false), spec),
                                            said = words()] { return to_svg(*map, colors, said); };
                                },
                            .min = min,
                            .max = max});
    ImGui::EndPopup();
}

}  // namespace moescope::panels
