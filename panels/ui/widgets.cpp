// Layout, signals and simple controls. Text is in text_layout.cpp, numbers that live in the node in knob.cpp.
#include "panels/ui/widgets.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_internal.h>

#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"

namespace moescope::ui {

void section(const Context& ctx, std::string_view title, std::string_view note) {
    if (ImGui::GetCursorPosY() > ImGui::GetCursorStartPos().y + 1) {
        ImGui::Dummy({0, ctx.em * 0.2f});
    }
    ImGui::PushFont(ctx.bold, 0.0f);
    ImGui::TextUnformatted(title.data(), title.data() + title.size());
    ImGui::PopFont();
    if (!note.empty()) {
        trailing(ctx, note);
    }
}

void trailing(const Context& ctx, std::string_view text) {
    const float width = ImGui::CalcTextSize(text.data(), text.data() + text.size()).x;
    align_right(width);
    if (width <= ImGui::GetContentRegionAvail().x) {
        text_dim(ctx, text);
    } else {
        text_wrapped(text, ctx.theme.text_dim);
    }
}

void next_field(float width) {
    ImGui::SetNextItemWidth(std::min(width, ImGui::GetContentRegionAvail().x));
}

bool empty_state(const Context& ctx, const char* icon_text, const char* sentence_key, const char* button_key,
                 const char* command) {
    const ImVec2 room = ImGui::GetContentRegionAvail();
    const float width = std::min(room.x - ctx.em, ctx.em * 24);
    const std::vector<std::string_view> lines = wrap_lines(ctx.text(sentence_key), width);
    const float line_height = ImGui::GetTextLineHeightWithSpacing();
    const float height =
        ctx.em * 2.6f + static_cast<float>(lines.size()) * line_height + (button_key ? ctx.em * 2.4f : 0);
    const float left = ImGui::GetCursorPosX();
    const auto centre = [&](float item) { ImGui::SetCursorPosX(left + std::max(0.0f, (room.x - item) / 2)); };
    if (room.y > height) {
        ImGui::SetCursorPosY(ImGui::GetCursorPosY() + (room.y - height) * 0.42f);
    }
    ImGui::PushFont(nullptr, ImGui::GetStyle().FontSizeBase * 1.7f);
    centre(ImGui::CalcTextSize(icon_text).x);
    text_colored(faded(ctx.theme.text_dim, 0.55f), icon_text);
    ImGui::PopFont();
    for (const std::string_view line : lines) {
        centre(ImGui::CalcTextSize(line.data(), line.data() + line.size()).x);
        text_dim(ctx, line);
    }
    if (button_key == nullptr) {
        return false;
    }
    ImGui::Dummy({0, ctx.em * 0.15f});
    centre(button_width(ctx.text.label(button_key)));
    ImGui::PushID("empty");  // the panel often has a button with the same label
    const bool clicked = primary_button(ctx, ctx.text.label(button_key));
    ImGui::PopID();
    if (clicked && command != nullptr) {
        ctx.run(command);
    }
    return clicked;
}

bool begin_properties(const char* id, float name_width) {
    if (!ImGui::BeginTable(id, 2, ImGuiTableFlags_SizingFixedFit)) {
        return false;
    }
    ImGui::TableSetupColumn("name", ImGuiTableColumnFlags_WidthFixed, name_width);
    ImGui::TableSetupColumn("value", ImGuiTableColumnFlags_WidthStretch);
    return true;
}

void property(const Context& ctx, std::string_view name, std::string_view value, std::string_view tip) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    text_dim(ctx, name);
    if (!tip.empty()) {
        tooltip(tip);
    }
    ImGui::TableNextColumn();
    text_wrapped(value);
    if (!tip.empty()) {
        tooltip(tip);
    }
}

void end_properties() {
    ImGui::EndTable();
}

bool begin_table(const Context& ctx, const char* id, const std::vector<TableColumn>& columns, ImGuiTableFlags flags,
                 ImVec2 size) {
    const ImGuiTableFlags house = ImGuiTableFlags_RowBg | ImGuiTableFlags_Resizable | ImGuiTableFlags_BordersInnerH |
                                  ImGuiTableFlags_NoSavedSettings | ImGuiTableFlags_SizingStretchProp;
    if (!ImGui::BeginTable(id, static_cast<int>(columns.size()), house | flags, size)) {
        return false;
    }
    for (const TableColumn& column : columns) {
        ImGui::TableSetupColumn(ctx.text.label(column.key),
                                column.fixed ? ImGuiTableColumnFlags_WidthFixed : ImGuiTableColumnFlags_WidthStretch,
                                column.fixed ? column.width * ctx.em : column.width, column.id);
    }
    if ((flags & ImGuiTableFlags_ScrollY) != 0) {
        ImGui::TableSetupScrollFreeze(0, 1);
    }
    ImGui::TableNextRow(ImGuiTableRowFlags_Headers);
    for (const TableColumn& column : columns) {
        ImGui::TableNextColumn();
        ImGui::TableHeader(ctx.text.label(column.key));
        const std::string help = std::string(column.key) + ".help";
        if (ctx.text.has(help)) {
            tooltip(ctx.text(help));
        }
    }
    return true;
}

