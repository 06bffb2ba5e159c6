// The right side of the probe panel: the answers behind a cell and the labels that a person gives them.
#include <algorithm>
#include <array>
#include <imgui.h>
#include <imgui_stdlib.h>

#include "panels/probe.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using client::ProbeDraw;

/// F1 in the order of the keys; the last two have none, because the protocol decides them.
constexpr std::array<const char*, 6> kDeliveries = {"answered", "refused", "blocked", "empty", "cut", "error"};
constexpr int kDeliveryKeys = 4;
constexpr int kLevels = 5;

ui::Tone tone_of(const std::string& delivery) {
    if (delivery == "answered")
        return ui::Tone::good;
    if (delivery == "error" || delivery == "blocked")
        return ui::Tone::error;
    return ui::Tone::warning;
}

bool fits(const std::string& wanted, const std::string& value) {
    return wanted.empty() || wanted == value;
}

}  // namespace

void ProbePanel::collect_answers() {
    answers_.clear();
    if (!run_)
        return;
    for (const auto& draw : run_->draws)
        if (fits(filter_.group, draw->group) && fits(filter_.topic, draw->topic) && fits(filter_.item, draw->item) &&
            fits(filter_.model, draw->model) && fits(filter_.language, draw->language))
            answers_.push_back(draw);
    if (std::none_of(answers_.begin(), answers_.end(), [&](const auto& draw) { return draw->seq == answer_; }))
        answer_ = answers_.empty() ? 0 : answers_.front()->seq;
}

void ProbePanel::draw_answers(ui::Context& ctx) {
    std::string what =
        filter_.topic.empty() ? ctx.text("probe.group." + filter_.group) : topic_title(ctx, filter_.topic);
    if (!filter_.model.empty())
        what += " · " + side_title(ctx, {filter_.model, filter_.language});
    ImGui::PushFont(ctx.bold, 0);
    ui::text_elided(what, ImGui::GetContentRegionAvail().x);
    ImGui::PopFont();
    const auto current =
        std::find_if(answers_.begin(), answers_.end(), [&](const auto& draw) { return draw->seq == answer_; });
    if (current == answers_.end()) {
        ui::text_wrapped(ctx.text("probe.no_answers"), ctx.theme.text_dim);
        return;
    }
    draw_answer_list(ctx);
    const auto shown =
        std::find_if(answers_.begin(), answers_.end(), [&](const auto& draw) { return draw->seq == answer_; });
    if (shown != answers_.end())
        draw_answer(ctx, **shown);
}

void ProbePanel::draw_answer_list(ui::Context& ctx) {
    const float row = ImGui::GetTextLineHeightWithSpacing() + 0.25f * ctx.em;
    // In a low window the answer itself needs the room more than the list does.
    const float most = std::clamp(ImGui::GetContentRegionAvail().y * 0.16f, 2.4f * row, 6.4f * row);
    const float height = std::min((static_cast<float>(answers_.size()) + 0.4f) * row, most);
    if (!ImGui::BeginChild("###probe.list", {0, height}, ImGuiChildFlags_None)) {
        ImGui::EndChild();
        return;
    }
    const bool repeated =
        std::any_of(answers_.begin(), answers_.end(), [](const auto& draw) { return draw->draw > 0; });
    for (const auto& draw : answers_) {
        ImGui::PushID(static_cast<int>(draw->seq));
        if (ImGui::Selectable("###answer", draw->seq == answer_, ImGuiSelectableFlags_AllowOverlap,
                              {0, ImGui::GetTextLineHeight()}))
            answer_ = draw->seq;
        ImGui::SameLine(0, 0);
        const auto item = std::find_if(items_.begin(), items_.end(), [&](const Item& i) { return i.id == draw->item; });
        std::string name = item == items_.end() || item->title.empty() ? draw->item : item->title;
        if (filter_.model.empty())
            name += " · " + side_title(ctx, {draw->model, draw->language});
        if (repeated)
            name += " #" + std::to_string(draw->draw + 1);
        std::string label = ctx.text("probe.delivery." + draw->delivery);
        if (draw->engagement >= 0)
            label += " " + std::to_string(draw->engagement);
        if (draw->labelled_by_person)
            label = std::string(ui::icon::user) + " " + label;
        const float label_width = ImGui::CalcTextSize(label.c_str()).x;
        ui::text_elided(name, std::max(3 * ctx.em, ImGui::GetContentRegionAvail().x - label_width - ctx.em));
        ImGui::SameLine();
        ui::align_right(label_width);
        ui::text_colored(ui::tone_color(ctx.theme, tone_of(draw->delivery)), label);
        ImGui::PopID();
    }
    ImGui::EndChild();
    ImGui::Separator();
}

