#include "panels/ui/question.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <imgui.h>
#include <imgui_stdlib.h>
#include <random>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr std::size_t kMostShown = 1500;  // bytes in a tooltip

}  // namespace

void question_fields(ui::Context& ctx, const char* key, bool& chat, std::string& system) {
    ui::flow(ImGui::CalcTextSize(ctx.text("compare.chat")).x + 2 * ctx.em);
    ImGui::Checkbox(ctx.text.label("compare.chat"), &chat);
    ui::tooltip(ctx.text("compare.chat_help"));
    ImGui::PushID(key);
    const std::string title = std::string(ctx.text("question.system")) + ctx.text("common.colon") +
                              ctx.text(system.empty() ? "question.own" : "question.chosen");
    ui::flow(ui::button_width(title.c_str()));
    if (ui::button((title + "###question.system").c_str(), chat, ctx.text("question.needs_chat"))) {
        ImGui::OpenPopup("###question.popup");
    }
    if (chat) {
        ui::tooltip(system.empty() ? ctx.text("question.system_help") : shortened(system, kMostShown));
    }
    if (ImGui::BeginPopup("###question.popup")) {
        const float width = std::min(26 * ctx.em, ImGui::GetMainViewport()->WorkSize.x - 2 * ctx.em);
        ui::text_dim(ctx, ctx.text("question.system"));
        if (ImGui::IsWindowAppearing()) {
            ImGui::SetKeyboardFocusHere();
        }
        ImGui::InputTextMultiline("###question.text", &system, {width, 5 * ImGui::GetTextLineHeightWithSpacing()},
                                  ImGuiInputTextFlags_WordWrap);
        if (ui::button(ctx.text.label("question.clear"), !system.empty())) {
            system.clear();
        }
        ui::tooltip(ctx.text("question.clear_help"));
        ImGui::PushTextWrapPos(ImGui::GetCursorPosX() + width);
        ui::text_dim(ctx, ctx.text("question.system_help"));
        ImGui::PopTextWrapPos();
        ImGui::EndPopup();
    }
    ImGui::PopID();
}

void put_question(nlohmann::json& parameters, bool chat, const std::string& system) {
    if (!chat) {
        parameters["chat"] = false;
    } else if (!system.empty()) {
        parameters["system"] = system;
    }
}

std::string new_group_id() {
    std::random_device random;
    const std::uint64_t id = (static_cast<std::uint64_t>(random()) << 32) | random();
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(id));
    return text.data();
}

void shown_tooltip(const ui::Context& ctx, const std::string& shown) {
    if (!shown.empty() && ui::tooltip_due()) {
        ui::tooltip(std::string(ctx.text("question.shown")) + "\n" + shortened(displayable(shown), kMostShown));
    }
}

}  // namespace moescope::panels
