#include "panels/routing/trial_view.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <imgui_stdlib.h>
#include <implot.h>

#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "panels/node/library.hpp"
#include "panels/node/tasks.hpp"
#include "panels/routing/change_editor.hpp"
#include "panels/routing/figure_view.hpp"
#include "panels/routing/read_form.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/ui/answer_end.hpp"
#include "panels/ui/difference_text.hpp"
#include "panels/ui/field_label.hpp"
#include "panels/ui/plot_parts.hpp"
#include "panels/ui/question.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::Generation;
using history::RunState;
using nlohmann::json;

constexpr int kMostTokens = 4096, kMostControls = 64;
/// A started answer that the node has accepted but not shown after so many seconds no longer blocks the next start.
constexpr double kPatience = 10;
enum AnswerStyle : std::uint16_t { kPlain, kAdded, kRemoved, kStyles };

bool ended(const Generation& answer) {
    return protocol::ended(answer.state);
}

std::array<TextStyle, kStyles> answer_styles(const ui::Theme& theme) {
    return {TextStyle{}, added_style(theme), removed_style(theme)};
}

/// 0 while there is no answer to the command.
std::uint32_t run_of_command(const client::Snapshot& snapshot, client::CommandId id) {
    const auto result = snapshot.results.find(id);
    return result == snapshot.results.end() ? 0 : base::run_of(result->second.value);
}

bool refused(const client::Snapshot& snapshot, client::CommandId id) {
    const auto result = snapshot.results.find(id);
    using State = client::CommandResult::State;
    return result != snapshot.results.end() && result->second.state != State::done &&
           result->second.state != State::pending;
}

/// The value below which so many hundredths of the numbers lie: what colours reach to, so that one outlier does not
/// make all others pale.
double percentile(std::vector<double> values, double share) {
    values.erase(std::remove_if(values.begin(), values.end(), [](double v) { return !std::isfinite(v); }),
                 values.end());
    if (values.empty()) {
        return 0;
    }
    const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), values.begin() + at, values.end());
    return values[static_cast<std::size_t>(at)];
}

ImU32 half(ImU32 colour) {
    return (colour & ~IM_COL32_A_MASK) | (static_cast<ImU32>(110) << IM_COL32_A_SHIFT);
}

}  // namespace

void TrialView::take_over(const TrialView& before) {
    chat_ = before.chat_;
    max_tokens_ = before.max_tokens_;
    controls_ = before.controls_;
    seed_ = before.seed_;
}

void TrialView::choose_model(const ui::Context& ctx) {
    if (model_.empty()) {
        model_ = trials_.empty() ? first_routed_model(ctx.snapshot, ctx.selection.training_run)
                                 : model_with_set(ctx.snapshot, trials_.front().model).model;
    }
}

void TrialView::choose_defaults(ui::Context& ctx) {
    if (!touched_ && prompt_.empty()) {
        const json& prompts = base::member(*ctx.snapshot.catalogue, "prompts");
        if (!trials_.empty() && trials_.front().untouched) {
            prompt_ = base::text_of(trials_.front().untouched->manifest, "prompt");
        } else if (prompts.is_array() && !prompts.empty()) {
            prompt_ = localized(prompts.front(), "text", ctx.text.code());
        }
    }
}

void TrialView::refresh(ui::Context& ctx) {
    if (seen_version_ == ctx.snapshot.version) {
        return;
    }
    seen_version_ = ctx.snapshot.version;
    trials_ = trials_of(ctx.snapshot);
    add_started(ctx.snapshot);
    choose_defaults(ctx);
}

/// Its first answer is shown as soon as it begins, before the other one makes it a trial that the session knows.
void TrialView::add_started(const client::Snapshot& snapshot) {
    if (!started_ || std::any_of(trials_.begin(), trials_.end(),
                                 [&](const Trial& trial) { return trial.group == started_->group; })) {
        return;
    }
    Trial trial = started_->trial;
    const auto answer = [&](std::uint32_t run) {
        const auto found = snapshot.generations.find(run);
        return found == snapshot.generations.end() ? nullptr : found->second;
    };
    trial.untouched = answer(started_->untouched_run);
    trial.changed = answer(started_->changed_run);
    if (trial.untouched || trial.changed) {
        trial.first_run = started_->untouched_run;
        trials_.insert(trials_.begin(), std::move(trial));
    }
}

const Trial* TrialView::shown() const {
    const auto found =
        std::find_if(trials_.begin(), trials_.end(), [&](const Trial& trial) { return trial.group == group_; });
    if (found != trials_.end()) {
        return &*found;
    }
    // A trial that was just started is not there yet; an earlier one in its place would be taken for it.
    return trials_.empty() || (started_ && started_->group == group_) ? nullptr : &trials_.front();
}

bool TrialView::busy(const ui::Context& ctx) const {
    if (!started_) {
        return false;
    }
    const auto going = [&](client::CommandId id, std::uint32_t run) {
        if (id == 0) {
            return false;
        }
        if (run == 0) {
            return ui::pending(ctx.snapshot, id);
        }
        const auto answer = ctx.snapshot.generations.find(run);
        if (answer != ctx.snapshot.generations.end()) {
            return !ended(*answer->second);
        }
        const auto route = ctx.snapshot.routes.find(run);
        return route != ctx.snapshot.routes.end()
                   ? !protocol::ended(route->second->state)
                   : task_of(ctx.snapshot, run) != nullptr || ctx.now - started_->at < kPatience;
    };
    return going(started_->untouched, started_->untouched_run) || going(started_->changed, started_->changed_run) ||
           going(started_->effect, run_of_command(ctx.snapshot, started_->effect));
}

/// When both answers have ended, their effect is asked for, once.
void TrialView::follow(ui::Context& ctx) {
    follow_started(ctx);
    ctx.shared.get<TrialGoing>().going = busy(ctx);
}

