// One frame, from the menu bar to the status line. What panels show is in panels/.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fmt/format.h>
#include <imgui.h>
#include <imgui_internal.h>

#include "app/bar.hpp"
#include "app/layouts.hpp"
#include "app/unopened.hpp"
#include "app/workbench.hpp"
#include "base/text.hpp"
#include "panels/node/memory.hpp"
#include "panels/node/tasks.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {
namespace {

using client::Link;

std::uint64_t wall_clock_ns() {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

struct LinkLook {
    const char* key;
    const char* icon_text;
    ui::Tone tone;
};

/// "local node: up", or the same of one on another machine by its address.
std::string link_words(const ui::Context& ctx, const Link& link, const std::string& key) {
    return link.address.empty() ? std::string(ctx.text(key.c_str()))
                                : ctx.text.format("remote_" + key, {{"node", link.address}});
}

LinkLook link_look(const Link& link, bool stale) {
    switch (link.state) {
        case Link::State::starting:
            return {"link.starting", ui::icon::hourglass, ui::Tone::neutral};
        case Link::State::connected:
            return stale ? LinkLook{"link.silent", ui::icon::warning, ui::Tone::warning}
                         : LinkLook{"link.up", ui::icon::circle, ui::Tone::good};
        case Link::State::lost:
            return {"link.lost", ui::icon::warning, ui::Tone::warning};
        case Link::State::crashed:
            return {"link.crashed", ui::icon::error, ui::Tone::error};
        case Link::State::refused:
            return {link.obstacle == Link::Obstacle::not_paired && !link.address.empty() ? "link.not_paired"
                                                                                         : "link.refused",
                    ui::icon::error, ui::Tone::error};
        case Link::State::unopened:
            return {"link.unopened", ui::icon::warning, ui::Tone::warning};
    }
    return {"link.starting", ui::icon::hourglass, ui::Tone::neutral};
}

/// How high a card of this width is that holds its sentence.
float card_height(const ui::Context& ctx, const char* sentence, float width) {
    return ctx.em * (1.75f + 1.8f + 1.3f * static_cast<float>(ui::wrap_lines(sentence, width - 5 * ctx.em).size()));
}

/// A large choice: icon, title and a sentence on one button.
bool card(const ui::Context& ctx, const char* id, const char* icon_text, const char* title, const char* sentence,
          ImVec2 size) {
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const bool clicked = ImGui::Button(id, size);
    ImDrawList* draw = ImGui::GetWindowDrawList();
    const float left = at.x + ctx.em * 4.0f;
    if (ImGui::IsItemHovered() || ImGui::IsItemFocused()) {
        draw->AddRect(at, {at.x + size.x, at.y + size.y}, ImGui::GetColorU32(ctx.theme.accent),
                      ImGui::GetStyle().FrameRounding, 1.5f);
    }
    const float icon_size = ctx.em * 1.7f;
    ImGui::PushFont(nullptr, ImGui::GetStyle().FontSizeBase * 1.7f);
    const float icon_width = ImGui::CalcTextSize(icon_text).x;
    draw->AddText({at.x + ctx.em * 2.1f - icon_width / 2, at.y + (size.y - icon_size) / 2},
                  ImGui::GetColorU32(ctx.theme.accent), icon_text);
    ImGui::PopFont();
    const std::vector<std::string_view> lines = ui::wrap_lines(sentence, at.x + size.x - ctx.em - left);
    const float line_height = ctx.em * 1.3f;
    float y = at.y + (size.y - ctx.em * 1.75f - static_cast<float>(lines.size()) * line_height) / 2;
    ImGui::PushFont(ctx.bold, ImGui::GetStyle().FontSizeBase * 1.15f);
    draw->AddText({left, y}, ImGui::GetColorU32(ctx.theme.text), title);
    ImGui::PopFont();
    y += ctx.em * 1.75f;
    for (const std::string_view line : lines) {
        draw->AddText({left, y}, ImGui::GetColorU32(ctx.theme.text_dim), line.data(), line.data() + line.size());
        y += line_height;
    }
    return clicked;
}

/// How far a task has come; an empty bar where that is not known.
void draw_task_bar(const ui::Context& ctx, double fraction, float width) {
    const float height = ImGui::GetTextLineHeight() * 0.45f;
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const ImVec2 low = {at.x, at.y + (ImGui::GetFrameHeight() - height) / 2}, high = {at.x + width, low.y + height};
    const float filled = width * static_cast<float>(std::clamp(fraction, 0.0, 1.0));
    ImDrawList* draw = ImGui::GetWindowDrawList();
    draw->AddRectFilled(low, high, ImGui::GetColorU32(ImGuiCol_FrameBgHovered), height / 2);
    if (filled > 0) {
        draw->AddRectFilled(low, {low.x + std::max(height, filled), high.y}, ImGui::GetColorU32(ctx.theme.accent),
                            height / 2);
    }
    ImGui::Dummy({width, ImGui::GetFrameHeight()});
}

}  // namespace

void Workbench::draw(ui::Context& ctx) {
    if (escape_.after_frame(floating_)) {
        commands_.run("view.clear_selection");
    }
    floating_.shown.clear();
    ui::keep_popups_inside();
    const Command* refused = commands_.handle_shortcuts();
    if (refused != nullptr && (refused->shortcut & ImGuiMod_Ctrl) != 0 && ctx.connected() &&
        ctx.snapshot.node.read_only) {
        notify(ctx.text.format("node.read_only.refused", {{"command", command_text(ctx.text, *refused)}}), false);
    }
    draw_menu_bar(ctx);
    draw_recovery(ctx);
    draw_unopened(ctx, node_copy_);
    draw_status_line(ctx);
    draw_panels(ctx);
    if (welcome_) {
        draw_welcome(ctx);
    }
    if (diagnostics_) {
        draw_diagnostics(ctx);
    }
    if (notices_open_) {
        draw_notices(ctx);
    }
    const bool asked = dialogs_.open();
    dialogs_.draw(ctx);
    if (asked && !dialogs_.open()) {
        save_settings_soon();  // it remembers the folder
    }
    connect_.draw(ctx, settings_.nodes, [this](const std::string& address) { open_node(address); });
    recent_.draw(ctx, settings_.sessions, recent_actions());
    leaving_.draw(ctx);
    palette_.draw(ctx, commands_, english_);
}

void Workbench::draw_menu_bar(ui::Context& ctx) {
    ImGui::PushStyleVarY(ImGuiStyleVar_FramePadding, ctx.em * 0.45f);
    const bool open = ImGui::BeginMainMenuBar();
    ImGui::PopStyleVar();
    if (!open) {
        return;
    }
    float width = 3 * ctx.em;  // for the mark of the node
    for (const Menu& menu : commands_.menus()) {
        width += ImGui::CalcTextSize(ctx.text(menu.title_key)).x + 2 * ImGui::GetStyle().ItemSpacing.x;
    }
    // In a narrow window with large letters all menus are in one.
    const bool one = width > ImGui::GetContentRegionAvail().x;
    if (!one || ImGui::BeginMenu(ctx.text.label("menu.all"))) {
        for (const Menu& menu : commands_.menus()) {
            draw_menu(ctx, menu);
        }
        if (one) {
            ImGui::EndMenu();
        }
    }
    draw_node_status(ctx);
    ImGui::EndMainMenuBar();
}

void Workbench::draw_menu(ui::Context& ctx, const Menu& menu) {
    if (!ImGui::BeginMenu(ctx.text.label(menu.title_key))) {
        return;
    }
    for (const std::string& key : menu.commands) {
        const Command* command = commands_.find(key);
        if (command == nullptr) {
            ImGui::Separator();
            continue;
        }
        const std::string label = command_title(ctx.text, *command) + "###" + key;
        const bool checked = command->checked && command->checked();
        if (ImGui::MenuItem(label.c_str(), shortcut_text(command->shortcut).c_str(), checked, command->available())) {
            command->action();
        }
        // Some commands say what they wait for.
        if (const std::string reason = "command." + key + ".unavailable";
            !command->available() && ctx.text.has(reason)) {
            ui::tooltip(ctx.text(reason));
        }
    }
    ImGui::EndMenu();
}

void Workbench::draw_node_status(ui::Context& ctx) {
    const Link& link = ctx.snapshot.link;
    const double age = std::max(0.0, ctx.now - link.last_data_time);
    const LinkLook look = link_look(link, age > kStaleSeconds);
    std::string words = link_words(ctx, link, look.key);
    if (link.state == Link::State::connected && ctx.snapshot.node.cores > 0) {
        words +=
            " \u00b7 " + ctx.text.format("node.cores",
                                         {{"n", ctx.text.number(static_cast<std::uint64_t>(ctx.snapshot.node.cores))}});
    }
    if (link.state == Link::State::connected && ctx.snapshot.node.read_only) {
        words += std::string(" \u00b7 ") + ctx.text("node.read_only");
    }
    if (link.last_data_time > 0 && (link.state == Link::State::lost || age > kStaleSeconds)) {
        words += " \u00b7 " + ctx.text.format("node.age", {{"age", ui::duration_text(ctx.text, age)}});
    }
    const float dot = ImGui::CalcTextSize(look.icon_text).x + ctx.em * 0.4f;
    float width = dot + ImGui::CalcTextSize(words.c_str()).x + ctx.em * 0.9f;
    if (width > ImGui::GetContentRegionAvail().x) {
        words.clear();  // the tooltip has them
        width = dot + ctx.em * 0.9f;
    }
    ImGui::SetCursorPosX(std::max(ImGui::GetCursorPosX(), ImGui::GetWindowWidth() - width));
    const ImVec2 at = ImGui::GetCursorScreenPos();
    if (ImGui::InvisibleButton("###node.status", {width - ctx.em * 0.5f, ImGui::GetFrameHeight()})) {
        show_panel("nodes");
    }
    std::string tip =
        link_words(ctx, link, look.key) + "\n" +
        ctx.text.format(
            "node.tip",
            {{"age", ui::duration_text(ctx.text, age)},
             {"rtt", ctx.text.number(link.round_trip_ms, 2)},
             {"rate", ui::bytes_text(ctx.text, static_cast<std::uint64_t>(std::max(0.0, link.bytes_per_second)))}});
    ui::tooltip(link.message.empty() ? tip : ctx.text.message(link.message) + "\n" + tip);
    ImDrawList* draw = ImGui::GetWindowDrawList();
    const float y = at.y + (ImGui::GetWindowHeight() - ImGui::GetTextLineHeight()) / 2;
    draw->AddText({at.x, y}, ImGui::GetColorU32(ui::tone_color(ctx.theme, look.tone)), look.icon_text);
    draw->AddText({at.x + dot, y}, ImGui::GetColorU32(ctx.theme.text), words.c_str());
}

void Workbench::draw_recovery(ui::Context& ctx) {
    const auto offer = front_->kept->recovery.offer(ctx.snapshot);
    if (!offer) {
        return;
    }
    std::string sentence = offer->crashed ? ctx.text.message(ctx.snapshot.link.message) : "";
    if (offer->crashed && sentence.empty()) {
        sentence = ctx.text("recovery.crashed");
    }
    if (offer->run != 0) {
        const std::string interrupted =
            ctx.text.format("recovery.interrupted", {{"run", offer->run_name}, {"step", ctx.text.number(offer->step)}});
        // What the node says of its end is part of a sentence or, as its last words, a whole one.
        const bool whole = sentence.empty() || sentence.ends_with('.') || sentence.ends_with("。");
        sentence = whole ? sentence + (sentence.empty() ? "" : " ") + interrupted
                         : ctx.text.format("recovery.both", {{"end", sentence}, {"run", interrupted}});
    }
    const bool go_on = offer->run != 0 && offer->checkpoint > 0;
    const std::string go_on_label =
        ctx.text.format("recovery.go_on", {{"step", ctx.text.number(offer->checkpoint)}}) + "###recovery.go_on";
    const char* other = ctx.text.label(offer->crashed ? "recovery.restart" : "recovery.dismiss");
    std::vector<const char*> buttons = {other};
    if (go_on) {
        buttons.insert(buttons.begin(), go_on_label.c_str());
    }
    const BarText text = bar_text(ctx, sentence, buttons);
    if (begin_bar("###recovery", ImGuiDir_Up, text.height)) {
        const ui::Tone tone = offer->crashed ? ui::Tone::error : ui::Tone::warning;
        tint_bar(ctx, tone);
        draw_bar_text(ctx, text, offer->crashed ? ui::icon::error : ui::icon::warning, tone, buttons);
        if (go_on && ui::primary_button(ctx, go_on_label.c_str())) {
            if (offer->crashed) {
                front_->kept->recovery.go_on_later(offer->run);
                front_->client->restart_node();
            } else {
                front_->kept->recovery.dismiss(*offer);
                command(fmt::format("run.continue={}", offer->run));
            }
        }
        if (go_on) {
            ui::flow(ui::button_width(other));
        }
        if (ImGui::Button(other)) {
            if (offer->crashed) {
                front_->client->restart_node();
            } else {
                front_->kept->recovery.dismiss(*offer);
            }
        }
    }
    ImGui::End();
}

void Workbench::draw_status_line(ui::Context& ctx) {
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {ctx.em * 0.75f, ctx.em * 0.3f});
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, {ctx.em * 0.4f, ctx.em * 0.1f});
    if (begin_bar("###status", ImGuiDir_Down, ImGui::GetFrameHeight() + ctx.em * 0.6f)) {
        draw_tasks(ctx);
        draw_numbers(ctx);
    }
    ImGui::End();
    ImGui::PopStyleVar(2);
}

