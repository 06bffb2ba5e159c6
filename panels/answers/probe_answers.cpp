// The right side of the probe panel: the answers behind a cell and the labels that a person gives them.
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <imgui.h>
#include <imgui_stdlib.h>
#include <iterator>
#include <utility>

#include "nodes/history/checkpoint_name.hpp"
#include "panels/answers/probe.hpp"
#include "panels/node/library.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/ui/answer_end.hpp"
#include "panels/ui/field_label.hpp"
#include "panels/ui/notes.hpp"
#include "panels/ui/question.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/undo.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::ProbeDraw;

/// F1, each with its key: the first letter of the English name where it is free. F2 has its own digits, 0 to 4.
struct DeliveryKey {
    const char* delivery;
    char letter;
};
constexpr std::array<DeliveryKey, 7> kDeliveries = {{{"answered", 'A'},
                                                     {"refused", 'R'},
                                                     {"blocked", 'B'},
                                                     {"empty", 'E'},
                                                     {"cut", 'C'},
                                                     {"error", 'X'},
                                                     {"incoherent", 'I'}}};
constexpr char kUndoKey = 'U';
constexpr int kLevels = 5;
/// What stays of prompt and answer, with their headings, and of the labels, in lines, however low the window is.
constexpr float kBodyLines = 8.5f, kLabelLines = 6;

ImGuiKey letter_key(char letter) {
    return static_cast<ImGuiKey>(ImGuiKey_A + (letter - 'A'));
}

/// "answered  A": the key that does the same stands on the button.
std::string with_key(std::string_view name, char letter) {
    return std::string(name) + "  " + letter;
}

ui::Tone tone_of(const std::string& delivery) {
    if (delivery == "answered") {
        return ui::Tone::good;
    }
    if (delivery == "error" || delivery == "blocked") {
        return ui::Tone::error;
    }
    return ui::Tone::warning;
}

/// "answered, 4 full"
std::string label_text(const ui::Context& ctx, const std::string& delivery, int engagement) {
    const std::string name = ctx.text("probe.delivery." + delivery);
    return engagement < 0
               ? name
               : ctx.text.format(
                     "probe.label",
                     {{"delivery", name}, {"engagement", ctx.text("probe.engagement." + std::to_string(engagement))}});
}

history::NotePlace note_place(std::uint32_t run, const ProbeDraw& draw) {
    return {.kind = history::NotePlace::Kind::answer,
            .run = run,
            .item = draw.item,
            .model = draw.model,
            .language = draw.language,
            .draw = draw.draw};
}

bool nobody(const std::string& coder) {
    return coder.find_first_not_of(' ') == std::string::npos;
}

bool fits(const std::string& wanted, const std::string& value) {
    return wanted.empty() || wanted == value;
}

/// The session's own label of a field, or what coders agreed on.
const ProbeDraw::Said& said_in(const ProbeDraw& draw, std::string_view field, bool consensus) {
    if (field == "delivery") {
        return consensus ? draw.agreed_delivery : draw.said_delivery;
    }
    return consensus ? draw.agreed_engagement : draw.said_engagement;
}

}  // namespace

void ProbePanel::collect_answers(const ui::Context& ctx) {
    answers_.clear();
    if (!run_) {
        return;
    }
    if (disagreed_) {
        answers_title_ = ctx.text("probe.disagreements");
        answers_language_.clear();
        std::copy_if(run_->draws.begin(), run_->draws.end(), std::back_inserter(answers_),
                     [](const auto& draw) { return draw->disagreed; });
        if (answer_index() == answers_.size()) {
            answer_ = answers_.empty() ? 0 : answers_.front()->seq;
        }
        return;
    }
    answers_title_ = filter_.topic.empty() ? ctx.text("probe.group." + filter_.group) : topic_title(ctx, filter_.topic);
    answers_language_.clear();
    if (!filter_.model.empty()) {
        answers_title_ += " · " + short_title(ctx, filter_.model);
        answers_language_ =
            ctx.text.format("common.in_brackets", {{"text", ctx.text("probe.language." + filter_.language)}});
    }
    for (const auto& draw : run_->draws) {
        if (fits(filter_.group, draw->group) && fits(filter_.topic, draw->topic) && fits(filter_.item, draw->item) &&
            fits(filter_.model, draw->model) && fits(filter_.language, draw->language)) {
            answers_.push_back(draw);
        }
    }
    if (answer_index() == answers_.size()) {
        answer_ = answers_.empty() ? 0 : answers_.front()->seq;
    }
}