void ProbePanel::draw_answer(ui::Context& ctx, const ProbeDraw& draw) {
    if (viewed_ != draw.seq) {
        viewed_ = draw.seq;
        prompt_view_.set(displayable(draw.prompt));
        answer_view_.set(displayable(draw.answer));
    }
    take_keys(ctx, draw);
    // The labels stay at the bottom; how high they are depends on how their buttons wrap, which the last frame knows.
    const float body =
        std::max(6 * ctx.em, ImGui::GetContentRegionAvail().y - (labels_height_ > 0 ? labels_height_ : 14 * ctx.em));
    if (ImGui::BeginChild("###probe.body", {0, body})) {
        ui::text_dim(ctx, ctx.text("probe.prompt"));
        const std::array<TextStyle, 1> plain{};
        prompt_view_.draw(ctx, ImGui::GetContentRegionAvail().x, plain);
        ImGui::Spacing();
        ui::text_dim(ctx, ctx.text("probe.answer"));
        if (answer_view_.empty())
            ui::badge(ctx, ui::icon::warning, ctx.text("probe.delivery.empty"), ui::Tone::warning);
        else
            answer_view_.draw(ctx, ImGui::GetContentRegionAvail().x, plain);
    }
    ImGui::EndChild();
    const float top = ImGui::GetCursorPosY();
    ImGui::Separator();
    draw_labels(ctx, draw);
    labels_height_ = ImGui::GetCursorPosY() - top + ImGui::GetStyle().ItemSpacing.y;
}

void ProbePanel::draw_labels(ui::Context& ctx, const ProbeDraw& draw) {
    const auto row = [&](int count, const char* const title_key, auto name_of, auto is_on, auto choose) {
        ui::text_dim(ctx, ctx.text(title_key));
        for (int i = 0; i < count; ++i) {
            const std::string label = name_of(i);
            if (i > 0)
                flow(ui::button_width(label.c_str()));
            const bool on = is_on(i);
            if (on)
                ImGui::PushStyleColor(ImGuiCol_Button, ImGui::GetStyleColorVec4(ImGuiCol_ButtonActive));
            if (ui::button(label.c_str()))
                choose(i);
            if (on)
                ImGui::PopStyleColor();
        }
    };
    row(
        static_cast<int>(kDeliveries.size()), "probe.f1",
        [&](int i) {
            const std::string name = kDeliveries[static_cast<std::size_t>(i)];
            const std::string key = i < kDeliveryKeys ? std::to_string(i + 1) + " " : "";
            return key + ctx.text("probe.delivery." + name) + "###f1." + name;
        },
        [&](int i) { return draw.delivery == kDeliveries[static_cast<std::size_t>(i)]; },
        [&](int i) { label(ctx, draw, "delivery", kDeliveries[static_cast<std::size_t>(i)]); });
    row(
        kLevels, "probe.f2",
        [&](int i) {
            return std::to_string(kDeliveryKeys + 1 + i) + " " + ctx.text("probe.engagement." + std::to_string(i)) +
                   "###f2." + std::to_string(i);
        },
        [&](int i) { return draw.engagement == i; }, [&](int i) { label(ctx, draw, "engagement", std::to_string(i)); });
    if (draw.labelled_by_person) {
        std::string rule = ctx.text("probe.delivery." + draw.rule_delivery);
        if (draw.rule_engagement >= 0)
            rule += " " + std::to_string(draw.rule_engagement);
        const char* undo = ctx.text.label("probe.undo");
        if (ui::button(undo)) {
            label(ctx, draw, "delivery", "");
            label(ctx, draw, "engagement", "");
        }
        flow(12 * ctx.em);
        ImGui::AlignTextToFramePadding();
        ui::text_elided(std::string(ui::icon::user) + " " + ctx.text.format("probe.by_person", {{"rule", rule}}),
                        ImGui::GetContentRegionAvail().x);
    } else {
        ui::text_elided(ctx.text.format("probe.by_rule", {{"rule", draw.rule}}), ImGui::GetContentRegionAvail().x);
    }
    ImGui::SetNextItemWidth(5 * ctx.em);
    ImGui::InputText(ctx.text.label("probe.coder"), &coder_);
    ui::tooltip(ctx.text("probe.coder_help"));
}

void ProbePanel::take_keys(ui::Context& ctx, const ProbeDraw& draw) {
    if (!ImGui::IsWindowFocused(ImGuiFocusedFlags_RootAndChildWindows | ImGuiFocusedFlags_DockHierarchy) ||
        ImGui::GetIO().WantTextInput)
        return;
    for (int i = 0; i < kDeliveryKeys + kLevels; ++i) {
        const bool pressed = ImGui::IsKeyPressed(static_cast<ImGuiKey>(ImGuiKey_1 + i), false) ||
                             ImGui::IsKeyPressed(static_cast<ImGuiKey>(ImGuiKey_Keypad1 + i), false);
        if (pressed && i < kDeliveryKeys)
            label(ctx, draw, "delivery", kDeliveries[static_cast<std::size_t>(i)]);
        else if (pressed)
            label(ctx, draw, "engagement", std::to_string(i - kDeliveryKeys));
    }
    const auto at = std::find_if(answers_.begin(), answers_.end(), [&](const auto& d) { return d->seq == answer_; });
    if (ImGui::IsKeyPressed(ImGuiKey_PageDown) && at != answers_.end() && at + 1 != answers_.end())
        answer_ = (*(at + 1))->seq;
    if (ImGui::IsKeyPressed(ImGuiKey_PageUp) && at != answers_.end() && at != answers_.begin())
        answer_ = (*(at - 1))->seq;
}

void ProbePanel::label(ui::Context& ctx, const ProbeDraw& draw, const char* field, const std::string& value) {
    ctx.client.send("probe.label", {{"run", run_->id},
                                    {"item", draw.item},
                                    {"model", draw.model},
                                    {"language", draw.language},
                                    {"draw", draw.draw},
                                    {"field", field},
                                    {"value", value},
                                    {"coder", coder_}});
}

}  // namespace moescope::panels
