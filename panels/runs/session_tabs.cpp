#include "panels/runs/session_tabs.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "panels/node/link_look.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using ui::Context;
using ui::OpenedSession;
namespace icon = ui::icon;

constexpr std::size_t kMostRows = 2;                          ///< the list of runs is what the panel is for
constexpr float kLeastWidth = 5;                              ///< em, of a tab that still says which one it is
constexpr float kMostWidth = 18, kEdge = 0.5f, kGap = 0.45f;  ///< em

/// The name, and the machine where it is another one.
std::string title_of(const OpenedSession& session) {
    return session.machine.empty() || session.machine == session.name ? session.name
                                                                      : session.name + " \u00b7 " + session.machine;
}

bool works(const OpenedSession& session) {
    return session.snapshot->link.state == client::Link::State::connected && !session.snapshot->tasks.empty();
}

void draw_ground(const Context& ctx, const OpenedSession& session, ImVec2 low, ImVec2 high, bool hovered) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ImGuiCol ground = hovered ? ImGuiCol_TabHovered : session.front ? ImGuiCol_TabSelected : ImGuiCol_Tab;
    draw.AddRectFilled(low, high, ImGui::GetColorU32(ground), ImGui::GetStyle().FrameRounding);
    if (session.front) {
        draw.AddRectFilled({low.x, high.y - 0.14f * ctx.em}, high, ImGui::GetColorU32(ctx.theme.accent));
    }
}

void draw_tab(Context& ctx, const OpenedSession& session, float width) {
    const float height = ImGui::GetFrameHeight();
    // A narrow one keeps its room for the name; the middle button closes it all the same.
    const bool several = ctx.sessions.open.size() > 1, closable = several && (session.front || width > 7 * ctx.em);
    const float main = width - (closable ? height : 0);
    ImGui::PushID(("session" + std::to_string(session.id)).c_str());
    ImGui::BeginGroup();
    const ImVec2 at = ImGui::GetCursorScreenPos();
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const bool over = ImGui::IsMouseHoveringRect(at, {at.x + width, at.y + height}) && ImGui::IsWindowHovered();
    draw_ground(ctx, session, at, {at.x + width, at.y + height}, over);
    if (ImGui::InvisibleButton("###tab", {main, height}, ImGuiButtonFlags_EnableNav)) {
        ctx.sessions.show(session.id);
    }
    if (several && ImGui::IsItemClicked(ImGuiMouseButton_Middle)) {
        ctx.sessions.close(session.id);
    }
    if (ui::tooltip_due()) {
        ui::tooltip(session_words(ctx, session));
    }
    const LinkLook look = link_look(session.snapshot->link, ctx.now);
    // A dot while all is well, so that any other sign stands out.
    const char* mark = works(session) ? icon::play : look.tone == ui::Tone::good ? icon::circle : look.mark;
    const float mark_width = 1.1f * ctx.em, y = at.y + (height - ImGui::GetTextLineHeight()) / 2;
    draw.AddText({at.x + kEdge * ctx.em, y}, ImGui::GetColorU32(ui::tone_color(ctx.theme, look.tone)), mark);
    const float left = (kEdge + kGap) * ctx.em + mark_width;
    const std::string title =
        ui::elided_middle(title_of(session), main - left - (closable ? 0 : kEdge * ctx.em) + 0.5f);
    draw.AddText({at.x + left, y}, ImGui::GetColorU32(session.front ? ctx.theme.text : ctx.theme.text_dim),
                 title.c_str());
    if (closable) {
        ImGui::SameLine(0, 0);
        if (ImGui::InvisibleButton("###close", {height, height}, ImGuiButtonFlags_EnableNav)) {
            ctx.sessions.close(session.id);
        }
        const bool hovered = ImGui::IsItemHovered();
        ui::tooltip(ctx.text("sessions.close"));
        const ImVec2 size = ImGui::CalcTextSize(icon::cross);
        draw.AddText({at.x + main + (height - size.x) / 2, at.y + (height - size.y) / 2},
                     ImGui::GetColorU32(hovered ? ctx.theme.text : ctx.theme.text_dim), icon::cross);
    }
    ImGui::EndGroup();
    ImGui::PopID();
}

float tab_width(const Context& ctx, const OpenedSession& session) {
    const float close = ctx.sessions.open.size() > 1 ? ImGui::GetFrameHeight() : kEdge * ctx.em;
    return (kEdge + kGap + 1.1f) * ctx.em + ImGui::CalcTextSize(title_of(session).c_str()).x + close + 1;
}