void TrialView::follow_started(ui::Context& ctx) {
    refresh(ctx);
    if (started_ && refused(ctx.snapshot, started_->effect)) {
        started_.reset();  // the status line says why
    }
    if (!started_ || started_->effect != 0 || started_->untouched == 0) {
        return;
    }
    Started& now = *started_;
    for (const auto& [command, run] :
         {std::pair{now.untouched, &now.untouched_run}, std::pair{now.changed, &now.changed_run}}) {
        if (*run == 0) {
            *run = run_of_command(ctx.snapshot, command);
            seen_version_ = *run != 0 ? ~std::uint64_t{0} : seen_version_;
            if (*run != 0 && now.cancelled) {
                ctx.client.send("generate.cancel", {{"run", *run}});
            }
        }
    }
    if (refused(ctx.snapshot, now.untouched) || refused(ctx.snapshot, now.changed)) {
        started_.reset();
        return;
    }
    const auto untouched = ctx.snapshot.generations.find(now.untouched_run),
               changed = ctx.snapshot.generations.find(now.changed_run);
    if (untouched == ctx.snapshot.generations.end() || changed == ctx.snapshot.generations.end() ||
        !ended(*untouched->second) || !ended(*changed->second)) {
        return;
    }
    if (now.cancelled || untouched->second->state != RunState::done || changed->second->state != RunState::done) {
        started_.reset();
        return;
    }
    json parameters = now.effect_parameters;
    parameters["run"] = now.untouched_run;
    now.effect = ctx.client.send("route.effect", std::move(parameters));
    now.at = ctx.now;
}

void TrialView::start(ui::Context& ctx) {
    refresh(ctx);
    choose_model(ctx);
    const auto& edited = ctx.shared.get<EditedChanges>();
    if (busy(ctx)) {
        return;
    }
    const char* why_not = base::trimmed(prompt_).empty() ? "compare.no_prompt"
                          : model_.empty()               ? "routing.read.no_model"
                          : edited.list.empty()          ? "change.empty"
                                                         : nullptr;
    if (why_not != nullptr) {
        ctx.notify(ctx.text(why_not), true);
        return;
    }
    Started now;
    now.group = group_ = new_group_id();
    now.at = ctx.now;
    const json items = items_of(edited.list.changes());
    const std::string set = ChangeEditor::saved_name(ctx, edited);
    json parameters{{"model", model_}, {"prompt", prompt_}, {"group", group_},   {"max_tokens", max_tokens_},
                    {"seed", seed_},   {"temperature", 0},  {"alternatives", 0}, {"routing", "weights"}};
    put_question(parameters, chat_, system_);
    now.untouched = ctx.client.send("generate.start", parameters);
    parameters["interventions"] = items;
    now.effect_parameters = {
        {"model", model_}, {"interventions", items}, {"group", group_}, {"controls", controls_}, {"seed", seed_}};
    if (!set.empty()) {
        parameters["set"] = set;
        now.effect_parameters["set"] = set;
    }
    now.changed = ctx.client.send("generate.start", std::move(parameters));
    now.trial.group = group_;
    now.trial.changes = edited.list.changes();
    now.trial.set = set;
    now.trial.model = model_;
    started_ = std::move(now);
    mode_ = Mode::plain;
    touched_ = true;
}

/// The effect alone: on the answers of a trial that has none yet, or on the prompt as a text.
void TrialView::measure(ui::Context& ctx, const Trial* trial) {
    if (busy(ctx)) {
        return;
    }
    const auto& edited = ctx.shared.get<EditedChanges>();
    Started now;
    now.at = ctx.now;
    json parameters{{"controls", controls_}, {"seed", seed_}};
    std::string set;
    if (trial != nullptr) {
        now.group = trial->group;
        parameters["model"] = trial->model;
        parameters["run"] = trial->untouched->id;
        parameters["interventions"] = items_of(trial->changes);
        set = trial->set;
    } else {
        now.group = new_group_id();
        parameters["model"] = model_;
        parameters["text"] = prompt_;
        parameters["chat"] = chat_;
        parameters["interventions"] = items_of(edited.list.changes());
        set = ChangeEditor::saved_name(ctx, edited);
    }
    parameters["group"] = group_ = now.group;
    if (!set.empty()) {
        parameters["set"] = set;
    }
    now.effect = ctx.client.send("route.effect", std::move(parameters));
    started_ = std::move(now);
}

void TrialView::cancel(ui::Context& ctx) {
    if (!started_) {
        return;
    }
    started_->cancelled = true;
    for (const std::uint32_t run : {started_->untouched_run, started_->changed_run}) {
        const auto answer = ctx.snapshot.generations.find(run);
        if (run != 0 && (answer == ctx.snapshot.generations.end() || !ended(*answer->second))) {
            ctx.client.send("generate.cancel", {{"run", run}});
        }
    }
    if (const std::uint32_t run = run_of_command(ctx.snapshot, started_->effect); run != 0) {
        ctx.client.send("route.cancel", {{"run", run}});
    }
}

void TrialView::draw_settings(ui::Context& ctx) {
    const float field = 5 * ctx.em;
    const auto place = [&](const char* key, bool first = false) {
        if (!first) {
            ui::flow(field + ui::field_label_width(ctx, key));
        }
        ui::field_label(ctx, key);
        ui::next_field(field);
        return std::string("###") + key;
    };
    ImGui::InputInt(place("compare.max_tokens", true).c_str(), &max_tokens_, 0);
    max_tokens_ = std::clamp(max_tokens_, 1, kMostTokens);
    ImGui::InputScalar(place("compare.seed").c_str(), ImGuiDataType_U64, &seed_);
    ui::tooltip(ctx.text("change.seed.help"));
    ImGui::InputInt(place("change.controls").c_str(), &controls_, 0);
    controls_ = std::clamp(controls_, 0, kMostControls);
    ui::tooltip(ctx.text("change.controls.help"));
    question_fields(ctx, "change.system", chat_, system_);
}

