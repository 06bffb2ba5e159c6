// What the node and the window said, newest below.
#include <algorithm>
#include <cstdint>
#include <imgui.h>
#include <imgui_stdlib.h>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "panels/panels.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/text_view.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

class LogPanel : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override {
        const auto& old = dynamic_cast<const LogPanel&>(before);
        level_ = old.level_;
        follow_ = old.follow_;
    }
    void draw(ui::Context& context) override;

 private:
    void draw_bar(ui::Context& ctx);
    void filter(const ui::Context& ctx);
    void draw_lines(ui::Context& ctx);
    std::string shown_text(const ui::Context& ctx) const;
    std::string line_text(const ui::Context& ctx, const history::LogLine& line) const;

    int level_ = 0;  ///< 0 all, 1 warnings and errors, 2 errors
    std::string search_, filtered_by_;
    bool follow_ = true;
    std::uint64_t seen_version_ = ~std::uint64_t{0};
    std::vector<std::size_t> shown_;  ///< indices into Snapshot::log
};

int severity(const std::string& level) {
    return level == "error" ? 2 : level == "warning" ? 1 : 0;
}

/// Words of the journal in the language of the window; one that only the node knows stands for itself.
std::string word(const ui::Language& text, const char* prefix, const std::string& name) {
    const std::string key = prefix + name;
    return text.has(key) ? text(key) : name;
}

std::string level_name(const ui::Language& text, const std::string& level) {
    return word(text, "log.level.", level);
}

std::string source_name(const ui::Language& text, const std::string& source) {
    return word(text, "log.source.", source);
}

}  // namespace

void LogPanel::draw(ui::Context& ctx) {
    draw_bar(ctx);
    filter(ctx);
    if (shown_.empty()) {
        ui::empty_state(ctx, ui::icon::list, ctx.snapshot.log.empty() ? "log.empty" : "log.nothing_fits");
        return;
    }
    draw_lines(ctx);
}

void LogPanel::draw_bar(ui::Context& ctx) {
    const std::vector<const char*> levels = {ctx.text.label("log.all"), ctx.text.label("log.warnings"),
                                             ctx.text.label("log.errors")};
    ui::segmented(ctx, "log.level", levels, level_);
    ui::flow(12 * ctx.em);
    ui::next_field(12 * ctx.em);
    ImGui::InputTextWithHint("###log.search", ctx.text("log.search"), &search_);
    ui::flow(ImGui::CalcTextSize(ctx.text("log.follow")).x + 2 * ctx.em);
    ImGui::Checkbox(ctx.text.label("log.follow"), &follow_);
    const char* copy = ctx.text.label("log.copy");
    ui::flow(ui::button_width(copy));
    if (ui::button(copy, !shown_.empty())) {
        ImGui::SetClipboardText(shown_text(ctx).c_str());
        ctx.notify(ctx.text.format("log.copied", {{"n", ctx.text.number(static_cast<std::uint64_t>(shown_.size()))}}),
                   false);
    }
    ui::tooltip(ctx.text("log.copy_help"));
    const char* save = ctx.text.label("log.save");
    ui::flow(ui::button_width(save));
    if (ui::button(save, !shown_.empty()) && ctx.save_as) {
        ctx.save_as("log.txt", [all = shown_text(ctx)] { return all; });
    }
}

std::string LogPanel::shown_text(const ui::Context& ctx) const {
    std::string all;
    for (const std::size_t i : shown_) {
        if (i < ctx.snapshot.log.size()) {
            all += line_text(ctx, ctx.snapshot.log[i]) + "\n";
        }
    }
    return all;
}

std::string LogPanel::line_text(const ui::Context& ctx, const history::LogLine& line) const {
    return ui::clock_text(line.time_ns) + " " + level_name(ctx.text, line.level) + " " +
           source_name(ctx.text, line.source) + ctx.text("common.colon") + displayable(ctx.text.message(line.text));
}

void LogPanel::filter(const ui::Context& ctx) {
    const std::string by = std::to_string(level_) + ctx.text.code() + search_;
    if (by == filtered_by_ && seen_version_ == ctx.snapshot.version) {
        return;
    }
    filtered_by_ = by;
    seen_version_ = ctx.snapshot.version;
    shown_.clear();
    for (std::size_t i = 0; i < ctx.snapshot.log.size(); ++i) {
        const history::LogLine& line = ctx.snapshot.log[i];
        if (severity(line.level) < level_) {
            continue;
        }
        if (!base::contains_any_case(line.text.english() + "\n" + ctx.text.message(line.text) + "\n" + line.source +
                                         "\n" + source_name(ctx.text, line.source),
                                     search_)) {
            continue;
        }
        shown_.push_back(i);
    }
}

