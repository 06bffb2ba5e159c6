#include "panels/routing/flow_view.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "panels/ui/figure_svg.hpp"
#include "panels/ui/figure_text.hpp"
#include "panels/ui/plot_parts.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr int kPieces = 24;         ///< of a strip
constexpr float kNodeWidth = 0.7f;  ///< em

float y_of(const Area& area, double height) {
    return area.min.y + static_cast<float>(height) * area.height();
}

}  // namespace

void FlowView::draw_strips(const ui::Context& ctx, const FlowSpec& spec, const Area& area, const Under& under) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const auto touches = [&](const FlowLayout::Strip& strip, int layer, int expert) {
        return (layer == spec.flow->from_layer && static_cast<int>(strip.band.from) == expert) ||
               (layer == spec.flow->to_layer && static_cast<int>(strip.band.to) == expert);
    };
    const bool any_chosen = std::any_of(layout_.strips.begin(), layout_.strips.end(),
                                        [&](const auto& strip) { return touches(strip, spec.layer, spec.expert); });
    for (std::size_t i = 0; i < layout_.strips.size(); ++i) {
        const FlowLayout::Strip& strip = layout_.strips[i];
        bool strong = touches(strip, spec.layer, spec.expert);
        if (under.strip) {
            strong = under.strip == i;
        } else if (under.node) {
            strong = touches(strip, under.node->layer, under.node->expert);
        }
        const bool others_quiet = any_chosen || under.strip || under.node;
        const float alpha = strong ? 0.85f : others_quiet ? 0.14f : 0.4f;
        const ImU32 color = ui::packed(ctx.theme.series_color(strip.band.from), alpha);
        draw.PrimReserve(6 * kPieces, 2 * (kPieces + 1));
        const ImVec2 white = ImGui::GetFontTexUvWhitePixel();
        const auto first = static_cast<ImDrawIdx>(draw._VtxCurrentIdx);
        for (int piece = 0; piece <= kPieces; ++piece) {
            const CurvePoint at = curve_point(static_cast<double>(piece) / kPieces);
            const float x = area.min.x + static_cast<float>(at.along) * area.width();
            const double top = strip.left_top + (strip.right_top - strip.left_top) * at.between,
                         bottom = strip.left_bottom + (strip.right_bottom - strip.left_bottom) * at.between;
            const float high = y_of(area, top);
            // A band is seen however small its share is.
            const float low = std::max(y_of(area, bottom), high + 1);
            draw.PrimWriteVtx({x, high}, white, color);
            draw.PrimWriteVtx({x, low}, white, color);
        }
        for (int piece = 0; piece < kPieces; ++piece) {
            const int corner = first + 2 * piece;
            for (const int offset : {0, 2, 3, 0, 3, 1}) {
                draw.PrimWriteIdx(static_cast<ImDrawIdx>(corner + offset));
            }
        }
    }
}

void FlowView::draw_nodes(const ui::Context& ctx, const FlowSpec& spec, const Area& area, bool left) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const std::vector<FlowLayout::Node>& nodes = left ? layout_.left : layout_.right;
    const float width = kNodeWidth * ctx.em, line = ImGui::GetTextLineHeight();
    const float x = left ? area.min.x - width : area.max.x;
    const int layer = left ? spec.flow->from_layer : spec.flow->to_layer;
    const ImU32 drawn = ui::packed(ctx.theme.text, 0.75f), rest = ui::packed(ctx.theme.text_dim, 0.4f),
                ink = ImGui::GetColorU32(ctx.theme.text_dim);
    float free = -1e30f;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        const FlowLayout::Node& node = nodes[i];
        if (!(node.bottom > node.top)) {
            continue;
        }
        const float top = y_of(area, node.top), bottom = std::max(y_of(area, node.bottom), top + 1),
                    middle = y_of(area, node.rest);
        draw.AddRectFilled({x, top}, {x + width, middle}, drawn);
        draw.AddRectFilled({x, middle}, {x + width, bottom}, rest);
        const bool chosen = spec.layer == layer && spec.expert == static_cast<int>(i);
        if (chosen) {
            draw.AddRect({x - 1, top - 1}, {x + width + 1, bottom + 1}, ImGui::GetColorU32(ctx.theme.accent), 0, 2.0f);
        }
        const float at = (top + bottom - line) / 2;
        if (at < free) {
            continue;
        }
        const std::string name = std::to_string(i);
        const float length = ImGui::CalcTextSize(name.c_str()).x;
        draw.AddText({left ? x - length - 0.3f * ctx.em : x + width + 0.3f * ctx.em, at},
                     chosen ? ImGui::GetColorU32(ctx.theme.text) : ink, name.c_str());
        free = at + line;
    }
}

FlowView::Under FlowView::under_mouse(const FlowSpec& spec, const Area& area) const {
    Under under;
    const ImVec2 mouse = ImGui::GetMousePos();
    const double height = (mouse.y - area.min.y) / area.height();
    for (const bool left : {true, false}) {
        const bool beside = left ? mouse.x < area.min.x : mouse.x > area.max.x;
        const auto& nodes = left ? layout_.left : layout_.right;
        // Small nodes are hit within a pixel or two.
        const double reach = 1.0 / std::max(1.0f, area.height());
        for (std::size_t i = 0; i < nodes.size() && beside; ++i) {
            if (nodes[i].bottom > nodes[i].top && height >= nodes[i].top - reach && height <= nodes[i].bottom + reach) {
                under.node = {left ? spec.flow->from_layer : spec.flow->to_layer, static_cast<int>(i)};
                under.index = i;
                under.left = left;
                break;
            }
        }
    }
    if (!under.node) {
        under.strip = strip_at(layout_, (mouse.x - area.min.x) / area.width(), height);
    }
    return under;
}