void ProbePanel::show_wanted_answer(ui::Context& ctx) {
    const std::optional<history::NotePlace> wanted = std::exchange(ctx.selection.probe_answer, std::nullopt);
    if (!wanted || !run_ || run_->id != wanted->run) {
        return;
    }
    for (const auto& draw : run_->draws) {
        if (note_place(run_->id, *draw) == *wanted) {
            filter_ = {draw->group, "", draw->item, draw->model, draw->language};
            filter_chosen_ = true;
            answer_ = draw->seq;
            show_answer_ = true;
            collect_answers(ctx);
            return;
        }
    }
}

void ProbePanel::draw_answers(ui::Context& ctx) {
    ImGui::PushFont(ctx.bold, 0);
    // In a narrow pane names give way, the language does not: it is all that tells two headings apart.
    ui::text_elided(answers_title_,
                    ImGui::GetContentRegionAvail().x - ImGui::CalcTextSize(answers_language_.c_str()).x);
    ImGui::SameLine(0, 0);
    ImGui::TextUnformatted(answers_language_.c_str());
    ImGui::PopFont();
    if (answer() == nullptr) {
        ui::text_wrapped(ctx.text("probe.no_answers"), ctx.theme.text_dim);
        return;
    }
    draw_answer_list(ctx);
    if (const ProbeDraw* shown = answer()) {
        draw_answer(ctx, *shown);
    }
}

/// The answer on show; null when none fits the filter.
const ProbeDraw* ProbePanel::answer() const {
    const std::size_t at = answer_index();
    return at < answers_.size() ? answers_[at].get() : nullptr;
}

std::size_t ProbePanel::answer_index() const {
    const auto at = std::find_if(answers_.begin(), answers_.end(), [&](const auto& d) { return d->seq == answer_; });
    return static_cast<std::size_t>(at - answers_.begin());
}

void ProbePanel::step_answer(int by) {
    const std::size_t at = answer_index();
    if (at >= answers_.size() || (by < 0 && at == 0) || (by > 0 && at + 1 == answers_.size())) {
        return;
    }
    answer_ = answers_[by < 0 ? at - 1 : at + 1]->seq;
    show_answer_ = true;
}

std::vector<std::string> ProbePanel::answer_actions() {
    std::vector<std::string> actions = {"probes.previous_answer", "probes.next_answer"};
    for (const DeliveryKey& key : kDeliveries) {
        actions.push_back(fmt::format("probes.label.{}", key.delivery));
    }
    for (int level = 0; level < kLevels; ++level) {
        actions.push_back(fmt::format("probes.label.{}", level));
    }
    actions.emplace_back("probes.label.undo");
    return actions;
}

bool ProbePanel::act_on_answer(const std::string& action, ui::Context& ctx) {
    if (action == "probes.next_answer" || action == "probes.previous_answer") {
        step_answer(action == "probes.next_answer" ? 1 : -1);
        return true;
    }
    constexpr std::string_view kLabel = "probes.label.";
    if (action.compare(0, kLabel.size(), kLabel) != 0) {
        return false;
    }
    const std::string value = action.substr(kLabel.size());
    const bool level = value.size() == 1 && value[0] >= '0' && value[0] < '0' + kLevels;
    const bool delivery = std::any_of(kDeliveries.begin(), kDeliveries.end(),
                                      [&](const DeliveryKey& key) { return value == key.delivery; });
    if (!level && !delivery && value != "undo") {
        return false;
    }
    const ProbeDraw* draw = answer();
    if (draw == nullptr) {
        return true;
    }
    if (level) {
        label_level(ctx, *draw, value);
    } else if (delivery) {
        label(ctx, *draw, {{"delivery", value}});
    } else {
        take_back(ctx, *draw);
    }
    return true;
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
    // Twenty draws of a large set are thousands of rows: only those in sight are drawn.
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(answers_.size()));
    if (const std::size_t shown = answer_index(); show_answer_ && shown < answers_.size()) {
        clipper.IncludeItemByIndex(static_cast<int>(shown));
    }
    while (clipper.Step()) {
        for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
            draw_answer_row(ctx, *answers_[static_cast<std::size_t>(i)], repeated);
        }
    }
    show_answer_ = false;
    ImGui::EndChild();
    ImGui::Separator();
}