void LogPanel::draw_lines(ui::Context& ctx) {
    // The message needs the room most: in a narrow panel the level is its mark alone, and the source stands in the
    // tooltip.
    const float room = ImGui::GetContentRegionAvail().x / ctx.em;
    const bool words = room >= 26, sources = room >= 34;
    if (!ImGui::BeginTable(sources ? "###log.lines"
                           : words ? "###log.lines.3"
                                   : "###log.lines.2",
                           sources ? 4 : 3,
                           ImGuiTableFlags_ScrollY | ImGuiTableFlags_RowBg | ImGuiTableFlags_SizingFixedFit |
                               ImGuiTableFlags_Resizable)) {
        return;
    }
    ImGui::TableSetupScrollFreeze(0, 1);
    ImGui::TableSetupColumn(ctx.text("log.time"), 0, 5 * ctx.em);
    ImGui::TableSetupColumn(words ? ctx.text("log.level") : "", 0, (words ? 5.5f : 1.2f) * ctx.em);
    if (sources) {
        ImGui::TableSetupColumn(ctx.text("log.source"), 0, 6.5f * ctx.em);
    }
    ImGui::TableSetupColumn(ctx.text("log.text"), ImGuiTableColumnFlags_WidthStretch);
    ImGui::TableHeadersRow();
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(shown_.size()));
    while (clipper.Step()) {
        for (int row = clipper.DisplayStart; row < clipper.DisplayEnd; ++row) {
            const std::size_t i = shown_[static_cast<std::size_t>(row)];
            if (i >= ctx.snapshot.log.size()) {
                continue;
            }
            const history::LogLine& line = ctx.snapshot.log[i];
            const int severe = severity(line.level);
            ImGui::PushID(row);
            ImGui::TableNextRow();
            ImGui::TableNextColumn();
            ui::text_dim(ctx, ui::clock_text(line.time_ns));
            ImGui::TableNextColumn();
            const char* mark = severe == 2 ? ui::icon::error : severe == 1 ? ui::icon::warning : ui::icon::info;
            const std::string level = level_name(ctx.text, line.level), source = source_name(ctx.text, line.source);
            ui::text_colored(severe == 2   ? ctx.theme.error
                             : severe == 1 ? ctx.theme.warning
                                           : ctx.theme.text_dim,
                             words ? std::string(mark) + " " + level : std::string(mark));
            if (!sources) {
                ui::tooltip(level + ctx.text("common.comma") + source);
            }
            ImGui::TableNextColumn();
            if (sources) {
                ui::text_elided(source, ImGui::GetContentRegionAvail().x);
                ImGui::TableNextColumn();
            }
            // One row per line; what does not fit is in the tooltip, and a right click copies it whole.
            std::string text = displayable(ctx.text.message(line.text));
            std::replace(text.begin(), text.end(), '\n', ' ');
            ui::text_elided(text, ImGui::GetContentRegionAvail().x);
            if (ImGui::IsItemClicked(ImGuiMouseButton_Right)) {
                ImGui::SetClipboardText(line_text(ctx, line).c_str());
                ctx.notify(ctx.text.format("log.copied", {{"n", "1"}}), false);
            }
            ImGui::PopID();
        }
    }
    if (follow_ && ImGui::IsWindowHovered() && ImGui::GetIO().MouseWheel > 0) {
        follow_ = false;  // whoever scrolls up wants to read
    }
    if (follow_) {
        ImGui::SetScrollHereY(1);
    }
    ImGui::EndTable();
}

ui::PanelDescription describe_log() {
    using ui::Place;
    using Show = ui::Stand::Show;
    return {.key = "log",
            .make = ui::make_panel<LogPanel>,
            .stands = {{"training", Place::lower, 3, Show::open},
                       {"compare", Place::whole, 6, Show::open},
                       {"probe", Place::whole, 6, Show::open}},
            .commands = {}};
}

}  // namespace moescope::panels