bool begin_combo(const char* id, std::string_view shown, ImGuiComboFlags flags) {
    const ImGuiStyle& style = ImGui::GetStyle();
    const float room = ImGui::CalcItemWidth() - ImGui::GetFrameHeight() - 2 * style.FramePadding.x;
    const std::string fitting =
        (flags & ImGuiComboFlags_WidthFitPreview) != 0 ? std::string(shown) : elided(shown, room);
    const bool open = ImGui::BeginCombo(id, fitting.c_str(), flags);
    if (!open && fitting != shown) {
        tooltip(shown);
    }
    return open;
}

void align_right(float width) {
    ImGui::SameLine();
    const float room = ImGui::GetContentRegionAvail().x;
    if (room >= width) {
        ImGui::SetCursorPosX(ImGui::GetCursorPosX() + room - width);
    } else {
        ImGui::NewLine();
    }
}

float button_width(const char* label) {
    return ImGui::CalcTextSize(label, nullptr, true).x + 2 * ImGui::GetStyle().FramePadding.x;
}

ImVec4 tone_color(const Theme& theme, Tone tone) {
    switch (tone) {
        case Tone::accent:
            return theme.accent;
        case Tone::good:
            return theme.good;
        case Tone::warning:
            return theme.warning;
        case Tone::error:
            return theme.error;
        case Tone::neutral:
            break;
    }
    return theme.text_dim;
}

namespace {

std::string badge_label(const char* icon_text, std::string_view word) {
    std::string label = icon_text;
    if (!label.empty() && !word.empty()) {
        label += ' ';
    }
    return label.append(word);
}

struct StateLook {
    const char* icon_text;
    Tone tone;
};

StateLook look_of(history::RunState state) {
    constexpr StateLook looks[] = {{icon::hourglass, Tone::neutral}, {icon::play, Tone::accent},
                                   {icon::pause, Tone::warning},     {icon::check, Tone::good},
                                   {icon::stop, Tone::neutral},      {icon::error, Tone::error},
                                   {icon::warning, Tone::warning}};
    return looks[static_cast<std::size_t>(state)];
}

}  // namespace

float badge_width(const Context& ctx, const char* icon_text, std::string_view word) {
    return ImGui::CalcTextSize(badge_label(icon_text, word).c_str()).x + ctx.em * 0.8f;
}

void badge(const Context& ctx, const char* icon_text, std::string_view word, Tone tone) {
    const ImVec4 color = tone_color(ctx.theme, tone);
    const std::string label = badge_label(icon_text, word);
    const ImVec2 text_size = ImGui::CalcTextSize(label.c_str());
    const ImVec2 padding = {ctx.em * 0.4f, ctx.em * 0.06f};
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const ImVec2 size = {text_size.x + 2 * padding.x, text_size.y + 2 * padding.y};
    ImDrawList* draw = ImGui::GetWindowDrawList();
    draw->AddRectFilled(at, {at.x + size.x, at.y + size.y}, packed(color, 0.14f), size.y / 2);
    draw->AddText({at.x + padding.x, at.y + padding.y}, ImGui::GetColorU32(color), label.c_str());
    ImGui::Dummy(size);
}

const char* state_key(history::RunState state) {
    switch (state) {
        case history::RunState::planned:
            return "state.planned";
        case history::RunState::running:
            return "state.running";
        case history::RunState::paused:
            return "state.paused";
        case history::RunState::done:
            return "state.done";
        case history::RunState::stopped:
            return "state.stopped";
        case history::RunState::failed:
            return "state.failed";
        case history::RunState::interrupted:
            return "state.interrupted";
    }
    return "state.planned";
}

float state_badge_width(const Context& ctx, history::RunState state) {
    return badge_width(ctx, look_of(state).icon_text, ctx.text(state_key(state)));
}

void state_badge(const Context& ctx, history::RunState state) {
    const StateLook look = look_of(state);
    badge(ctx, look.icon_text, ctx.text(state_key(state)), look.tone);
}