void ProbePanel::draw_answer_row(ui::Context& ctx, const ProbeDraw& draw, bool repeated) {
    ImGui::PushID(static_cast<int>(draw.seq));
    if (ImGui::Selectable("###answer", draw.seq == answer_, ImGuiSelectableFlags_AllowOverlap,
                          {0, ImGui::GetTextLineHeight()})) {
        answer_ = draw.seq;
    }
    if (show_answer_ && draw.seq == answer_) {
        ImGui::SetScrollHereY();
    }
    ImGui::SameLine(0, 0);
    const auto item = std::find_if(items_.begin(), items_.end(), [&](const Item& i) { return i.id == draw.item; });
    std::string name = item == items_.end() || item->title.empty() ? draw.item : item->title;
    if (filter_.model.empty()) {
        name += " · " + side_title(ctx, {draw.model, draw.language});
    }
    if (repeated) {
        name += " #" + std::to_string(draw.draw + 1);
    }
    std::string label = label_text(ctx, draw.delivery, draw.engagement);
    if (!ui::notes_on(ctx.snapshot, note_place(run_->id, draw)).empty()) {
        label = std::string(ui::icon::note) + " " + label;
    }
    if (draw.labelled_by_person) {
        label = std::string(ui::icon::user) + " " + label;
    }
    const float label_width = ImGui::CalcTextSize(label.c_str()).x;
    ui::text_elided(name, std::max(3 * ctx.em, ImGui::GetContentRegionAvail().x - label_width - ctx.em));
    ImGui::SameLine();
    ui::align_right(label_width);
    ui::text_colored(ui::tone_color(ctx.theme, tone_of(draw.delivery)), label);
    ImGui::PopID();
}

void ProbePanel::draw_answer(ui::Context& ctx, const ProbeDraw& draw) {
    if (viewed_ != draw.seq) {
        viewed_ = draw.seq;
        scroll_up_ = true;
        prompt_view_.set(displayable(draw.prompt));
        answer_text_ = AnswerText();
        answer_text_.update(draw.answer, true, probes::ends_inside_reasoning(draw.shown));
        answer_view_.set(displayable(answer_text_.answer()));
    }
    take_keys(ctx, draw);
    // The labels stay at the bottom; how high they are depends on how their buttons wrap, which the last frame knows.
    // Where there is no room for both, a few lines of the answer stay and the labels scroll.
    const float room = ImGui::GetContentRegionAvail().y, line = ImGui::GetTextLineHeightWithSpacing();
    const float gap = ImGui::GetStyle().ItemSpacing.y;
    const float wanted = labels_height_ > 0 ? labels_height_ : 14 * ctx.em;
    const float body = std::max(kBodyLines * line, room - wanted - gap);
    if (ImGui::BeginChild("###probe.body", {0, body}, ImGuiChildFlags_None, ImGuiWindowFlags_NoScrollbar)) {
        draw_texts(ctx, draw);
    }
    ImGui::EndChild();
    if (ImGui::BeginChild("###probe.labels", {0, std::max(kLabelLines * line, room - body - gap)})) {
        const float top = ImGui::GetCursorPosY();
        ImGui::Separator();
        draw_labels(ctx, draw);
        labels_height_ = ImGui::GetCursorPosY() - top;
    }
    ImGui::EndChild();
}

/// Prompt and answer, each scrolling by itself: a long prompt leaves most of the room to the answer.
void ProbePanel::draw_texts(ui::Context& ctx, const ProbeDraw& draw) {
    const std::array<TextStyle, 1> plain{};
    const float line = ImGui::GetTextLineHeightWithSpacing();
    const float most = std::max(2.4f * ImGui::GetTextLineHeight(), 0.3f * ImGui::GetContentRegionAvail().y - line);
    ui::text_dim(ctx, ctx.text("probe.prompt"));
    shown_tooltip(ctx, draw.shown);
    draw_routing_button(ctx, draw);
    ImGui::SetNextWindowSizeConstraints({0, 0}, {FLT_MAX, most});
    if (ImGui::BeginChild("###probe.prompt", {0, 0}, ImGuiChildFlags_AutoResizeY)) {
        prompt_view_.draw(ctx, ImGui::GetContentRegionAvail().x, plain);
    }
    ImGui::EndChild();
    ui::text_dim(ctx, ctx.text("probe.answer"));
    if (ImGui::BeginChild("###probe.answer", {0, std::max(2 * line, ImGui::GetContentRegionAvail().y)})) {
        if (scroll_up_) {
            ImGui::SetScrollY(0);
            scroll_up_ = false;
        }
        answer_text_.draw_reasoning(ctx, std::to_string(draw.seq));
        if (const std::string wordless = ui::wordless_text(ctx.text, answer_text_.answer()); !wordless.empty()) {
            ui::badge(ctx, ui::icon::warning, ctx.text("probe.delivery.empty"), ui::Tone::warning);
            if (!answer_view_.empty()) {
                ui::text_wrapped(wordless, ctx.theme.text_dim);
            }
        } else {
            answer_view_.draw(ctx, ImGui::GetContentRegionAvail().x, plain);
        }
    }
    ImGui::EndChild();
}

