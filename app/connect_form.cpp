#include "app/connect_form.hpp"

#include <imgui.h>
#include <imgui_stdlib.h>
#include <utility>

#include "nodes/client/client.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {

void ConnectForm::open() {
    open_ = appear_ = true;
    address_.clear();  // an invitation holds a secret, and is of no use twice
    problem_ = {};
}

void ConnectForm::draw(const ui::Context& ctx, const std::vector<std::string>& recent,
                       const std::function<void(const std::string&)>& connect) {
    if (!open_) {
        return;
    }
    std::string chosen;
    if (ui::begin_floating(ctx, ctx.text.label("connect.form"), open_, {.size = {36, 0}, .least = {18, 8}})) {
        ui::text_wrapped(ctx.text("connect.what"), ctx.theme.text_dim);
        ui::text_dim(ctx, ctx.text("connect.address"));
        ImGui::SetNextItemWidth(-FLT_MIN);
        if (std::exchange(appear_, false)) {
            ImGui::SetKeyboardFocusHere();
        }
        if (ImGui::InputTextWithHint("###connect.address", "ssh://user@host", &address_)) {
            problem_ = {};
        }
        if (ImGui::IsItemDeactivated() &&
            (ImGui::IsKeyPressed(ImGuiKey_Enter) || ImGui::IsKeyPressed(ImGuiKey_KeypadEnter))) {
            chosen = address_;
        }
        if (!recent.empty()) {
            ui::text_dim(ctx, ctx.text("connect.recent"));
            for (std::size_t i = 0; i < recent.size(); ++i) {
                const std::string label = recent[i] + "###connect.recent." + std::to_string(i);
                if (ImGui::Selectable(label.c_str())) {
                    chosen = recent[i];
                }
            }
        }
        if (!problem_.empty()) {
            ui::text_wrapped(ctx.text.message(problem_), ctx.theme.error);
        }
        const char *go = ctx.text.label("connect.go"), *cancel = ctx.text.label("connect.cancel");
        ImGui::Dummy({0, 0});
        ui::align_right(ui::button_width(go) + ui::button_width(cancel) + ImGui::GetStyle().ItemSpacing.x);
        if (ui::default_button(ctx, go)) {
            chosen = address_;
        }
        ui::flow(ui::button_width(cancel));
        if (ImGui::Button(cancel)) {
            open_ = false;
        }
    }
    ImGui::End();
    if (chosen.empty()) {
        return;
    }
    problem_ = client::node_address_problem(chosen);
    if (problem_.empty()) {
        open_ = false;
        address_.clear();
        connect(chosen);
    }
}

}  // namespace moescope::app
