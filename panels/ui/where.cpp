#include "panels/ui/where.hpp"

#include <imgui.h>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::ui {

bool has_choice_of_session(const Context& ctx) {
    return ctx.sessions.open.size() > 1;
}

std::string session_title(const Context& ctx, const OpenedSession& session) {
    return session.name + " \u2013 " + (session.machine.empty() ? ctx.text("sessions.here") : session.machine);
}

std::optional<std::uint64_t> choose_session(const Context& ctx) {
    if (!has_choice_of_session(ctx)) {
        return std::nullopt;
    }
    std::optional<std::uint64_t> chosen;
    std::string shown;
    for (const OpenedSession& session : ctx.sessions.open) {
        if (session.front) {
            shown = session_title(ctx, session);
        }
    }
    ImGui::AlignTextToFramePadding();
    text_dim(ctx, ctx.text("sessions.where"));
    ImGui::SameLine();
    next_field(20 * ctx.em);
    if (begin_combo("###where", shown)) {
        for (const OpenedSession& session : ctx.sessions.open) {
            const std::string label = session_title(ctx, session) + "###session" + std::to_string(session.id);
            if (ImGui::Selectable(label.c_str(), session.front) && !session.front) {
                chosen = session.id;
            }
            tooltip(session.place);
        }
        ImGui::EndCombo();
    } else {
        tooltip(ctx.text("sessions.where.help"));
    }
    return chosen;
}

}  // namespace moescope::ui