void TrialView::draw_buttons(ui::Context& ctx, const std::string& problem) {
    const ui::Language& text = ctx.text;
    const auto& edited = ctx.shared.get<EditedChanges>();
    if (busy(ctx)) {
        if (ui::button(text.label("change.cancel")) && !ui::clicked_again()) {  // it stands where "Try" was
            cancel(ctx);
        }
        ui::flow(8 * ctx.em);
        ImGui::AlignTextToFramePadding();
        ui::text_dim(ctx, std::string(ui::icon::hourglass) + " " +
                              text(started_->effect != 0 ? "change.measuring" : "change.answering"));
        return;
    }
    const std::string why_not = !ctx.connected()      ? std::string(text("runs.offline"))
                                : edited.list.empty() ? std::string(text("change.empty"))
                                : model_.empty()      ? std::string(text("routing.read.no_model"))
                                : !problem.empty()    ? problem
                                                      : std::string();
    ImGui::BeginDisabled(!why_not.empty());
    if (ui::primary_button(ctx, text.label("change.try"))) {
        start(ctx);
    }
    ImGui::EndDisabled();
    ui::command_tooltip(ctx, why_not.empty() ? text("change.try.help") : why_not.c_str(), "change.try");
    ui::flow(ui::button_width(text.label("change.measure")));
    if (ui::button(text.label("change.measure"), why_not.empty() && !base::trimmed(prompt_).empty(), why_not)) {
        measure(ctx, nullptr);
    }
    ui::tooltip(why_not.empty() ? text("change.measure.help") : "");
}

void TrialView::draw_question(ui::Context& ctx, const std::string& problem) {
    refresh(ctx);
    auto& edited = ctx.shared.get<EditedChanges>();
    if (!edited.model.empty()) {
        model_ = std::exchange(edited.model, "");  // of the map that the latest change came from
    }
    choose_model(ctx);
    ui::field_label(ctx, "routing.read.model");
    ui::next_field(16 * ctx.em);
    model_combo(ctx, "###change.model", model_,
                model_.empty() ? ctx.text("routing.read.no_model") : model_title(ctx, model_).c_str(), Offer::routed);
    const float height = ImGui::GetTextLineHeight() * 2.6f + ImGui::GetStyle().FramePadding.y * 2;
    if (ImGui::InputTextMultiline("###change.prompt", &prompt_, {ImGui::GetContentRegionAvail().x, height},
                                  ImGuiInputTextFlags_WordWrap)) {
        touched_ = true;
    }
    ui::tooltip(ctx.text("change.prompt.help"));
    draw_settings(ctx);
    draw_buttons(ctx, problem);
    watch(ctx);
}

void TrialView::watch(ui::Context& ctx) {
    json state = {{"prompt", prompt_}, {"model", model_},       {"max_tokens", max_tokens_}, {"seed", seed_},
                  {"chat", chat_},     {"controls", controls_}, {"system", system_}};
    watch_.follow(ctx, std::move(state), ui::form_field, [this](ui::Context&, const json& now) {
        prompt_ = now.at("prompt");
        model_ = now.at("model");
        max_tokens_ = now.at("max_tokens");
        seed_ = now.at("seed");
        controls_ = now.at("controls");
        chat_ = now.at("chat");
        system_ = now.at("system");
        touched_ = true;
    });
}

void TrialView::draw_choice(ui::Context& ctx) {
    const auto name = [&](const Trial& trial) {
        const std::string prompt = trial.untouched ? base::text_of(trial.untouched->manifest, "prompt")
                                   : trial.effect  ? base::text_of(trial.effect->manifest, "text")
                                                   : std::string();
        std::string title = std::to_string(trial.first_run);
        for (const std::string& part :
             {trial.set.empty() ? changes_text(ctx.text, trial.changes) : trial.set, in_one_line(prompt, 60)}) {
            title += part.empty() ? "" : " \u00b7 " + part;
        }
        std::replace(title.begin(), title.end(), '\n', ' ');
        return title;
    };
    const Trial* now = shown();
    ui::field_label(ctx, "change.trials");
    ui::next_field(26 * ctx.em);
    if (ui::begin_combo("###change.trials", now != nullptr ? name(*now).c_str() : ctx.text("change.trials.none"),
                        ImGuiComboFlags_HeightLarge)) {
        ImGuiListClipper clipper;
        clipper.Begin(static_cast<int>(trials_.size()));
        std::string chosen;
        while (clipper.Step()) {
            for (int row = clipper.DisplayStart; row < clipper.DisplayEnd; ++row) {
                const Trial& trial = trials_[static_cast<std::size_t>(row)];
                if (ImGui::Selectable((name(trial) + "###trial " + trial.group).c_str(), &trial == now)) {
                    chosen = trial.group;
                }
            }
        }
        ImGui::EndCombo();
        if (!chosen.empty()) {
            group_ = chosen;
            mode_ = Mode::plain;
        }
    }
    ui::tooltip(ctx.text("change.trials.help"));
    if (now != nullptr && !now->changes.empty()) {
        const char* load = ctx.text.label("change.load");
        ui::flow(ui::button_width(load));
        if (ui::button(load)) {
            auto& edited = ctx.shared.get<EditedChanges>();
            edited.list.set(now->changes);
            edited.name = now->set;
        }
        ui::tooltip(ctx.text("change.load.help"));
    }
}

void TrialView::draw_modes(ui::Context& ctx, const Trial& trial) {
    const bool both = trial.untouched && trial.changed && ended(*trial.untouched) && ended(*trial.changed);
    if ((mode_ == Mode::difference && !both) || ((mode_ == Mode::log_probability || mode_ == Mode::kl) && !effect_)) {
        mode_ = Mode::plain;
    }
    int mode = static_cast<int>(mode_);
    if (ui::segmented(ctx, "change.mode",
                      {ctx.text.label("compare.plain"), ctx.text.label("compare.difference"),
                       ctx.text.label("change.mode.log"), ctx.text.label("change.mode.kl")},
                      mode)) {
        const auto wanted = static_cast<Mode>(mode);
        if (wanted == Mode::difference && !both) {
            ctx.notify(ctx.text("compare.difference_later"), false);
        } else if ((wanted == Mode::log_probability || wanted == Mode::kl) && !effect_) {
            ctx.notify(ctx.text("change.no_effect_yet"), false);
        } else {
            mode_ = wanted;
        }
    }
    const char* hint = mode_ == Mode::difference        ? "change.hint.difference"
                       : mode_ == Mode::log_probability ? "change.hint.log"
                       : mode_ == Mode::kl              ? "change.hint.kl"
                                                        : nullptr;
    draw_scale(ctx);
    if (hint != nullptr) {
        ui::text_wrapped(ctx.text(hint), ctx.theme.text_dim);
    }
}