void draw_new(Context& ctx) {
    const std::string label = std::string(icon::plus) + "###sessions.new";
    ui::flow(ui::button_width(label.c_str()));
    if (ImGui::Button(label.c_str())) {
        ImGui::OpenPopup("###sessions.menu");
    }
    ui::tooltip(ctx.text("sessions.new"));
    if (ImGui::BeginPopup("###sessions.menu")) {
        for (const char* command : {"file.new_session", "file.open_session", "file.connect_node"}) {
            const std::string name = ctx.text(std::string("command.") + command);
            if (ImGui::MenuItem((name + "###" + command).c_str(), ctx.shortcut(command).c_str())) {
                ctx.run(command);
            }
        }
        ImGui::EndPopup();
    }
}

}  // namespace

std::string session_words(const Context& ctx, const OpenedSession& session) {
    const client::Snapshot& snapshot = *session.snapshot;
    std::string words =
        title_of(session) + "\n" + session.place + "\n" + ctx.text(link_look(snapshot.link, ctx.now).key);
    if (snapshot.link.state == client::Link::State::connected && snapshot.node.read_only) {
        words += std::string(" \u00b7 ") + ctx.text("node.read_only");
    }
    if (const double age = data_age(snapshot.link, ctx.now); age >= 0) {
        words += "\n" + ctx.text.format("node.age", {{"age", ui::duration_text(ctx.text, age)}});
    }
    if (works(session)) {
        words +=
            "\n" + ctx.text.format("sessions.tasks", {{"n", ctx.text.number(std::uint64_t{snapshot.tasks.size()})}});
    }
    return words;
}

std::vector<float> tab_widths(const std::vector<float>& natural, const TabRoom& where) {
    const auto [room, least, most, gap, last] = where;
    std::vector<float> widths;
    std::size_t rows = 1;
    float right = 0;
    const auto place = [&](float width) {
        const float begin = right == 0 ? 0 : right + gap;
        rows += begin > 0 && begin + width > room ? 1 : 0;
        right = begin > 0 && begin + width > room ? width : begin + width;
    };
    for (const float width : natural) {
        widths.push_back(std::min({room, most, width}));
        place(widths.back());
    }
    place(last);
    if (rows <= kMostRows) {
        return widths;
    }
    // All alike, as wide as they may be: the button behind them takes the place of one at most.
    const std::size_t each = (natural.size() + 1 + kMostRows - 1) / kMostRows;
    const float width = std::floor(std::min(most, (room + gap) / static_cast<float>(each) - gap));
    return width < least ? std::vector<float>() : std::vector<float>(natural.size(), width);
}

namespace {

/// Where so many are open that their tabs would hide the runs: the one in front, and a list of all.
void draw_choice(Context& ctx) {
    std::string shown;
    for (const OpenedSession& session : ctx.sessions.open) {
        shown = session.front ? title_of(session) : shown;
    }
    ImGui::SetNextItemWidth(ImGui::GetContentRegionAvail().x - 2 * ImGui::GetFrameHeight());
    if (ui::begin_combo("###sessions.choice", shown)) {
        for (const OpenedSession& session : ctx.sessions.open) {
            const std::string label = title_of(session) + "###session" + std::to_string(session.id);
            if (ImGui::Selectable(label.c_str(), session.front)) {
                ctx.sessions.show(session.id);
            }
            if (ImGui::IsItemClicked(ImGuiMouseButton_Middle)) {
                ctx.sessions.close(session.id);
            }
            ui::tooltip(session_words(ctx, session));
        }
        ImGui::EndCombo();
    }
}

}  // namespace

void draw_session_tabs(Context& ctx) {
    std::vector<float> natural;
    for (const OpenedSession& session : ctx.sessions.open) {
        natural.push_back(tab_width(ctx, session));
    }
    const std::vector<float> widths =
        tab_widths(natural, {ImGui::GetContentRegionAvail().x, kLeastWidth * ctx.em, kMostWidth * ctx.em,
                             ImGui::GetStyle().ItemSpacing.x, ImGui::GetFrameHeight()});
    if (widths.empty()) {
        draw_choice(ctx);
    } else {
        for (std::size_t i = 0; i < widths.size(); ++i) {
            if (i > 0) {
                ui::flow(widths[i]);
            }
            draw_tab(ctx, ctx.sessions.open[i], widths[i]);
        }
    }
    draw_new(ctx);
    ImGui::Dummy({0, 0.1f * ctx.em});
}

}  // namespace moescope::panels