/// What the model decides when it reads this answer again: of a probe nothing is recorded but the text.
void ProbePanel::draw_routing_button(ui::Context& ctx, const ProbeDraw& draw) {
    const client::ModelEntry* model = find_model(ctx.snapshot, draw.model);
    if (model == nullptr ? !history::is_checkpoint_name(draw.model) : !is_routed(*model)) {
        return;
    }
    const char* label = ctx.text.label("probe.open_routing");
    ui::align_right(ImGui::CalcTextSize(label, nullptr, true).x + 2 * ImGui::GetStyle().FramePadding.x);
    ImGui::BeginDisabled(!ctx.connected());
    if (ImGui::SmallButton(label)) {
        show_or_read_routing(ctx, {{"model", draw.model},
                                   {"run", run_->id},
                                   {"item", draw.item},
                                   {"language", draw.language},
                                   {"draw", draw.draw}});
    }
    ImGui::EndDisabled();
    ui::tooltip(ctx.text(ctx.connected() ? "compare.read_routing.help" : "runs.offline"));
}

void ProbePanel::draw_labels(ui::Context& ctx, const ProbeDraw& draw) {
    // Low buttons: the answer above needs the room.
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, ImVec2(0.4f * ctx.em, 0.14f * ctx.em));
    const auto title = [&](const char* key) {
        ui::text_dim(ctx, ctx.text(key));
        ui::help_mark(ctx, (std::string(key) + ".help").c_str());
    };
    const auto choice = [&](const std::string& label, bool first, bool on, char key) {
        if (!first) {
            ui::flow(ui::button_width(label.c_str()));
        }
        if (on) {
            ImGui::PushStyleColor(ImGuiCol_Button, ImGui::GetStyleColorVec4(ImGuiCol_ButtonActive));
        }
        const bool clicked = ui::button(label.c_str());
        if (on) {
            ImGui::PopStyleColor();
        }
        ui::tooltip(ctx.text.format("probe.key", {{"key", std::string(1, key)}}));
        return clicked;
    };
    draw_coder(ctx, draw);
    title("probe.f1");
    for (const DeliveryKey& key : kDeliveries) {
        const std::string name = key.delivery;
        if (choice(with_key(ctx.text("probe.delivery." + name), key.letter) + "###f1." + name,
                   &key == kDeliveries.begin(), draw.delivery == name, key.letter)) {
            this->label(ctx, draw, {{"delivery", name}});
        }
    }
    title("probe.f2");
    if (draw.labelled_by_person && draw.delivery == "answered" && draw.engagement < 0) {
        ImGui::SameLine();  // what is cut of it is in its tooltip: the room is for the labels
        ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.warning);
        ui::text_elided(std::string(ui::icon::warning) + " " + ctx.text("probe.f2.missing"),
                        ImGui::GetContentRegionAvail().x);
        ImGui::PopStyleColor();
    }
    for (int i = 0; i < kLevels; ++i) {
        const std::string level = std::to_string(i);
        if (choice(ctx.text("probe.engagement." + level) + ("###f2." + level), i == 0, draw.engagement == i,
                   level.front())) {
            label_level(ctx, draw, level);
        }
    }
    if (!draw.device.empty() && draw.device != "cpu") {
        ui::text_dim(ctx, ctx.text.format("routing.device", {{"device", draw.device}}));
    }
    draw_codings(ctx, draw);
    if (draw.labelled_by_person) {
        const std::string rule = label_text(ctx, draw.rule_delivery, draw.rule_engagement);
        ui::text_wrapped(std::string(ui::icon::user) + " " +
                             ctx.text.format(draw.consensus       ? "probe.by_consensus"
                                             : draw.coder.empty() ? "probe.by_person"
                                                                  : "probe.by_coder",
                                             {{"coder", draw.coder}, {"rule", rule}}),
                         ctx.theme.text);
    } else {
        ui::text_wrapped(ctx.text.format("probe.by_rule", {{"rule", ctx.text.message(draw.rule)}}), ctx.theme.text);
    }
    // A rule that finds an answer engaged has not checked a single fact of it.
    ui::text_wrapped(ctx.text("probe.not_truth"), ctx.theme.text_dim);
    ImGui::PopStyleVar();
}