/// What the colours of the tokens go to.
void TrialView::draw_scale(const ui::Context& ctx) const {
    const auto nats = [&](double value) { return ctx.text.format("effect.nats", {{"n", ctx.text.number(value, 2)}}); };
    if (effect_ && mode_ == Mode::kl) {
        draw_colour_bar(ctx, "0", nats(kl_scale_),
                        [&](double place) { return look_of_strength(ctx.theme, place).ground; });
    } else if (effect_ && mode_ == Mode::log_probability) {
        draw_colour_bar(ctx, nats(-log_scale_), "+" + nats(log_scale_),
                        [&](double place) { return half(ctx.theme.difference_color(2 * place - 1)); });
    }
}

void TrialView::update_side(ui::Context& ctx, const Trial& trial, bool changed) {
    Side& side = changed ? changed_ : untouched_;
    const Generation& answer = changed ? *trial.changed : *trial.untouched;
    const bool difference = mode_ == Mode::difference && trial.untouched && trial.changed;
    if (difference) {
        const std::string of = fmt::format("{} {} {} {}", trial.untouched->id, trial.untouched->text.size(),
                                           trial.changed->id, trial.changed->text.size());
        if (aligned_ != of) {
            aligned_ = of;
            alignment_ = std::make_shared<Alignment>();
            alignment_->base = displayable(trial.untouched->text);
            alignment_->other = displayable(trial.changed->text);
            ctx.in_background([made = alignment_]() -> std::function<void()> {
                auto diff = std::make_shared<WordDiff>(word_diff(made->base, made->other));
                return [made, diff] {
                    made->diff = std::move(*diff);
                    made->ready = true;
                };
            });
        }
    }
    const bool aligned = difference && alignment_ && alignment_->ready;
    std::string source = fmt::format("{} {} {}", answer.text.size(), aligned, difference ? aligned_ : "");
    if (side.run == answer.id && side.source == source) {
        return;
    }
    side.run = answer.id;
    side.source = std::move(source);
    if (aligned) {
        DifferenceText made = difference_text(alignment_->diff, alignment_->base, alignment_->other,
                                              changed ? DifferenceSide::other : DifferenceSide::base,
                                              {.plain = kPlain, .added = kAdded, .removed = kRemoved});
        side.text.set(std::move(made.text), std::move(made.runs));
    } else {
        side.text.set(displayable(answer.text));
    }
}

void TrialView::draw_answer(ui::Context& ctx, const Trial& trial, bool changed) {
    const auto& answer = changed ? trial.changed : trial.untouched;
    if (!answer) {
        ui::text_wrapped(ctx.text(started_ ? "compare.waiting" : "change.no_answer"), ctx.theme.text_dim);
        return;
    }
    update_side(ctx, trial, changed);
    const Side& side = changed ? changed_ : untouched_;
    if (answer->state == RunState::failed) {
        ui::text_wrapped(std::string(ui::icon::error) + " " +
                             (answer->message.empty() ? ctx.text("compare.failed") : ctx.text.message(answer->message)),
                         ctx.theme.error);
    }
    if (!ended(*answer) && side.text.empty()) {
        ui::text_wrapped(ctx.text("compare.reading_prompt"), ctx.theme.text_dim);
    } else if (answer->state == RunState::done && answer->stop != "cancelled") {
        if (const std::string wordless = ui::wordless_text(ctx.text, answer->text); !wordless.empty()) {
            ui::text_wrapped(wordless, ctx.theme.text_dim);
        }
    }
    const auto styles = answer_styles(ctx.theme);
    (changed ? changed_ : untouched_).text.draw(ctx, ImGui::GetContentRegionAvail().x, styles);
}

void TrialView::draw_column(ui::Context& ctx, const Trial& trial, bool changed, float width, float height) {
    ImGui::PushID(changed ? "changed" : "untouched");
    if (ui::begin_frame(ctx, "###column", {width, height}, ImGuiWindowFlags_NoScrollbar)) {
        ImGui::PushFont(ctx.bold, 0);
        const std::string title = changed ? trial.set.empty() ? changes_text(ctx.text, trial.changes) : trial.set
                                          : std::string(ctx.text("change.untouched"));
        ui::text_elided(title, ImGui::GetContentRegionAvail().x);
        ImGui::PopFont();
        const auto& answer = changed ? trial.changed : trial.untouched;
        const bool tinted = !changed && (mode_ == Mode::log_probability || mode_ == Mode::kl);
        const float foot = ImGui::GetFrameHeightWithSpacing();
        const float body = std::max(4 * ctx.em, ImGui::GetContentRegionAvail().y - (answer ? foot : 0));
        if (tinted) {
            draw_tinted(ctx, {0, body});
        } else {
            if (ImGui::BeginChild("###answer", {0, body})) {
                draw_answer(ctx, trial, changed);
            }
            ImGui::EndChild();
        }
        if (answer) {
            const char* label = ctx.text.label("compare.open_routing");
            const auto routing = routing_of_answer(ctx.snapshot, *answer);
            const float button = routing ? ui::button_width(label) + ImGui::GetStyle().ItemSpacing.x : 0;
            std::string counts =
                ctx.text.format("compare.count.tokens", {{"n", ctx.text.number(std::uint64_t{answer->tokens.size()})}});
            if (ended(*answer)) {
                counts += std::string(" \u00b7 ") + ui::stop_text(ctx.text, answer->stop);
            }
            ImGui::AlignTextToFramePadding();
            ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.text_dim);
            ui::text_elided(counts, std::max(ctx.em, ImGui::GetContentRegionAvail().x - button));
            ImGui::PopStyleColor();
            if (routing) {
                ui::align_right(ui::button_width(label));
                if (ImGui::Button(label)) {
                    open_routing(ctx, *routing);
                }
                ui::tooltip(ctx.text("compare.open_routing.help"));
            }
        }
    }
    ui::end_frame();
    ImGui::PopID();
}

