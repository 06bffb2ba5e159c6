#include "app/palette.hpp"

#include <algorithm>
#include <imcmd_fuzzy_search.h>
#include <imgui.h>
#include <imgui_stdlib.h>
#include <utility>

#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {

void Palette::open() {
    open_ = appear_ = true;
    query_.clear();
    searched_ = "\1";  // differs from every query
}

/// Commands whose name, English name or key fits, best first.
void Palette::search(const ui::Context& ctx, const Commands& commands, const ui::Language& english) {
    searched_ = query_;
    chosen_ = 0;
    found_.clear();
    std::vector<std::pair<int, const Command*>> scored;
    for (const Command& command : commands.all()) {
        if (command.key == "help.palette") {
            continue;
        }
        int best = 0, score = 0;
        bool fits = query_.empty();
        for (const char* candidate :
             {command_text(ctx.text, command), command_text(english, command), command.key.c_str()}) {
            if (!query_.empty() && ImCmd::FuzzySearch(query_.c_str(), candidate, score)) {
                best = fits ? std::max(best, score) : score;
                fits = true;
            }
        }
        if (fits) {
            scored.emplace_back(best, &command);
        }
    }
    std::stable_sort(scored.begin(), scored.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    for (const auto& [score, command] : scored) {
        found_.push_back(command);
    }
}

void Palette::draw(const ui::Context& ctx, const Commands& commands, const ui::Language& english) {
    if (!open_) {
        return;
    }
    const bool fresh = std::exchange(appear_, false);
    if (fresh) {
        ImGui::SetNextWindowFocus();
    }
    const Command* run = nullptr;
    constexpr ImGuiWindowFlags flags =
        ImGuiWindowFlags_NoTitleBar | ImGuiWindowFlags_NoResize | ImGuiWindowFlags_NoMove;
    if (ui::begin_floating(ctx, "###palette", open_,
                           {.size = {38, 0}, .place = {0.5f, 0.06f}, .fixed = true, .at_once = true, .flags = flags})) {
        if (!fresh && !ImGui::IsWindowFocused(ImGuiFocusedFlags_RootAndChildWindows)) {
            open_ = false;
        }
        if (fresh) {
            ImGui::SetKeyboardFocusHere();
        }
        ImGui::SetNextItemWidth(-1);
        const bool entered = ImGui::InputTextWithHint("###palette.query", ctx.text("palette.hint"), &query_,
                                                      ImGuiInputTextFlags_EnterReturnsTrue);
        if (query_ != searched_) {
            search(ctx, commands, english);
        }
        if (ImGui::IsKeyPressed(ImGuiKey_DownArrow) && chosen_ + 1 < found_.size()) {
            ++chosen_;
        }
        if (ImGui::IsKeyPressed(ImGuiKey_UpArrow) && chosen_ > 0) {
            --chosen_;
        }
        const float rows = static_cast<float>(std::clamp<std::size_t>(found_.size(), 1, 12));
        const float room = ImGui::GetMainViewport()->WorkSize.y - ImGui::GetCursorPosY() -
                           ImGui::GetStyle().WindowPadding.y - 0.6f * ctx.em;
        const float height = std::min(rows * ImGui::GetFrameHeight() + ctx.em * 0.3f, std::max(room, 2 * ctx.em));
        if (ImGui::BeginChild("###palette.list", {0, height})) {
            if (found_.empty()) {
                ui::text_dim(ctx, ctx.text("palette.nothing"));
            }
            for (std::size_t i = 0; i < found_.size(); ++i) {
                const Command& command = *found_[i];
                const std::string label = " " + command_title(ctx.text, command) + "###" + command.key;
                ImGui::BeginDisabled(!command.available());
                if (ImGui::Selectable(label.c_str(), i == chosen_, 0, {0, ImGui::GetFontSize() + ctx.em * 0.3f})) {
                    run = &command;
                }
                ImGui::EndDisabled();
                const std::string reason = "command." + command.key + ".unavailable";
                if (!command.available() && ctx.text.has(reason)) {
                    ui::tooltip(ctx.text(reason));
                }
                if (i == chosen_ && !ImGui::IsItemVisible()) {
                    ImGui::SetScrollHereY();
                }
                const std::string keys = shortcut_text(command.shortcut);
                if (!keys.empty()) {
                    ui::align_right(ImGui::CalcTextSize(keys.c_str()).x + ctx.em * 0.5f);
                    ImGui::SetCursorPosY(ImGui::GetCursorPosY() + ctx.em * 0.15f);
                    ui::text_dim(ctx, keys);
                }
            }
        }
        ImGui::EndChild();
        if (entered && chosen_ < found_.size() && found_[chosen_]->available()) {
            run = found_[chosen_];
        }
    }
    ImGui::End();
    if (run != nullptr) {
        open_ = false;
        run->action();
    }
}

}  // namespace moescope::app