bool tooltip_due() {
    return ImGui::IsItemHovered(ImGuiHoveredFlags_ForTooltip | ImGuiHoveredFlags_AllowWhenDisabled) &&
           !behind_a_dialog();
}

namespace {

struct Room {
    ImVec2 low, high;
};

/// Where a tooltip may stand.
Room room_of_tooltips() {
    const ImGuiViewport& view = *ImGui::GetMainViewport();
    const ImVec2 edge = ImGui::GetStyle().DisplaySafeAreaPadding;
    return {{view.Pos.x + edge.x, view.Pos.y + edge.y},
            {view.Pos.x + view.Size.x - edge.x, view.Pos.y + view.Size.y - edge.y}};
}

/// What is inside one at the most.
ImVec2 most_of_a_tooltip() {
    const Room room = room_of_tooltips();
    const ImVec2 padding = ImGui::GetStyle().WindowPadding;
    return {std::max(ImGui::GetFontSize(), room.high.x - room.low.x - 2 * padding.x),
            std::max(ImGui::GetFontSize(), room.high.y - room.low.y - 2 * padding.y)};
}

/// Dear ImGui sooner lets a tooltip leave the window than it covers the mouse, where none of its sides has room. It
/// catches no mouse, so it may as well.
void place_tooltip() {
    constexpr float kAround = 28;  ///< pixels that Dear ImGui keeps free on each side of the mouse, and some more
    const ImGuiWindow* before = ImGui::FindWindowByName("##Tooltip_00");
    if (before == nullptr || !before->WasActive || !ImGui::IsMousePosValid()) {
        return;
    }
    const Room room = room_of_tooltips();
    const ImVec2 mouse = ImGui::GetMousePos(), size = before->Size;
    const auto fits = [&](float at, float low, float high, float extent) {
        return extent + kAround <= std::max(at - low, high - at);
    };
    if (!fits(mouse.x, room.low.x, room.high.x, size.x) && !fits(mouse.y, room.low.y, room.high.y, size.y)) {
        ImGui::SetNextWindowPos({std::max(room.low.x, std::min(mouse.x, room.high.x - size.x)),
                                 std::max(room.low.y, std::min(mouse.y, room.high.y - size.y))});
    }
}

}  // namespace

bool begin_tooltip() {
    if (behind_a_dialog()) {
        return false;
    }
    place_tooltip();
    if (!ImGui::BeginTooltip()) {
        return false;
    }
    // Whatever text stands in it wraps at the latest where the window ends. Dear ImGui takes this back with the window.
    ImGui::GetCurrentWindow()->DC.TextWrapPos = ImGui::GetStyle().WindowPadding.x + most_of_a_tooltip().x + 1;
    return true;
}

void tooltip(std::string_view text) {
    if (text.empty() || !tooltip_due() || !begin_tooltip()) {
        return;
    }
    // As wide as the text needs, at most 28 em or what the window has; wider where it would be too high.
    float width = 0;
    for (std::size_t start = 0; start <= text.size();) {
        const std::size_t end = std::min(text.find('\n', start), text.size());
        width = std::max(width, ImGui::CalcTextSize(text.data() + start, text.data() + end).x);
        start = end + 1;
    }
    const ImVec2 most = most_of_a_tooltip();
    const float line = ImGui::GetTextLineHeight() + std::floor(ImGui::GetFontSize() * 0.2f);
    const auto fit = static_cast<std::size_t>(std::max(2.0f, most.y / line));
    float wide = std::min({width + 1, ImGui::GetFontSize() * 28, most.x});
    std::vector<std::string_view> lines = wrap_lines(text, wide);
    if (lines.size() > fit) {
        wide = std::min(width + 1, most.x);
        lines = wrap_lines(text, wide);
    }
    if (lines.size() > fit) {
        const std::string_view last = lines[fit - 2];
        text_wrapped(std::string(text.data(), last.data() + last.size()) + "\n\u2026", {}, wide);
    } else {
        text_wrapped(text, {}, wide);
    }
    ImGui::EndTooltip();
}

void command_tooltip(const Context& ctx, std::string_view text, const std::string& command) {
    if (!tooltip_due()) {
        return;
    }
    const std::string keys = ctx.shortcut ? ctx.shortcut(command) : std::string();
    tooltip(keys.empty() ? std::string(text) : std::string(text) + "\n" + keys);
}

void help_mark(const Context& ctx, const char* key) {
    ImGui::SameLine(0, ctx.em * 0.35f);
    text_colored(faded(ctx.theme.text_dim, 0.7f), icon::question);
    tooltip(ctx.text(key));
}