void TrialView::draw_columns(ui::Context& ctx, const Trial& trial) {
    const float room = ImGui::GetContentRegionAvail().x, space = ImGui::GetStyle().ItemSpacing.x;
    const float height = 13 * ctx.em;
    const bool beside = room >= 30 * ctx.em;
    const float width = beside ? std::floor((room - space) / 2) : room;
    draw_column(ctx, trial, false, width, height);
    if (beside) {
        ImGui::SameLine();
    }
    draw_column(ctx, trial, true, width, height);
}

const std::vector<std::shared_ptr<const TokenPage>>& TrialView::pages() const {
    static const std::vector<std::shared_ptr<const TokenPage>> kNone;
    return state_ ? state_->figure.pages() : kNone;
}

/// What is said at a place is about the token that follows it.
double TrialView::tint(std::uint64_t token) const {
    const std::vector<double>& values = mode_ == Mode::kl ? effect_->kl : effect_->log_probability;
    return token == 0 || token - 1 >= values.size() ? NAN : values[static_cast<std::size_t>(token - 1)];
}

void TrialView::draw_tinted(ui::Context& ctx, ImVec2 size) {
    TokenTextView::Request request;
    request.pages = &pages();
    request.answer = answer_;
    request.selected = ctx.selection.routing_run == effect_->base && effect_->base != 0 ? ctx.selection.routing_token
                                                                                        : std::int64_t{-1};
    request.look = [&](const TokenPage& page, std::size_t at) -> TokenLook {
        const double value = tint(page.first + at);
        if (!std::isfinite(value)) {
            return {};
        }
        if (mode_ == Mode::kl) {
            return look_of_strength(ctx.theme, value / kl_scale_);
        }
        // Less probable than before is orange and underlined, more probable blue.
        const ImU32 colour = ctx.theme.difference_color(std::clamp(value / log_scale_, -1.0, 1.0));
        const bool strong = -value > 0.5 * log_scale_;
        return {half(colour), strong ? colour : 0};
    };
    const TokenTextView::Result hit = tinted_.draw(ctx, "###change.tinted", size, request);
    hovered_token_ = hit.hovered;
    if (hit.clicked && effect_->base != 0) {
        ctx.selection.routing_run = effect_->base;
        ctx.selection.routing_token = static_cast<std::int64_t>(*hit.clicked);
    }
    if (!hit.hovered || !ui::begin_tooltip()) {
        return;
    }
    const auto value = [&](const std::vector<double>& values) {
        const std::uint64_t at = *hit.hovered;
        return at == 0 || at - 1 >= values.size() ? NAN : values[static_cast<std::size_t>(at - 1)];
    };
    ImGui::TextUnformatted(ctx.text
                               .format("change.tip", {{"n", ctx.text.number(*hit.hovered)},
                                                      {"kl", ctx.text.number(value(effect_->kl), 3)},
                                                      {"log", ctx.text.number(value(effect_->log_probability), 3)}})
                               .c_str());
    ui::text_dim(ctx, ctx.text("change.tip.click"));
    ImGui::EndTooltip();
}

void TrialView::draw_progress(ui::Context& ctx, const Trial& trial) {
    if (trial.effect) {
        if (const client::Task* task = task_of(ctx.snapshot, trial.effect->id)) {
            std::string line = ctx.text("change.measuring");
            if (task->seconds_left >= 0) {
                line += " \u00b7 " +
                        ctx.text.format("task.left", {{"time", ui::duration_text(ctx.text, task->seconds_left)}});
            }
            ui::meter(ctx, task->fraction, line);
        }
        if (!trial.effect->message.empty()) {
            ui::banner(ctx, trial.effect->state == RunState::failed ? ui::Tone::error : ui::Tone::warning,
                       ctx.text.message(trial.effect->message));
        }
        return;
    }
    const bool both = trial.untouched && trial.changed && ended(*trial.untouched) && ended(*trial.changed);
    if (both && !busy(ctx) && ctx.connected()) {
        const char* label = ctx.text.label("change.measure_answers");
        if (ui::button(label)) {
            measure(ctx, &trial);
        }
        ui::tooltip(ctx.text("change.measure_answers.help"));
    }
}