/// Who labels, for whom, and what is done with the whole answer, in one row.
void ProbePanel::draw_coder(ui::Context& ctx, const ProbeDraw& draw) {
    ui::field_label(ctx, "probe.coder");
    ImGui::SetNextItemWidth(4 * ctx.em);
    if (std::exchange(ask_coder_, false)) {
        ImGui::SetKeyboardFocusHere();
    }
    ImGui::InputTextWithHint("###probe.coder", ctx.text("probe.coder_hint"), &ctx.coder);
    ui::tooltip(ctx.text("probe.coder_help"));
    ui::flow(ui::note_button_width());
    ui::note_button(ctx, "note", note_place(run_->id, draw));
    if (draw.codings.size() > 1 || draw.consensus || consensus_) {
        const char* consensus = ctx.text.label("probe.consensus");
        ui::flow(ImGui::GetFrameHeight() + ImGui::GetStyle().ItemInnerSpacing.x +
                 ImGui::CalcTextSize(consensus, nullptr, true).x);
        ImGui::Checkbox(consensus, &consensus_);
        ui::tooltip(ctx.text("probe.consensus.help"));
    }
    if (draw.own_label || draw.consensus) {
        const std::string undo = with_key(ctx.text("probe.undo"), kUndoKey) + "###probe.undo";
        ui::flow(ui::button_width(undo.c_str()));
        if (ui::button(undo.c_str())) {
            take_back(ctx, draw);
        }
        ui::command_tooltip(ctx, ctx.text("probe.undo.help"), "probes.label.undo");
    }
    if (coder_asked_) {
        coder_asked_ = nobody(ctx.coder);
        ui::text_wrapped(std::string(ui::icon::warning) + " " + ctx.text("probe.coder_missing"), ctx.theme.warning);
    }
}

/// Who says what, where more than one has coded the answer.
void ProbePanel::draw_codings(ui::Context& ctx, const ProbeDraw& draw) {
    if (draw.codings.size() < 2 && !draw.consensus && !consensus_) {
        return;
    }
    for (const history::ProbeCoding& coding : draw.codings) {
        ui::text_wrapped(
            ctx.text.format("probe.coding", {{"coder", coding.coder.empty() ? ctx.text("probe.no_name") : coding.coder},
                                             {"label", label_text(ctx, coding.delivery, coding.engagement)}}),
            draw.disagreed ? ctx.theme.warning : ctx.theme.text_dim);
    }
}

void ProbePanel::take_keys(ui::Context& ctx, const ProbeDraw& draw) {
    // Only in this panel, and not with Ctrl: Ctrl+1 chooses a layout and labels nothing.
    const ImGuiIO& io = ImGui::GetIO();
    if (!ImGui::IsWindowFocused(ImGuiFocusedFlags_RootAndChildWindows) || io.WantTextInput ||
        io.KeyMods != ImGuiMod_None) {
        return;
    }
    const auto digit_pressed = [](int digit) {
        return ImGui::IsKeyPressed(static_cast<ImGuiKey>(ImGuiKey_0 + digit), false) ||
               ImGui::IsKeyPressed(static_cast<ImGuiKey>(ImGuiKey_Keypad0 + digit), false);
    };
    for (const DeliveryKey& key : kDeliveries) {
        if (ImGui::IsKeyPressed(letter_key(key.letter), false)) {
            label(ctx, draw, {{"delivery", key.delivery}});
        }
    }
    for (int level = 0; level < kLevels; ++level) {
        if (digit_pressed(level)) {
            label_level(ctx, draw, std::to_string(level));
        }
    }
    if ((draw.own_label || draw.consensus) && ImGui::IsKeyPressed(letter_key(kUndoKey), false)) {
        take_back(ctx, draw);
    }
    if (ImGui::IsKeyPressed(ImGuiKey_PageDown)) {
        step_answer(1);
    }
    if (ImGui::IsKeyPressed(ImGuiKey_PageUp)) {
        step_answer(-1);
    }
}