bool banner(const Context& ctx, Tone tone, std::string_view sentence, const char* button_label) {
    const ImVec4 color = tone_color(ctx.theme, tone);
    const ImVec2 padding = {ctx.em * 0.6f, ctx.em * 0.4f};
    const float full = ImGui::GetContentRegionAvail().x;
    // In a narrow panel the button stands below the sentence.
    const float button = button_label ? button_width(button_label) : 0;
    const bool below = button_label && full - button < 14 * ctx.em;
    const float right = button_label && !below ? button + ctx.em * 0.6f : 0;
    const char* icon_text = tone == Tone::error ? icon::error : tone == Tone::warning ? icon::warning : icon::info;
    const float icon_width = ctx.em * 1.5f;
    const std::vector<std::string_view> lines = wrap_lines(sentence, full - 2 * padding.x - icon_width - right);
    const float line_height = ImGui::GetTextLineHeight() * 1.2f;
    const float text_height = static_cast<float>(lines.size()) * line_height;
    const float frame = button_label ? ImGui::GetFrameHeight() : 0;
    const float content = below ? text_height + padding.y + frame : std::max(text_height, frame);
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const ImVec2 end = {at.x + full, at.y + content + 2 * padding.y};
    ImDrawList* draw = ImGui::GetWindowDrawList();
    draw->AddRectFilled(at, end, packed(color, 0.13f), ctx.em * 0.3f);
    draw->AddRectFilled(at, {at.x + ctx.em * 0.18f, end.y}, ImGui::GetColorU32(color), ctx.em * 0.3f,
                        ImDrawFlags_RoundCornersLeft);
    float y = at.y + padding.y + (below ? 0 : (content - text_height) / 2);
    draw->AddText({at.x + padding.x, y}, ImGui::GetColorU32(color), icon_text);
    for (const std::string_view line : lines) {
        draw->AddText({at.x + padding.x + icon_width, y}, ImGui::GetColorU32(ctx.theme.text), line.data(),
                      line.data() + line.size());
        y += line_height;
    }
    bool clicked = false;
    if (button_label != nullptr) {
        ImGui::SetCursorScreenPos({below ? at.x + padding.x : end.x - padding.x - button,
                                   below ? end.y - padding.y - frame : at.y + padding.y + (content - frame) / 2});
        clicked = ImGui::Button(button_label);
    }
    ImGui::SetCursorScreenPos(at);
    ImGui::Dummy({full, end.y - at.y});
    return clicked;
}

bool clicked_again() {
    // The count stays after the release: a key that presses an item later is no click.
    return ImGui::IsMouseReleased(ImGuiMouseButton_Left) &&
           ImGui::GetIO().MouseClickedLastCount[ImGuiMouseButton_Left] > 1;
}

bool primary_button(const Context& ctx, const char* label, ImVec2 size) {
    const ImVec4& accent = ctx.theme.accent;
    const auto shade = [&](float to_text) {
        return ImVec4(accent.x + (ctx.theme.text.x - accent.x) * to_text,
                      accent.y + (ctx.theme.text.y - accent.y) * to_text,
                      accent.z + (ctx.theme.text.z - accent.z) * to_text, 1);
    };
    ImGui::PushStyleColor(ImGuiCol_Button, accent);
    ImGui::PushStyleColor(ImGuiCol_ButtonHovered, shade(0.25f));
    ImGui::PushStyleColor(ImGuiCol_ButtonActive, shade(0.4f));
    ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.dark ? ImVec4(0.07f, 0.07f, 0.10f, 1) : ImVec4(1, 1, 1, 1));
    const bool clicked = ImGui::Button(label, size);
    ImGui::PopStyleColor(4);
    return clicked && !clicked_again();
}

bool default_button(const Context& ctx, const char* label) {
    bool pressed = primary_button(ctx, label);
    if (ImGui::IsWindowAppearing()) {
        ImGui::SetItemDefaultFocus();
        ImGui::SetNavCursorVisible(true);
    }
    // Dear ImGui presses the item that the keyboard's frame is around; a click anywhere takes that frame away.
    const ImGuiContext& g = *ImGui::GetCurrentContext();
    const bool nobody = g.ActiveId == 0 && (!g.NavCursorVisible || g.NavId == 0);
    if (nobody && ImGui::IsWindowFocused() && ImGui::GetIO().KeyMods == 0 &&
        (ImGui::IsKeyPressed(ImGuiKey_Enter, false) || ImGui::IsKeyPressed(ImGuiKey_KeypadEnter, false))) {
        pressed = true;
    }
    return pressed;
}