void TrialView::refresh_effect(ui::Context& ctx, const Trial& trial) {
    const std::string now =
        trial.effect ? fmt::format("{} {}", trial.effect->id, trial.effect->result.size()) : std::string();
    if (effect_of_ != now || effect_language_ != ctx.text.code() || dark_ != ctx.theme.dark) {
        effect_of_ = now;
        effect_language_ = ctx.text.code();
        dark_ = ctx.theme.dark;
        effect_ = trial.effect ? read_effect(trial.effect->result) : std::nullopt;
        effect_run_ = trial.effect ? trial.effect->id : 0;
        plot_x_ = plot_kl_ = plot_log_ = history::Column();
        plot_pixels_ = 0;
        shift_ = nullptr;
        if (effect_) {
            kl_scale_ = std::max(1e-9, percentile(effect_->kl, 0.98));
            std::vector<double> sizes;
            for (const double value : effect_->log_probability) {
                sizes.push_back(std::abs(value));
            }
            log_scale_ = std::max(1e-9, percentile(std::move(sizes), 0.98));
            const std::size_t n = std::max(effect_->kl.size(), effect_->log_probability.size());
            for (std::size_t i = 0; i < n; ++i) {
                plot_x_.push_back(static_cast<double>(i + 1));
                plot_kl_.push_back(i < effect_->kl.size() ? effect_->kl[i] : NAN);
                plot_log_.push_back(i < effect_->log_probability.size() ? effect_->log_probability[i] : NAN);
            }
            auto shift = std::make_shared<Chart>();
            shift->x_key = "decision.layer";
            Chart::Series shares;
            shares.key = "effect.shift";
            for (const EffectResult::Shift& one : effect_->shift) {
                shift->x.push_back(static_cast<double>(shift->x.size()));
                shift->labels.push_back(std::to_string(one.layer));
                shares.y.emplace_back(one.changed);
            }
            shift->series.push_back(std::move(shares));
            shift_ = std::move(shift);
        }
        base_trace_ = nullptr;
        dispose(ctx, job_);
        state_.reset();
        tinted_.reset();
    }
    if (!effect_) {
        return;
    }
    if (!base_trace_) {
        const auto base = ctx.snapshot.routing.find(effect_->base);
        if (base != ctx.snapshot.routing.end() && base->second->trace) {
            base_trace_ = base->second->trace;
            // The text that was read is the prompt as the model was shown it, and the answer.
            answer_.reset();
            if (trial.untouched && trial.untouched->prompt_tokens > 0) {
                answer_ = trial.untouched->prompt_tokens;
            }
            job_ = std::make_unique<Job>(base_trace_, TokenPages(answer_));
        }
    }
    if (job_) {
        state_ = job_->latest();
        if (state_->finished) {
            dispose(ctx, job_);
        } else {
            ctx.draw_within(0.1);
        }
    }
}

/// The effect beside that of changes at random: where it stands among them, and how far they reach.
void TrialView::draw_controls(const ui::Context& ctx, const std::vector<Change>& changes) {
    const EffectResult& effect = *effect_;
    ui::text_wrapped(control_sentence(ctx.text, effect, changes));
    if (effect.controls.empty()) {
        return;
    }
    double most = std::max(effect.mean_kl.value, std::isfinite(effect.mean_kl.high) ? effect.mean_kl.high : 0.0);
    for (const EffectResult::Control& control : effect.controls) {
        most = std::max(most, control.mean_kl);
    }
    if (std::isfinite(effect.control_kl.high)) {
        most = std::max(most, effect.control_kl.high);
    }
    if (!(most > 0)) {
        return;
    }
    const std::array<std::string, 2> names = {std::string(ctx.text("effect.this")),
                                              std::string(ctx.text("effect.random"))};
    float left = 0;
    for (const std::string& name : names) {
        left = std::max(left, ImGui::CalcTextSize(name.c_str()).x);
    }
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float room = ImGui::GetContentRegionAvail().x, row = 1.5f * ImGui::GetTextLineHeight();
    const auto nats = [&](double value) { return ctx.text.format("effect.nats", {{"n", ctx.text.number(value, 3)}}); };
    // Each row ends with what its line marks; where the axis ends stands below it.
    const std::array<std::string, 2> values = {nats(effect.mean_kl.value), nats(effect.control_kl.value)};
    const std::string most_text = nats(most);
    float right = 0;
    for (const std::string& value : values) {
        right = std::max(right, ImGui::CalcTextSize(value.c_str()).x + 0.5f * ctx.em);
    }
    const float x0 = at.x + left + 0.8f * ctx.em, width = std::max(4 * ctx.em, room - left - 1.2f * ctx.em - right);
    const auto x_of = [&](double value) { return x0 + static_cast<float>(std::clamp(value / most, 0.0, 1.0)) * width; };
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text), dim = ImGui::GetColorU32(ctx.theme.text_dim),
                accent = ImGui::GetColorU32(ctx.theme.accent);
    const float dot = 0.28f * ctx.em;
    for (int i = 0; i < 2; ++i) {
        const float y = at.y + row * (static_cast<float>(i) + 0.5f);
        draw.AddText({at.x, y - ImGui::GetTextLineHeight() / 2}, dim, names[static_cast<std::size_t>(i)].c_str());
        draw.AddLine({x0, y}, {x0 + width, y}, ImGui::GetColorU32(ctx.theme.grid));
        const Estimate& estimate = i == 0 ? effect.mean_kl : effect.control_kl;
        if (std::isfinite(estimate.low) && std::isfinite(estimate.high)) {
            draw.AddRectFilled({x_of(estimate.low), y - 0.35f * ctx.em}, {x_of(estimate.high), y + 0.35f * ctx.em},
                               ui::packed(i == 0 ? ctx.theme.accent : ctx.theme.text_dim, 0.3f), 2);
        }
        if (std::isfinite(estimate.value)) {
            const float x = x_of(estimate.value);
            draw.AddLine({x, y - 0.5f * ctx.em}, {x, y + 0.5f * ctx.em}, i == 0 ? accent : ink, 2);
            draw.AddText({x0 + width + 0.5f * ctx.em, y - ImGui::GetTextLineHeight() / 2}, ink,
                         values[static_cast<std::size_t>(i)].c_str());
        }
    }
    for (const EffectResult::Control& control : effect.controls) {
        draw.AddCircle({x_of(control.mean_kl), at.y + row * 1.5f}, dot, ink);
    }
    draw.AddText({x0, at.y + 2 * row}, dim, "0");
    draw.AddText({std::max(x0 + ctx.em, x0 + width - ImGui::CalcTextSize(most_text.c_str()).x), at.y + 2 * row}, dim,
                 most_text.c_str());
    ImGui::Dummy({room, 2 * row + ImGui::GetTextLineHeight()});
    if (ui::tooltip_due()) {
        std::string lines = ctx.text("effect.random.help");
        lines += "\n" +
                 ctx.text.format("effect.random.interval", {{"interval", estimate_text(ctx.text, effect.control_kl)}});
        for (const EffectResult::Control& control : effect.controls) {
            lines += "\n\u2022 " + changes_text(ctx.text, control.changes) + ctx.text("common.colon") +
                     nats(control.mean_kl);
        }
        ui::tooltip(lines);
    }
}