/// Running work, at most three tasks, and as many as there is room for: a task that is begun can be cancelled. Where
/// not even one fits, its bar goes first, then its numbers.
void Workbench::draw_tasks(ui::Context& ctx) {
    constexpr std::size_t kMost = 3;
    constexpr float kLeastTitle = 5, kMostTitle = 13, kBar = 5, kApart = 1.5f;  // em
    struct Row {
        std::string title, words;
        float buttons = 0;  ///< width, with the space before it
    };
    const auto& tasks = ctx.snapshot.tasks;
    const float gap = ImGui::GetStyle().ItemSpacing.x;
    const std::string cancel = std::string(ui::icon::cross) + "###cancel";
    std::vector<Row> rows;
    for (std::size_t i = 0; i < std::min(kMost, tasks.size()); ++i) {
        const std::string kind =
            tasks[i].kind ? std::string(ctx.text(protocol::task_kind_name(*tasks[i].kind))) + " " : std::string();
        rows.push_back({kind + panels::task_title(ctx, tasks[i]), panels::task_progress(ctx, tasks[i]),
                        tasks[i].cancel_command.empty() ? 0 : gap + ui::button_width(cancel.c_str())});
    }
    const auto more_label = [&] {
        return ctx.text.format("task.more",
                               {{"n", ctx.text.number(static_cast<std::uint64_t>(tasks.size() - rows.size()))}}) +
               "###task.more";
    };
    bool bars = true, words = true;
    const auto needed = [&] {
        float sum = tasks.size() > rows.size() ? ui::button_width(more_label().c_str()) + kApart * ctx.em : 0;
        for (const Row& row : rows) {
            sum += kLeastTitle * ctx.em + (bars ? gap + kBar * ctx.em : 0) + row.buttons + kApart * ctx.em +
                   (words ? gap + ImGui::CalcTextSize(row.words.c_str()).x : 0);
        }
        return sum;
    };
    const float room = ImGui::GetContentRegionAvail().x - ImGui::CalcTextSize(numbers_text(ctx).c_str()).x - 2 * ctx.em;
    while (rows.size() > 1 && needed() > room) {
        rows.pop_back();
    }
    bars = needed() <= room;
    words = needed() <= room;
    const float spare = rows.empty() ? 0 : std::max(0.0f, room - needed()) / static_cast<float>(rows.size());
    const float title = std::min(kLeastTitle * ctx.em + spare, kMostTitle * ctx.em);
    ImGui::AlignTextToFramePadding();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const client::Task& task = tasks[i];
        ImGui::PushID(task.id.c_str());
        ImGui::BeginGroup();
        ui::text_elided(rows[i].title, title);
        if (bars) {
            ImGui::SameLine();
            draw_task_bar(ctx, panels::task_fraction(ctx, task), kBar * ctx.em);
        }
        if (words) {
            ImGui::SameLine();
            ui::text_dim(ctx, rows[i].words);
        }
        ImGui::EndGroup();
        ui::tooltip(ctx.text.message(task.detail));
        if (!task.cancel_command.empty()) {
            ImGui::SameLine();
            if (ImGui::Button(cancel.c_str())) {
                panels::cancel_task(ctx, task);
            }
            ui::tooltip(ctx.text("common.cancel"));
        }
        ImGui::SameLine(0, kApart * ctx.em);
        ImGui::PopID();
    }
    if (tasks.size() > rows.size()) {
        if (ImGui::Button(more_label().c_str())) {
            show_panel("nodes");
        }
        ui::tooltip(ctx.text("task.more.help"));
        ImGui::SameLine(0, kApart * ctx.em);
    }
}

