#include "panels/ui/field_label.hpp"

#include "panels/ui/text_layout.hpp"

namespace moescope::ui {

void field_label(const Context& ctx, const char* key) {
    ImGui::AlignTextToFramePadding();
    text_dim(ctx, ctx.text(key));
    ImGui::SameLine(0, ImGui::GetStyle().ItemInnerSpacing.x);
}

float field_label_width(const Context& ctx, const char* key) {
    return ImGui::CalcTextSize(ctx.text(key)).x + ImGui::GetStyle().ItemInnerSpacing.x;
}

}  // namespace moescope::ui