void FlowView::draw_tooltip(const ui::Context& ctx, const FlowSpec& spec, const Under& under) const {
    if ((!under.strip && !under.node) || !ui::begin_tooltip()) {
        return;
    }
    const Flow& flow = *spec.flow;
    const auto expert = [&](int layer, std::size_t number) {
        return ctx.text.format("load.cell", {{"layer", std::to_string(layer)}, {"expert", std::to_string(number)}});
    };
    const auto row = [&](const char* key, const std::string& value) {
        ImGui::TableNextRow();
        ImGui::TableNextColumn();
        ui::text_dim(ctx, ctx.text(key));
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(value.c_str());
    };
    const auto percent = [&](double share) { return value_text(ctx.text, share, Unit::percent); };
    if (under.strip) {
        const Flow::Band& band = layout_.strips[*under.strip].band;
        ImGui::TextUnformatted(
            (expert(flow.from_layer, band.from) + " \u2192 " + expert(flow.to_layer, band.to)).c_str());
        if (ImGui::BeginTable("values", 2, ImGuiTableFlags_SizingFixedFit)) {
            row("structure.column.pairs", ctx.text.number(band.count));
            row("structure.column.share_of_pairs", percent(flow.share(band)));
            row("structure.column.follows", percent(flow.conditional(band)));
            row("structure.column.baseline", percent(flow.coming[band.to]));
            ImGui::EndTable();
        }
    } else {
        ImGui::TextUnformatted(expert(under.node->layer, under.index).c_str());
        const FlowLayout::Node& node = (under.left ? layout_.left : layout_.right)[under.index];
        const double share = (under.left ? flow.leaving : flow.coming)[under.index];
        const double drawn = (node.rest - node.top) / (node.bottom - node.top);
        if (ImGui::BeginTable("values", 2, ImGuiTableFlags_SizingFixedFit)) {
            row("structure.column.share_of_pairs", percent(share));
            row("structure.flow.drawn", percent(drawn));
            if (const std::optional<double> rest = rest_besides(drawn)) {
                row("structure.flow.rest", percent(*rest));
            }
            ImGui::EndTable();
        }
    }
    ImGui::EndTooltip();
}

FlowView::Hit FlowView::draw(ui::Context& ctx, const FlowSpec& spec, ImVec2 size) {
    Hit hit;
    if (flow_ != spec.flow || most_ != spec.most) {
        flow_ = spec.flow;
        most_ = spec.most;
        layout_ = lay_out(*spec.flow, spec.most);
    }
    ImGui::PushID("flow");
    begin_view("flow", size);
    const ImVec2 low = ImGui::GetWindowPos(), all = ImGui::GetWindowSize();
    if (!ImGui::IsPopupOpen("menu")) {
        about_.reset();
    }
    draw_head(ctx, spec.title, spec.unit);
    const ImVec2 corner = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    const float side = ImGui::CalcTextSize("0000").x + (kNodeWidth + 0.5f) * ctx.em, line = ImGui::GetTextLineHeight();
    const Area area{{corner.x + side, corner.y + 0.6f * line},
                    {corner.x + room.x - side, corner.y + room.y - 0.6f * line}};
    if (spec.flow->total > 0 && area.width() >= 4 * ctx.em && area.height() >= 2 * ctx.em) {
        ImGui::SetCursorScreenPos({corner.x, area.min.y});
        ImGui::InvisibleButton("###flow", {room.x, area.height()});
        const bool clicked = ImGui::IsItemClicked(), hovered = ImGui::IsItemHovered();
        const Under under = hovered ? under_mouse(spec, area) : Under();
        draw_strips(ctx, spec, area, under);
        draw_nodes(ctx, spec, area, true);
        draw_nodes(ctx, spec, area, false);
        if (hovered) {
            draw_tooltip(ctx, spec, under);
            if (clicked && under.node) {
                (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left) ? hit.opened : hit.clicked) = under.node;
            }
            if (ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
                about_ = under.node;
                ImGui::OpenPopup("menu");
            }
        }
    }
    draw_menu(ctx, spec, low, {low.x + all.x, low.y + all.y});
    ImGui::EndChild();
    ImGui::PopID();
    return hit;
}

void FlowView::draw_menu(ui::Context& ctx, const FlowSpec& spec, ImVec2 min, ImVec2 max) {
    if (!ImGui::BeginPopup("menu")) {
        return;
    }
    if (spec.menu && about_) {
        spec.menu(about_->layer, about_->expert);
    }
    const auto words = [&] {
        FlowWords said{spec.title, {}, {}, {}};
        said.left_name = ctx.text.format("structure.flow.layer", {{"layer", std::to_string(spec.flow->from_layer)}});
        said.right_name = ctx.text.format("structure.flow.layer", {{"layer", std::to_string(spec.flow->to_layer)}});
        for (const ImVec4& color : ctx.theme.series) {
            said.colors.push_back(ui::hex_color(color));
        }
        return said;
    };
    draw_export_items(ctx, {.name = spec.file,
                            .csv = [&] { return [flow = spec.flow] { return to_csv(flow_table(*flow)); }; },
                            .svg =
                                [&] {
                                    return [flow = spec.flow, layout = layout_, said = words()] {
                                        return to_svg(*flow, layout, said);
                                    };
                                },
                            .min = min,
                            .max = max});
    ImGui::EndPopup();
}

}  // namespace moescope::panels