std::string Workbench::numbers_text(const ui::Context& ctx) const {
    std::string numbers;
    const history::TrainingRun* run = panels::selected_run(ctx);
    if (run != nullptr && run->state == history::RunState::running && !run->step.empty()) {
        numbers =
            ctx.text.format("status.tokens_per_second",
                            {{"n", ctx.text.number(std::round((*run)[&base::StepValues::tokens_per_second].back()))}});
    }
    if (ctx.snapshot.node.memory_used > 0) {
        numbers += (numbers.empty() ? "" : "    ") + ui::bytes_text(ctx.text, panels::memory_of_all(ctx.snapshot));
    }
    return numbers;
}

/// Right: speed and memory; between the tasks and them the newest notice or log line.
void Workbench::draw_numbers(ui::Context& ctx) {
    const std::string numbers = numbers_text(ctx);
    const float numbers_width = ImGui::CalcTextSize(numbers.c_str()).x;

    const auto shown = front_->kept->notices.status(ctx.snapshot.log, ctx.now, wall_clock_ns());
    front_->kept->status_until = shown && shown->seconds ? ctx.now + *shown->seconds : 0;
    const std::string line = shown ? ctx.text.message(shown->text) : std::string();
    const bool error = shown && shown->error;
    const bool wrote = shown && !shown->file.empty();
    const float show_width =
        wrote ? ImGui::CalcTextSize((std::string(ui::icon::folder) + " " + ctx.text("notice.show")).c_str()).x + ctx.em
              : 0;
    const float room = ImGui::GetContentRegionAvail().x - numbers_width - show_width - ctx.em * 2;
    if (!line.empty() && room > ctx.em * 4) {
        const float y = ImGui::GetCursorPosY();
        const float x = ImGui::GetCursorPosX();
        if (ImGui::InvisibleButton("###status.notice", {room, ImGui::GetFrameHeight()})) {
            front_->kept->notices.mark_read(wall_clock_ns());
            if (shown->notice) {
                notices_open_ = true;
            } else {
                show_panel("log");
            }
        }
        ui::tooltip(line);
        ImGui::SetCursorPos({x, y + ImGui::GetStyle().FramePadding.y});
        ui::text_colored(error ? ctx.theme.error : ctx.theme.text_dim, error ? ui::icon::error : ui::icon::info);
        ImGui::SameLine();
        ImGui::PushStyleColor(ImGuiCol_Text, error ? ctx.theme.error : ctx.theme.text_dim);
        ui::text_elided(line, room - ctx.em * 1.8f);
        ImGui::PopStyleColor();
        if (wrote) {
            ImGui::SameLine();
            draw_show_button(ctx, shown->file);
        }
    } else {
        ImGui::Dummy({1, ImGui::GetFrameHeight()});
    }
    if (!numbers.empty()) {
        ui::align_right(numbers_width);
        ImGui::TextUnformatted(numbers.c_str());
        if (ui::tooltip_due()) {
            ui::tooltip(panels::memory_lines(ctx));
        }
    }
}