void TrialView::draw_plot(ui::Context& ctx, ImVec2 size) {
    ImGui::PushFont(ctx.bold, 0);
    const char* title = ctx.text("effect.plot");
    const ImVec2 at = ImGui::GetCursorScreenPos();
    plot_min_ = at;
    plot_max_ = {at.x + ImGui::GetContentRegionAvail().x, at.y + ImGui::GetTextLineHeightWithSpacing() + size.y};
    if (ImGui::InvisibleButton("###title", ImGui::CalcTextSize(title), ImGuiButtonFlags_EnableNav)) {
        open_menu_ = true;
    }
    const bool marked = ImGui::IsItemHovered() || ImGui::IsItemFocused();
    ImGui::GetWindowDrawList()->AddText(at, ImGui::GetColorU32(marked ? ctx.theme.accent : ctx.theme.text), title);
    ImGui::PopFont();
    ui::tooltip(ctx.text("routing.bars.help"));
    const std::string unit = ctx.text("effect.plot.unit");
    if (ImGui::GetItemRectMax().x + 0.6f * ctx.em + ImGui::CalcTextSize(unit.c_str()).x <= plot_max_.x) {
        ImGui::SameLine(0, 0.6f * ctx.em);
    }
    ui::text_dim(ctx, ui::elided(unit, ImGui::GetContentRegionAvail().x));
    const std::array<std::pair<const char*, std::size_t>, 2> lines = {{{"effect.kl", 1}, {"effect.log", 0}}};
    for (const auto& [key, series] : lines) {
        const std::string name = ctx.text(key);
        const float stroke = 1.2f * ctx.em, width = stroke + 0.3f * ctx.em + ImGui::CalcTextSize(name.c_str()).x;
        ui::flow(width);
        const ImVec2 sign = ImGui::GetCursorScreenPos();
        const float y = sign.y + ImGui::GetTextLineHeight() / 2;
        ImDrawList& draw = *ImGui::GetWindowDrawList();
        draw.AddLine({sign.x, y}, {sign.x + stroke, y}, ui::packed(ctx.theme.series_color(series)), ctx.em / 6);
        draw.AddText({sign.x + stroke + 0.3f * ctx.em, sign.y}, ImGui::GetColorU32(ctx.theme.text_dim), name.c_str());
        ImGui::Dummy({width, ImGui::GetTextLineHeight()});
    }
    const auto n = static_cast<double>(plot_x_.size());
    const int pixels = std::max(1, static_cast<int>(ImGui::GetContentRegionAvail().x - 4 * ctx.em));
    if (pixels != plot_pixels_) {
        plot_pixels_ = pixels;
        const std::vector<Bucket> buckets = split(plot_x_, 0, n + 1, pixels, 1e18);
        shown_kl_ = extremes(buckets, plot_x_, plot_kl_);
        shown_log_ = extremes(buckets, plot_x_, plot_log_);
    }
    const history::MinMax range = plot_range();
    const double room = std::max(1e-9, 0.06 * (range.max - range.min));
    constexpr ImPlotFlags flags = ImPlotFlags_NoTitle | ImPlotFlags_NoLegend | ImPlotFlags_NoMenus |
                                  ImPlotFlags_NoBoxSelect | ImPlotFlags_NoMouseText;
    ImGui::PushID(static_cast<int>(effect_run_));  // each with its own zoom
    ImPlot::PushStyleVar(ImPlotStyleVar_PlotPadding, ImVec2(0.5f * ctx.em, 0.5f * ctx.em));
    ImPlot::PushStyleVar(ImPlotStyleVar_PlotMinSize, ImVec2(4 * ctx.em, 2 * ctx.em));
    if (ImPlot::BeginPlot("##effect", {ImGui::GetContentRegionAvail().x, size.y}, flags)) {
        constexpr ImPlotAxisFlags axis =
            ImPlotAxisFlags_NoMenus | ImPlotAxisFlags_NoSideSwitch | ImPlotAxisFlags_NoHighlight;
        ImPlot::SetupAxis(ImAxis_X1, nullptr, axis);
        ImPlot::SetupAxisLimits(ImAxis_X1, 0, n + 1, ImPlotCond_Once);
        ImPlot::SetupAxisLimitsConstraints(ImAxis_X1, 0, n + 1);
        ImPlot::SetupAxis(ImAxis_Y1, nullptr, axis);
        ImPlot::SetupAxisLimits(ImAxis_Y1, range.min - room, range.max + room, ImPlotCond_Always);
        ImPlot::SetupFinish();
        ui::draw_axis_name(ctx, ImPlot::GetPlotPos(), ImPlot::GetPlotSize(), ctx.text("effect.axis.token"));
        const auto line = [&](const char* id, const Points& points, const ImVec4& colour) {
            ImPlotSpec spec;
            spec.LineColor = colour;
            spec.LineWeight = std::max(1.0f, ctx.em / 12);
            if (!points.x.empty()) {
                ImPlot::PlotLine(id, points.x.data(), points.y.data(), static_cast<int>(points.x.size()), spec);
            }
        };
        line("##log", shown_log_, ctx.theme.series_color(0));
        line("##kl", shown_kl_, ctx.theme.series_color(1));
        if (ImPlot::IsPlotHovered() && n > 0) {
            const double place = std::clamp(std::round(ImPlot::GetPlotMousePos().x), 1.0, n);
            const auto token = static_cast<std::uint64_t>(place);
            const auto index = static_cast<std::size_t>(token - 1);
            if (!ImGui::IsMouseDown(ImGuiMouseButton_Left) && ui::begin_tooltip()) {
                const std::size_t page = page_holding(pages(), token);
                if (page < pages().size()) {
                    const auto index_in_page = static_cast<std::size_t>(token - pages()[page]->first);
                    ImGui::TextUnformatted(in_line(pages()[page]->text_of(index_in_page)).c_str());
                }
                ImGui::TextUnformatted(ctx.text
                                           .format("change.tip", {{"n", ctx.text.number(token)},
                                                                  {"kl", ctx.text.number(plot_kl_[index], 3)},
                                                                  {"log", ctx.text.number(plot_log_[index], 3)}})
                                           .c_str());
                ImGui::EndTooltip();
            }
            if (ImGui::IsMouseReleased(ImGuiMouseButton_Left) &&
                ImGui::GetMouseDragDelta(ImGuiMouseButton_Left).x == 0 && effect_->base != 0) {
                ctx.selection.routing_run = effect_->base;
                ctx.selection.routing_token = static_cast<std::int64_t>(token);
            }
            if (ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
                open_menu_ = true;
            }
        }
        ImPlot::EndPlot();
    }
    ImPlot::PopStyleVar(2);
    ImGui::PopID();
}