bool button(const char* label, bool enabled, std::string_view why_not) {
    ImGui::BeginDisabled(!enabled);
    const bool clicked = ImGui::Button(label);
    ImGui::EndDisabled();
    if (!enabled) {
        tooltip(why_not);
    }
    return clicked && enabled;
}

bool segmented(const Context& ctx, const char* id, const std::vector<const char*>& labels, int& current) {
    bool changed = false;
    ImGui::PushID(id);
    const float right = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x, gap = ctx.em * 0.1f;
    ImGui::BeginGroup();
    for (std::size_t i = 0; i < labels.size(); ++i) {
        if (i > 0 && ImGui::GetItemRectMax().x + gap + button_width(labels[i]) < right) {
            ImGui::SameLine(0, gap);
        }
        const bool chosen = current == static_cast<int>(i);
        if (chosen) {
            ImGui::PushStyleColor(ImGuiCol_Button, ImGui::GetStyleColorVec4(ImGuiCol_Header));
            ImGui::PushStyleColor(ImGuiCol_ButtonHovered, ImGui::GetStyleColorVec4(ImGuiCol_HeaderActive));
        }
        if (ImGui::Button(labels[i]) && !chosen) {
            current = static_cast<int>(i);
            changed = true;
        }
        if (chosen) {
            ImGui::PopStyleColor(2);
            // The underline repeats what the colour says.
            const ImVec2 low = ImGui::GetItemRectMin(), high = ImGui::GetItemRectMax();
            ImGui::GetWindowDrawList()->AddRectFilled({low.x + ctx.em * 0.3f, high.y - 2},
                                                      {high.x - ctx.em * 0.3f, high.y},
                                                      ImGui::GetColorU32(ctx.theme.accent));
        }
    }
    ImGui::EndGroup();
    ImGui::PopID();
    return changed;
}

void meter(const Context& ctx, double fraction, std::string_view text, float width) {
    const float all = width > 0 ? width : ImGui::GetContentRegionAvail().x;
    const float gap = 0.6f * ctx.em, height = ImGui::GetFrameHeight(), thick = 0.4f * ctx.em;
    const float text_width = std::min(ImGui::CalcTextSize(text.data(), text.data() + text.size()).x, 0.75f * all);
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float bar_x = at.x + text_width + gap, bar_end = at.x + all, y = at.y + (height - thick) / 2;
    ImDrawList* list = ImGui::GetWindowDrawList();
    list->PushClipRect(at, {at.x + text_width + 1, at.y + height}, true);
    list->AddText({at.x, at.y + (height - ImGui::GetTextLineHeight()) / 2}, ImGui::GetColorU32(ImGuiCol_Text),
                  text.data(), text.data() + text.size());
    list->PopClipRect();
    if (bar_end > bar_x) {
        list->AddRectFilled({bar_x, y}, {bar_end, y + thick}, ImGui::GetColorU32(ImGuiCol_FrameBg), thick / 2);
        const float filled = (bar_end - bar_x) * static_cast<float>(std::clamp(fraction, 0.0, 1.0));
        if (filled > 1) {
            list->AddRectFilled({bar_x, y}, {bar_x + filled, y + thick}, packed(ctx.theme.accent), thick / 2);
        }
    }
    ImGui::Dummy({all, height});
}

bool begin_frame(const Context& ctx, const char* id, ImVec2 size, ImGuiWindowFlags flags) {
    ImGui::PushStyleVar(ImGuiStyleVar_ChildBorderSize, 1.0f);
    ImGui::PushStyleVar(ImGuiStyleVar_ChildRounding, 0.3f * ctx.em);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(0.6f * ctx.em, 0.45f * ctx.em));
    ImGui::PushStyleColor(ImGuiCol_Border, ctx.theme.border);
    const bool visible = ImGui::BeginChild(id, size, ImGuiChildFlags_Borders, flags);
    ImGui::PopStyleColor();
    ImGui::PopStyleVar(3);
    return visible;
}

void end_frame() {
    ImGui::EndChild();
}

void row_badge(const Context& ctx, const char* icon_text, std::string_view word, Tone tone) {
    // Inside the group only the badge is lowered; the row keeps its own height.
    ImGui::BeginGroup();
    ImGui::SetCursorPosY(ImGui::GetCursorPosY() + (ImGui::GetFrameHeight() - ImGui::GetTextLineHeight()) / 2 -
                         0.06f * ctx.em);
    badge(ctx, icon_text, word, tone);
    ImGui::EndGroup();
}

void flow(float width) {
    const float right = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
    const float next = ImGui::GetItemRectMax().x + ImGui::GetStyle().ItemSpacing.x + width;
    if (next <= right + 0.5f) {
        ImGui::SameLine();
    }
}

}  // namespace moescope::ui