void Workbench::draw_notices(ui::Context& ctx) {
    front_->kept->notices.mark_read(wall_clock_ns());
    if (ui::begin_floating(ctx, ctx.text.label("window.notices"), notices_open_,
                           {.size = {40, 16}, .least = {16, 6}, .place = {0.5f, 1}})) {
        if (front_->kept->notices.list().empty()) {
            ui::text_dim(ctx, ctx.text("notice.none"));
        }
        // Each is a field to select from, which is not free: the oldest are left out.
        constexpr int kShown = 50;
        int id = 0;
        for (auto notice = front_->kept->notices.list().rbegin();
             notice != front_->kept->notices.list().rend() && id < kShown; ++notice) {
            ImGui::PushID(id++);
            ui::text_colored(notice->error ? ctx.theme.error : ctx.theme.text_dim,
                             notice->error ? ui::icon::error : ui::icon::info);
            ImGui::SameLine(ctx.em * 2);
            ui::text_selectable(ctx, "###text", ctx.text.message(notice->text), ImGui::GetContentRegionAvail().x);
            draw_show_button(ctx, notice->file);
            ImGui::PopID();
        }
    }
    ImGui::End();
}

void Workbench::draw_show_button(ui::Context& ctx, const std::filesystem::path& file) {
    if (file.empty()) {
        return;
    }
    if (ImGui::SmallButton((std::string(ui::icon::folder) + " " + ctx.text.label("notice.show")).c_str())) {
        show_file(file);
    }
    ui::tooltip(file.string());
}