void ProbePanel::take_back(ui::Context& ctx, const ProbeDraw& draw) {
    // What is in force goes, whatever is to be labelled next.
    const bool wanted = std::exchange(consensus_, draw.consensus);
    label(ctx, draw, {{"delivery", ""}, {"engagement", ""}});
    consensus_ = wanted;
}

/// An F2 says that there is an answer to judge, or that it declines; an F1 that says something else would put it out of
/// force.
void ProbePanel::label_level(ui::Context& ctx, const ProbeDraw& draw, const std::string& level) {
    const std::string delivery = level != "0" ? "answered" : draw.delivery == "answered" ? "answered" : "refused";
    std::vector<FieldLabel> labels;
    if (delivery != draw.delivery || consensus_) {
        labels.push_back({"delivery", delivery});
    }
    labels.push_back({"engagement", level});
    label(ctx, draw, labels);
}

/// One step to undo, however many fields it labels.
void ProbePanel::label(ui::Context& ctx, const ProbeDraw& draw, const std::vector<FieldLabel>& labels) {
    if (nobody(ctx.coder)) {  // under no name it could not be told from another coder's, nor merged with it
        ask_coder_ = coder_asked_ = true;
        return;
    }
    const auto command = [&](const char* field, const std::string& value, const std::string& coder) {
        ui::CommandEdit::Command made{"probe.label",
                                      {{"run", run_->id},
                                       {"item", draw.item},
                                       {"model", draw.model},
                                       {"language", draw.language},
                                       {"draw", draw.draw},
                                       {"field", field},
                                       {"value", value},
                                       {"coder", coder}}};
        if (consensus_) {  // a node of an earlier version does not know the key
            made.parameters["consensus"] = true;
        }
        return made;
    };
    ui::CommandEdit edit;
    std::vector<client::CommandId> sent;
    std::vector<std::pair<std::string, std::string>> said;  // before, after; of the fields in their order
    for (const FieldLabel& one : labels) {
        const ProbeDraw::Said& before = said_in(draw, one.field, consensus_);
        const ui::CommandEdit::Command now = command(one.field, one.value, ctx.coder);
        sent.push_back(ctx.client.send(now.name, now.parameters));
        // Taken back or done again, it takes the place of exactly what it was: the node compares. Where it was another
        // coder's, ours goes first, which would stay beside theirs otherwise.
        const bool of_another = !before.value.empty() && !one.value.empty() && before.coder != ctx.coder;
        if (of_another) {
            ui::CommandEdit::Command gone = command(one.field, "", ctx.coder);
            gone.parameters["was"] = one.value;
            edit.undo.push_back(std::move(gone));
        }
        ui::CommandEdit::Command back = command(one.field, before.value, before.coder), again = now;
        back.parameters["was"] = of_another ? std::string() : one.value;
        again.parameters["was"] = before.value;
        edit.undo.push_back(std::move(back));
        edit.redo.push_back(std::move(again));
        said.emplace_back(before.value, one.value);
    }
    const bool takes_back =
        std::all_of(labels.begin(), labels.end(), [](const FieldLabel& one) { return one.value.empty(); });
    edit.name = [item = draw.item, takes_back](const ui::Language& text) {
        return text.format(takes_back ? "undo.label.taken_back" : "undo.label", {{"item", in_one_line(item, 40)}});
    };
    edit.why_not = [run = run_->id, place = note_place(run_->id, draw), labels, said, consensus = consensus_](
                       const ui::Context& now, ui::Edit::Way) -> std::string {
        const auto found = now.snapshot.probes.find(run);
        if (found == now.snapshot.probes.end()) {
            return {};
        }
        for (const auto& one : found->second->draws) {
            if (!(note_place(run, *one) == place)) {
                continue;
            }
            for (std::size_t i = 0; i < labels.size(); ++i) {
                const std::string& value = said_in(*one, labels[i].field, consensus).value;
                // What was sent a moment ago may not have come back yet.
                if (value != said[i].first && value != said[i].second) {
                    return now.text("undo.label.changed");
                }
            }
        }
        return {};
    };
    ctx.shared.get<ui::UndoHistory>().add(ui::make_edit(std::move(edit)), std::move(sent));
}

}  // namespace moescope::panels
