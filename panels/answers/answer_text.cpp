#include "panels/answers/answer_text.hpp"

#include <array>
#include <imgui.h>
#include <utility>

#include "base/utf8.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

bool AnswerText::update(std::string_view raw, bool finished, bool begins_inside) {
    if (raw.size() == size_ && finished == finished_ && begins_inside == begins_inside_) {
        return true;
    }
    size_ = raw.size();
    finished_ = finished;
    begins_inside_ = begins_inside;
    // A character that has not all arrived stays outside, so that the marks see whole ones.
    const std::string_view whole = finished ? raw : raw.substr(0, base::complete_utf8_prefix(raw));
    const probes::Separated before =
        std::exchange(separated_, probes::separate_reasoning(whole, begins_inside, !finished));
    if (before.reasoning != separated_.reasoning) {
        view_.set(displayable(separated_.reasoning));
        reasoning_characters_ = base::decode_utf8_lossy(separated_.reasoning).size();
    }
    return separated_.answer.compare(0, before.answer.size(), before.answer) == 0;
}

void AnswerText::draw_reasoning(const ui::Context& ctx, std::string_view id) {
    if (separated_.trace == probes::Trace::absent) {
        return;
    }
    if (separated_.trace == probes::Trace::empty) {
        ui::text_wrapped(ctx.text("answer.reasoning_empty"), ctx.theme.text_dim);
        return;
    }
    const std::string count = ctx.text.number(std::uint64_t{reasoning_characters_});
    std::string title = ctx.text.format("answer.reasoning", {{"n", count}});
    if (separated_.open && finished_) {
        title += " · " + std::string(ctx.text("answer.reasoning_open"));
    }
    ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.text_dim);
    ImGui::SetNextItemOpen(separated_.answer.empty(), ImGuiCond_Once);
    const bool unfolded =
        ImGui::TreeNodeEx((title + "###reasoning " + std::string(id)).c_str(), ImGuiTreeNodeFlags_SpanAvailWidth);
    ImGui::PopStyleColor();
    if (!unfolded) {
        return;
    }
    std::array<TextStyle, 1> dim{};
    dim[0].color = ui::packed(ctx.theme.text_dim, 1);
    view_.draw(ctx, ImGui::GetContentRegionAvail().x, dim);
    ImGui::TreePop();
    ImGui::Separator();
}

}  // namespace moescope::panels