void Workbench::draw_panels(ui::Context& ctx) {
    const ImGuiID dockspace = ImGui::GetID("moescope");
    if (build_layout_) {
        build_layout_ = false;
        build_layout(settings_.layout, small_, panels_, dockspace, ImGui::GetMainViewport()->WorkSize);
        for (Slot& s : slots_) {
            const ui::Stand stand = stand_in(*s.description, settings_.layout);
            const bool main = !small_ || stand.place == main_place(settings_.layout);
            if (stand.show == ui::Stand::Show::front && main) {
                s.focus = 3;
            }
        }
    }
    keep_proportions(dockspace, ImGui::GetMainViewport()->WorkSize);
    ImGui::DockSpaceOverViewport(dockspace, ImGui::GetMainViewport(),
                                 ImGuiDockNodeFlags_NoWindowMenuButton | ImGuiDockNodeFlags_NoCloseButton);
    for (const Slot& s : slots_) {
        panel(*front_, s).draw_above(ctx);
    }
    if (welcome_ || between_layouts_) {
        return;
    }
    for (Slot& s : slots_) {
        if (s.visible && s.description->strip) {
            draw_strip(ctx, s);
        }
        if (!s.visible || s.description->strip) {
            continue;
        }
        const std::string title_key = std::string("panel.") + s.description->key;
        if (s.focus > 0) {
            --s.focus;
            ImGui::SetNextWindowFocus();
        }
        ImGui::SetNextWindowSize({ctx.em * 45, ctx.em * 30}, ImGuiCond_FirstUseEver);
        bool keep = true;
        // A layout decides which tab is in front, not the order in which its windows appear.
        if (ImGui::Begin(ctx.text.label(title_key), &keep,
                         ImGuiWindowFlags_NoCollapse | ImGuiWindowFlags_NoFocusOnAppearing)) {
            panel(*front_, s).draw(ctx);
        }
        ImGui::End();
        if (!keep) {
            s.visible = false;
            save_settings_soon();
        }
    }
}