void TrialView::draw_shift(ui::Context& ctx, ImVec2 size) {
    const ChartView::Hit hit = shift_view_.draw(ctx,
                                                {.id = "###change.shift",
                                                 .title = ctx.text("effect.shift"),
                                                 .unit = ctx.text("effect.shift.unit"),
                                                 .chart = shift_,
                                                 .file = fmt::format("effect-{}-shift", effect_run_),
                                                 .colors = {ctx.theme.series_color(4)}},
                                                size);
    if (hit.clicked && *hit.clicked < effect_->shift.size()) {
        ctx.selection.layer = effect_->shift[*hit.clicked].layer;
        ctx.selection.expert = -1;
    }
}

Drawing TrialView::plot_picture(const ui::Context& ctx) const {
    Drawing drawing;
    drawing.title = ctx.text("effect.plot") + ui::in_brackets(ctx.text, ctx.text("routing.nats"));
    drawing.x_name = ctx.text("effect.axis.token");
    drawing.x_max = static_cast<double>(plot_x_.size()) + 1;
    const history::MinMax range = plot_range();
    drawing.y_min = range.min - 0.05 * (range.max - range.min);
    drawing.y_max = range.max + 0.05 * (range.max - range.min) + 1e-12;
    const auto line = [&](const char* key, std::size_t series, const Points& points) {
        drawing.lines.push_back({ctx.text(key), ui::hex_color(ctx.theme.series_color(series)), points});
    };
    line("effect.kl", 1, shown_kl_);
    line("effect.log", 0, shown_log_);
    return drawing;
}

history::MinMax TrialView::plot_range() const {
    history::MinMax range;
    range.add(0.0);
    range.add(plot_kl_.range(0, plot_kl_.size()));
    range.add(plot_log_.range(0, plot_log_.size()));
    return range;
}

void TrialView::draw_menu(ui::Context& ctx) {
    if (std::exchange(open_menu_, false)) {
        ImGui::OpenPopup("###change.effect.menu");
    }
    if (!ImGui::BeginPopup("###change.effect.menu")) {
        return;
    }
    draw_export_items(ctx, {.name = fmt::format("effect-{}", effect_run_),
                            .csv =
                                [&] {
                                    std::vector<std::string> pieces;
                                    for (const auto& page : pages()) {
                                        for (std::size_t at = 0; at < page->tokens(); ++at) {
                                            pieces.emplace_back(page->text_of(at));
                                        }
                                    }
                                    return [effect = *effect_, pieces] { return effect_csv(effect, pieces); };
                                },
                            .svg = [&] { return [picture = plot_picture(ctx)] { return to_svg(picture); }; },
                            .min = plot_min_,
                            .max = plot_max_});
    ImGui::EndPopup();
}

void TrialView::draw_effect(ui::Context& ctx, const Trial& trial) {
    ui::section(ctx, ctx.text("effect.title"));
    ui::text_wrapped(ctx.text.format("effect.numbers", {{"kl", estimate_text(ctx.text, effect_->mean_kl)},
                                                        {"loss", estimate_text(ctx.text, effect_->mean_loss)}}));
    ui::tooltip(ctx.text("effect.numbers.help"));
    if (const std::string altered = altered_sentence(ctx.text, *effect_);
        !altered.empty() && effect_->mean_kl.value != 0) {  // else the sentence below says it
        ui::text_wrapped(altered);
        ui::tooltip(ctx.text("effect.altered.help"));
    }
    draw_controls(ctx, trial.changes);
    if (plot_x_.size() > 1) {
        draw_plot(ctx, {0, 9 * ctx.em});
    }
    if (!effect_->shift.empty()) {
        draw_shift(ctx, {0, 9 * ctx.em});
    }
    draw_menu(ctx);
}

void TrialView::draw_result(ui::Context& ctx) {
    refresh(ctx);
    if (trials_.empty() && !started_) {
        ui::text_wrapped(ctx.text("change.trials.empty"), ctx.theme.text_dim);
        return;
    }
    ImGui::Separator();
    draw_choice(ctx);
    const Trial* now = shown();
    if (now == nullptr) {
        ui::text_wrapped(std::string(ui::icon::hourglass) + " " + ctx.text("compare.waiting"), ctx.theme.text_dim);
        return;
    }
    const Trial trial = *now;  // what is drawn may start another one
    refresh_effect(ctx, trial);
    if (trial.untouched || trial.changed) {
        draw_modes(ctx, trial);
        draw_columns(ctx, trial);
    } else if (effect_) {
        // A text alone: it is tinted by one of the two.
        mode_ = mode_ == Mode::kl ? Mode::kl : Mode::log_probability;
        int which = mode_ == Mode::kl ? 1 : 0;
        if (ui::segmented(ctx, "change.mode", {ctx.text.label("change.mode.log"), ctx.text.label("change.mode.kl")},
                          which)) {
            mode_ = which == 1 ? Mode::kl : Mode::log_probability;
        }
        draw_scale(ctx);
        draw_tinted(ctx, {0, 11 * ctx.em});
    }
    draw_progress(ctx, trial);
    if (effect_) {
        draw_effect(ctx, trial);
    }
}

}  // namespace moescope::panels