/// It stands on the status line, which was drawn before.
void Workbench::draw_strip(ui::Context& ctx, Slot& s) {
    ui::Panel& strip = panel(*front_, s);
    const float height = strip.strip_height(ctx);
    if (s.focus > 0) {
        --s.focus;
        if (height > 0) {
            ImGui::SetNextWindowFocus();
        }
    }
    if (height <= 0 || small_) {  // a small window has one place for all, and no room to spare
        return;
    }
    const ImVec2 padding{ctx.em * 0.75f, ctx.em * 0.3f};
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, padding);
    const std::string title_key = std::string("panel.") + s.description->key;
    // The keyboard comes to it as to any panel.
    if (ImGui::BeginViewportSideBar(ctx.text.label(title_key), ImGui::GetMainViewport(), ImGuiDir_Down,
                                    height + 2 * padding.y,
                                    ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoSavedSettings |
                                        ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoFocusOnAppearing)) {
        strip.draw(ctx);
    }
    ImGui::End();
    ImGui::PopStyleVar();
}

void Workbench::draw_welcome(ui::Context& ctx) {
    struct Choice {
        const char* key;
        const char* icon_text;
        const char* title;
        const char* sentence;
    };
    constexpr Choice choices[] = {{"train", ui::icon::chart, "welcome.train", "welcome.train.what"},
                                  {"compare", ui::icon::scales, "welcome.compare", "welcome.compare.what"},
                                  {"probe", ui::icon::flask, "welcome.probe", "welcome.probe.what"},
                                  {"open", ui::icon::folder, "welcome.open", "welcome.open.what"}};
    const ImGuiViewport* viewport = ImGui::GetMainViewport();
    ImGui::SetNextWindowPos(viewport->WorkPos);
    ImGui::SetNextWindowSize(viewport->WorkSize);
    ImGui::PushStyleColor(ImGuiCol_WindowBg, ctx.theme.background);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, 0);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 0);
    std::string chosen;
    if (ImGui::Begin(ctx.text.label("window.welcome"), nullptr,
                     ImGuiWindowFlags_NoTitleBar | ImGuiWindowFlags_NoResize | ImGuiWindowFlags_NoCollapse |
                         ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoSavedSettings)) {
        const float gap = ctx.em * 0.9f, room = ImGui::GetContentRegionAvail().x;
        // In a small window the choices stand below each other, and the page scrolls.
        const int columns = room >= 42 * ctx.em ? 2 : 1;
        const float width = columns == 2 ? std::min(ctx.em * 26, (room - gap) / 2) : room;
        const float whole = static_cast<float>(columns) * (width + gap) - gap;
        float height = ctx.em * 7.5f;
        for (const Choice& choice : choices) {
            height = std::max(height, card_height(ctx, ctx.text(choice.sentence), width));
        }
        const float left = ImGui::GetCursorPosX() + (room - whole) / 2, rows = static_cast<float>(4 / columns);
        float y = std::max(ctx.em * 0.6f, (viewport->WorkSize.y - rows * (height + gap) - ctx.em * 10) * 0.45f);
        ImGui::SetCursorPos({left, y});
        ImGui::PushFont(ctx.bold, ImGui::GetStyle().FontSizeBase * 2.0f);
        ImGui::TextUnformatted("Moescope");
        ImGui::PopFont();
        ImGui::SetCursorPosX(left);
        ui::text_wrapped(ctx.text("welcome.subtitle"), ctx.theme.text_dim, whole);
        const float below = std::max(y + ctx.em * 5, ImGui::GetCursorPosY() + ctx.em * 0.8f);
        const char* other = ctx.text.code() == "en" ? "\u4e2d\u6587###welcome.language" : "English###welcome.language";
        ImGui::SetCursorPos({left + whole - ui::button_width(other), y + ctx.em * 0.4f});
        if (ImGui::Button(other)) {
            command("view.language");
        }
        y = below;
        for (int i = 0; i < 4; ++i) {
            const Choice& choice = choices[i];
            ImGui::SetCursorPos({left + static_cast<float>(i % columns) * (width + gap),
                                 y + static_cast<float>(i / columns) * (height + gap)});
            const std::string id = std::string("###welcome.") + choice.key;
            if (card(ctx, id.c_str(), choice.icon_text, ctx.text(choice.title), ctx.text(choice.sentence),
                     {width, height})) {
                chosen = choice.key;
            }
        }
        y += rows * (height + gap) + ctx.em * 0.5f;
        const char* skip = ctx.text.label("welcome.skip");
        const std::string where = ctx.text.format("welcome.session", {{"path", place()}});
        const float beside = whole - ui::button_width(skip) - ctx.em;
        ImGui::SetCursorPos({left, y});
        ui::text_wrapped(where, ctx.theme.text_dim, columns == 2 ? beside : whole);
        if (columns == 2) {
            ImGui::SetCursorPos({left + whole - ui::button_width(skip), y - ImGui::GetStyle().FramePadding.y});
        } else {
            ImGui::SetCursorPosX(left);
        }
        if (ImGui::Button(skip) || ui::escape_closes(ctx)) {
            chosen = "skip";
        }
        if (RecentSessions::any(ctx, settings_.sessions)) {
            ImGui::SetCursorPos({left, ImGui::GetCursorPosY() + ctx.em});
            ui::text_dim(ctx, ctx.text("recent.title"));
            ImGui::SetCursorPosX(left);
            constexpr std::size_t kShown = 3;
            if (recent_.draw_rows(ctx, settings_.sessions, recent_actions(), whole, kShown) > kShown) {
                ImGui::SetCursorPosX(left);
                if (ImGui::Button(ctx.text.label("recent.more"))) {
                    recent_.open();
                }
            }
        }
    }
    ImGui::End();
    ImGui::PopStyleVar(2);
    ImGui::PopStyleColor();
    if (!chosen.empty()) {
        choose_welcome(chosen);
    }
}

void Workbench::choose_welcome(const std::string& choice) {
    welcome_ = false;
    settings_.welcome_done = true;
    save_settings_soon();
    if (choice == "train") {
        show_layout("training");
        front_->kept->when_connected.emplace_back("run.start");
    } else if (choice == "compare") {
        show_layout("compare");
        front_->kept->when_connected.emplace_back("compare.run");
    } else if (choice == "probe") {
        show_layout("probe");
        front_->kept->when_connected.emplace_back("probes.start");
    } else if (choice == "open") {
        command("file.open_session");
    }
}

void Workbench::draw_diagnostics(ui::Context& ctx) {
    if (ui::begin_floating(ctx, ctx.text.label("window.diagnostics"), diagnostics_,
                           {.size = {28, 0}, .place = {0.98f, 0.06f}})) {
        const FrameTimes::Summary times = frame_times_.summary();
        const Link& link = ctx.snapshot.link;
        const auto milliseconds = [&](double value) { return ctx.text.number(value, 3) + " ms"; };
        if (ui::begin_properties("###diagnostics.list", ctx.em * 12)) {
            ui::property(ctx, ctx.text("diagnostics.frame_mean"), milliseconds(times.mean),
                         ctx.text("diagnostics.frame_help"));
            ui::property(ctx, ctx.text("diagnostics.frame_p95"), milliseconds(times.p95));
            ui::property(ctx, ctx.text("diagnostics.frame_max"), milliseconds(times.max));
            ui::property(ctx, ctx.text("diagnostics.frames"), ctx.text.number(frame_times_.frames()));
            ui::property(ctx, ctx.text("diagnostics.records"), ctx.text.number(link.records));
            ui::property(
                ctx, ctx.text("diagnostics.rate"),
                ui::bytes_text(ctx.text, static_cast<std::uint64_t>(std::max(0.0, link.bytes_per_second))) + "/s");
            ui::property(ctx, ctx.text("diagnostics.round_trip"), milliseconds(link.round_trip_ms));
            ui::property(ctx, ctx.text("diagnostics.session"), place());
            ui::property(ctx, ctx.text("diagnostics.font"),
                         fonts_.chinese_file().empty() ? ctx.text("diagnostics.none") : fonts_.chinese_file());
            ui::property(ctx, ctx.text("diagnostics.version"), MOESCOPE_VERSION);
            ui::end_properties();
        }
    }
    ImGui::End();
}

}  // namespace moescope::app
