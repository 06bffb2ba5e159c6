#include "panels/answers/compare.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <imgui_stdlib.h>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/comparisons.hpp"
#include "panels/node/library.hpp"
#include "panels/node/link_look.hpp"
#include "panels/panels.hpp"
#include "panels/routing/change_list.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/ui/answer_end.hpp"
#include "panels/ui/difference_text.hpp"
#include "panels/ui/field_label.hpp"
#include "panels/ui/notes.hpp"
#include "panels/ui/question.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/where.hpp"
#include "panels/ui/widgets.hpp"
#include "probes/probes.hpp"

namespace moescope::panels {
namespace {

using history::Generation;
using history::RunState;
using nlohmann::json;

constexpr std::size_t kMaxColumns = 6;
constexpr int kMostTokens = 8192;
constexpr double kMostSeed = 999'999'999'999'999;  // every whole number up to there is a double
constexpr std::size_t kMostQuestion = 600;         // bytes of a prompt in one line or a tooltip
/// A started answer that the node has accepted but not shown after so many seconds no longer blocks the next start.
constexpr double kPatience = 10;
/// Text styles of the answers; the probability tint uses those from kTint on, for reasoning a second row of them.
enum AnswerStyle : std::uint16_t { kPlain, kChip, kAdded, kRemoved, kTint };
constexpr int kTints = 10;

/// What is kept of the routing, as the node calls it.
constexpr std::array<const char*, 4> kRoutingDetails = {"none", "ids", "weights", "scores"};

/// Known once the answer has ended: what the model was shown comes with its end.
bool begins_inside(const Generation& answer) {
    return probes::ends_inside_reasoning(answer.shown);
}

bool ended(const Generation& answer) {
    return protocol::ended(answer.state);
}

const json* prompt_library(const client::Snapshot& snapshot) {
    const json& prompts = base::member(*snapshot.catalogue, "prompts");
    return prompts.is_array() ? &prompts : nullptr;
}

/// "24 tokens · prompt 12 · seed 1": what is known so far.
std::string counts_text(const ui::Context& ctx, const Generation& answer) {
    std::string text;
    const auto add = [&](const char* key, std::string number) {
        text += (text.empty() ? "" : " · ") + ctx.text.format(key, {{"n", std::move(number)}});
    };
    if (ended(answer) || !answer.tokens.empty()) {
        add(ended(answer) ? "compare.count.tokens" : "compare.count.tokens_so_far",
            ctx.text.number(static_cast<std::uint64_t>(answer.tokens.size())));
    }
    if (answer.prompt_tokens > 0) {
        add("compare.count.prompt", ctx.text.number(std::uint64_t{answer.prompt_tokens}));
    }
    add("compare.count.seed", std::to_string(base::count_of(answer.manifest, "seed")));
    return text;
}

std::array<TextStyle, kTint + 2 * kTints> answer_styles(const ui::Theme& theme) {
    std::array<TextStyle, kTint + 2 * kTints> styles{};
    styles[kChip] = chip_style(theme);
    styles[kAdded] = added_style(theme);
    styles[kRemoved] = removed_style(theme);
    for (int i = 0; i < kTints; ++i) {
        // The less likely the token was, the stronger its ground; below one in ten it is underlined as well.
        styles[kTint + i].background = ui::packed(theme.accent, 0.55f * (1 - (static_cast<float>(i) + 0.5f) / kTints));
        styles[kTint + i].underline = i == 0;
        styles[kTint + kTints + i] = styles[kTint + i];
        styles[kTint + kTints + i].color = ui::packed(theme.text_dim, 1);
    }
    return styles;
}

}  // namespace

const client::Snapshot* ComparePanel::snapshot_of(const ui::Context& ctx, std::uint64_t session) {
    if (session == 0) {
        return &ctx.snapshot;
    }
    const auto found = std::find_if(ctx.sessions.open.begin(), ctx.sessions.open.end(),
                                    [&](const ui::OpenedSession& one) { return one.id == session; });
    return found == ctx.sessions.open.end() ? nullptr : found->snapshot.get();
}

std::string ComparePanel::name_of(const ui::Context& ctx, std::uint64_t session) {
    const auto found =
        std::find_if(ctx.sessions.open.begin(), ctx.sessions.open.end(),
                     [&](const ui::OpenedSession& one) { return session == 0 ? one.front : one.id == session; });
    return found == ctx.sessions.open.end() ? std::string() : ui::session_title(ctx, *found);
}

std::string ComparePanel::title_in(const ui::Context& ctx, std::uint64_t session, const std::string& model) {
    if (session == 0) {
        return model_title(ctx, model);
    }
    const client::Snapshot* there = snapshot_of(ctx, session);
    const client::ModelEntry* entry = there == nullptr ? nullptr : find_model(*there, model);
    return entry == nullptr || history::is_checkpoint_name(model) || model.find('|') != std::string::npos
               ? ctx.text.message(history::model_sentence(model))
               : entry_title(*there, *entry);
}

std::string ComparePanel::key_of(const Column& column) {
    return fmt::format("{}/{}", column.reading, column.run);
}

bool ComparePanel::is_across() const {
    return std::any_of(columns_.begin(), columns_.end(), [](const Column& column) { return column.session != 0; });
}

/// Of sessions behind other tabs; remembers what it has seen.
bool ComparePanel::changed_elsewhere(const ui::Context& ctx) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> now;
    for (const ui::OpenedSession& one : ctx.sessions.open) {
        if (!one.front) {
            now.emplace_back(one.id, one.snapshot->version);
        }
    }
    if (now == seen_elsewhere_) {
        return false;
    }
    seen_elsewhere_ = std::move(now);
    return true;
}

/// Answers of the same comparisons in other sessions. A copy of this session has the very same ones: those are none.
void ComparePanel::collect_elsewhere(const ui::Context& ctx) {
    std::map<std::string, Group*> by_id;
    for (Group& group : groups_) {
        by_id[group.id] = &group;
    }
    for (const ui::OpenedSession& one : ctx.sessions.open) {
        if (one.front) {
            continue;
        }
        for (const auto& [run, answer] : one.snapshot->generations) {
            const auto group = answer->group.empty() ? by_id.end() : by_id.find(answer->group);
            if (group == by_id.end()) {
                continue;
            }
            std::vector<Given>& given = group->second->answers;
            const bool copy = std::any_of(given.begin(), given.end(), [&](const Given& known) {
                return known.answer->id == answer->id && known.answer->started_ns == answer->started_ns &&
                       known.answer->model == answer->model;
            });
            if (!copy) {
                given.push_back({answer, one.id, one.snapshot->session});
            }
        }
    }
}

client::CommandId ComparePanel::send(ui::Context& ctx, std::uint64_t session, const char* name, json parameters) const {
    if (session == 0) {
        return ctx.client.send(name, std::move(parameters));
    }
    return ctx.sessions.send ? ctx.sessions.send(session, name, std::move(parameters)) : 0;
}

void ComparePanel::take_over(ui::Panel& before) {
    const auto& old = dynamic_cast<const ComparePanel&>(before);
    settings_ = old.own_.value_or(old.settings_);  // those of a comparison are of its session
    settings_.system.clear();                      // a text is part of a question, no setting
}

bool ComparePanel::act(const std::string& action, ui::Context& ctx) {
    if (action == "compare.run") {
        refresh(ctx);
        start(ctx);
    } else if (action == "compare.cancel") {
        refresh(ctx);
        cancel(ctx);
    } else if (action == "compare.swap_language") {
        refresh(ctx);
        watch_.touch(edited(ctx));
        swap_language(ctx);
    } else if (const char* tokens = ui::action_value(action, "compare.max_tokens")) {
        settings_.max_tokens = std::clamp(std::atoi(tokens), 1, kMostTokens);
    } else {
        return false;
    }
    return true;
}

void ComparePanel::refresh(ui::Context& ctx) {
    const bool elsewhere = changed_elsewhere(ctx);
    if (seen_version_ == ctx.snapshot.version && ctx.selection.generation == 0 && !elsewhere) {
        return;
    }
    seen_version_ = ctx.snapshot.version;
    groups_.clear();
    std::optional<std::size_t> wanted;  // in groups_
    history::ComparisonNumbers numbers;
    for (const auto& [run, answer] : ctx.snapshot.generations) {
        const std::string id = answer->group.empty() ? "run " + std::to_string(run) : answer->group;
        const std::uint32_t number = numbers.next(*answer);
        if (number > groups_.size()) {
            groups_.push_back({id, base::text_of(answer->manifest, "prompt"), answer->started_ns, {}});
        }
        groups_[number - 1].answers.push_back({answer, 0, ctx.snapshot.session});
        if (run == ctx.selection.generation && group_ != id && !busy(ctx)) {
            wanted = number - 1;
        }
    }
    ctx.selection.generation = 0;
    collect_elsewhere(ctx);
    collect_history();
    if (wanted) {
        show_group(ctx, groups_[*wanted]);
    }
    choose_defaults(ctx);
    follow_columns(ctx);
}

/// Puts an earlier comparison on show, with what it was asked with, so that Run repeats it; its columns follow from the
/// snapshot.
void ComparePanel::show_group(const ui::Context& ctx, const Group& group) {
    keep_draft();
    group_ = group.id;
    question_ = group.prompt;
    prompt_ = group.prompt;
    prompt_touched_ = true;
    history_at_ = group.history_at;
    if (take_models(ctx, group)) {
        models_chosen_ = true;
    }
    take_settings(*group.answers.front().answer);
    columns_.clear();
    views_.clear();
    alignments_.clear();
    mode_ = Mode::plain;
}

/// Until a person picks others: those of the session's newest comparison, where the library has them all.
void ComparePanel::choose_models(const ui::Context& ctx) {
    const auto newest =
        std::find_if(groups_.rbegin(), groups_.rend(), [](const Group& group) { return group.answers.size() > 1; });
    if (newest != groups_.rend()) {
        take_models(ctx, *newest);
    }
}

/// Those of the comparison, where the library has them all.
bool ComparePanel::take_models(const ui::Context& ctx, const Group& group) {
    if (group.answers.size() > kMaxColumns) {
        return false;
    }
    std::vector<Pick> models;
    for (const Given& given : group.answers) {
        const client::Snapshot* there = snapshot_of(ctx, given.session);
        if (there == nullptr || !find_model(*there, given.answer->model)) {
            return false;
        }
        models.push_back({given.session, given.answer->model});
    }
    models_ = std::move(models);
    return true;
}

/// As far as its manifest says them: those of old versions say less.
void ComparePanel::take_settings(const Generation& answer) {
    if (!own_) {
        own_ = settings_;
    }
    const json& asked = answer.manifest;
    const auto whole = [&](const char* key, auto& setting) {
        if (const auto value = base::as_count(base::member(asked, key))) {
            setting = static_cast<std::decay_t<decltype(setting)>>(
                std::min<std::uint64_t>(*value, std::numeric_limits<std::decay_t<decltype(setting)>>::max()));
        }
    };
    const auto real = [&](const char* key, double& setting) {
        setting = base::as_number(base::member(asked, key)).value_or(setting);
    };
    whole("max_tokens", settings_.max_tokens);
    whole("seed", settings_.seed);
    whole("alternatives", settings_.alternatives);
    if (const auto temperature = base::as_number(base::member(asked, "temperature"))) {
        settings_.sampled = *temperature > 0;
    }
    if (settings_.sampled) {
        real("temperature", settings_.temperature);
        whole("top_k", settings_.top_k);
        real("top_p", settings_.top_p);
        real("min_p", settings_.min_p);
    }
    settings_.chat = !asked.is_object() || !asked.contains("chat") || base::flag_of(asked, "chat");
    settings_.system = base::text_of(asked, "system");
    const auto detail = std::find(kRoutingDetails.begin(), kRoutingDetails.end(), base::text_of(asked, "routing"));
    if (detail != kRoutingDetails.end()) {
        settings_.routing = static_cast<int>(detail - kRoutingDetails.begin());
    }
}

/// The question for another session's models: prompt, models and settings, as they stand here.
void ComparePanel::hand_over(ui::Context& ctx, std::uint64_t session) const {
    std::vector<Pick> picks = models_;
    for (Pick& pick : picks) {
        pick.session = pick.session == session ? 0 : pick.session;
    }
    ctx.sessions.hand_over(
        session, "compare",
        [prompt = prompt_, models = std::move(picks), settings = settings_](ui::Panel& panel, ui::Context& its) {
            auto& there = dynamic_cast<ComparePanel&>(panel);
            there.watch_.touch(there.edited(its));
            there.keep_draft();
            there.prompt_ = prompt;
            there.prompt_touched_ = true;
            there.settings_ = settings;
            there.own_.reset();
            there.handed_ = models;
            there.seen_version_ = ~std::uint64_t{0};
        });
    ctx.show_panel("compare");
}

/// Those of them that the library here has. What was trained in a session is another model in the next, though it may
/// be called the same.
void ComparePanel::choose_handed(const ui::Context& ctx) {
    std::erase_if(handed_, [&](const Pick& pick) {
        const client::Snapshot* there = snapshot_of(ctx, pick.session);
        const client::ModelEntry* model = there == nullptr ? nullptr : find_model(*there, pick.model);
        return model == nullptr || (model->trained_here && pick.session == 0);
    });
    if (handed_.size() > 1) {
        models_ = handed_;
        models_chosen_ = true;
    }
    handed_.clear();
}

void ComparePanel::choose_defaults(ui::Context& ctx) {
    if (!handed_.empty() && !ctx.snapshot.models.empty()) {
        choose_handed(ctx);
    }
    if (!models_chosen_) {
        choose_models(ctx);
    }
    if (models_.empty() && !ctx.snapshot.models.empty()) {
        for (const char* name : kDefaultModels) {
            if (find_model(ctx.snapshot, name)) {
                models_.push_back({0, name});
            }
        }
        for (const client::ModelEntry& model : ctx.snapshot.models) {
            if (models_.size() < 2 && model.available &&
                std::find(models_.begin(), models_.end(), Pick{0, model.name}) == models_.end()) {
                models_.push_back({0, model.name});
            }
        }
        if (models_.size() == 1) {
            models_.push_back(models_.front());
        }
    }
    if (const json* prompts = prompt_library(ctx.snapshot);
        prompts && !prompt_touched_ && prompt_.empty() && !prompts->empty()) {
        prompt_ = localized(prompts->front(), "text", ctx.text.code());
    }
    if (group_.empty() && !groups_.empty()) {
        group_ = groups_.back().id;
        question_ = groups_.back().prompt;
        if (!prompt_touched_) {
            prompt_ = groups_.back().prompt;
            history_at_ = groups_.back().history_at;
        }
    }
}

/// Brings the columns on show up to date with the session's answers.
void ComparePanel::follow_columns(ui::Context& ctx) {
    const auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& g) { return g.id == group_; });
    const bool own = !columns_.empty() && columns_.front().command != 0;
    if (group != groups_.end() && !own) {
        std::vector<Column> before = std::exchange(columns_, std::vector<Column>(group->answers.size()));
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            const Given& given = group->answers[i];
            columns_[i] = {given.answer->model, given.session, given.reading, name_of(ctx, given.session), 0,
                           given.answer->id,    given.answer};
        }
        // An answer whose tab was closed, or came to another journal, stays as it was.
        for (Column& column : before) {
            if (column.session != 0 && std::none_of(columns_.begin(), columns_.end(),
                                                    [&](const Column& now) { return key_of(now) == key_of(column); })) {
                columns_.push_back(std::move(column));
            }
        }
    } else if (own) {
        for (Column& column : columns_) {
            const client::Snapshot* there = snapshot_of(ctx, column.session);
            if (there == nullptr || there->session != column.reading) {
                continue;  // its tab is closed, or has another journal: what is known of the answer stays as it is
            }
            const auto result = there->results.find(column.command);
            if (column.run == 0 && result != there->results.end()) {
                column.run = base::run_of(result->second.value);
            }
            if (const auto answer = there->generations.find(column.run); answer != there->generations.end()) {
                column.answer = answer->second;
                column.model = answer->second->model;  // of the model "as it is now": the step that it was
            }
        }
    }
    if (views_.size() != columns_.size()) {
        views_.resize(columns_.size());
    }
    base_ = columns_.empty() ? 0 : std::min(base_, columns_.size() - 1);
}

/// Sent, and neither refused nor on show yet.
bool ComparePanel::waiting(const ui::Context& ctx, const Column& column) const {
    if (column.answer || column.command == 0) {
        return false;
    }
    const client::Snapshot* there = snapshot_of(ctx, column.session);
    if (there == nullptr || there->session != column.reading) {
        return false;
    }
    const auto result = there->results.find(column.command);
    using State = client::CommandResult::State;
    const State state = result == there->results.end() ? State::pending : result->second.state;
    // Behind another comparison the node keeps it as a task until it is its turn.
    const auto& tasks = there->tasks;
    const bool queued = std::any_of(tasks.begin(), tasks.end(), [&](const client::Task& task) {
        return column.run != 0 && task.run == column.run;
    });
    return state == State::pending || (state == State::done && (queued || ctx.now - started_at_ < kPatience));
}

bool ComparePanel::busy(const ui::Context& ctx) const {
    return std::any_of(columns_.begin(), columns_.end(), [&](const Column& column) {
        if (waiting(ctx, column)) {
            return true;
        }
        // One of a node that is gone may never end, and holds up nothing.
        const client::Snapshot* there = snapshot_of(ctx, column.session);
        return column.answer && !ended(*column.answer) && there != nullptr && there->session == column.reading &&
               (column.session == 0 || there->link.state == client::Link::State::connected);
    });
}

void ComparePanel::start(ui::Context& ctx) {
    if (busy(ctx)) {
        return;
    }
    if (prompt_.find_first_not_of(" \t\r\n") == std::string::npos) {
        ctx.notify(ctx.text("compare.no_prompt"), true);
        return;
    }
    if (models_.empty()) {
        ctx.notify(ctx.text("compare.no_models"), true);
        return;
    }
    for (const Pick& pick : models_) {
        const client::Snapshot* there = snapshot_of(ctx, pick.session);
        if (pick.session != 0 && (there == nullptr || there->link.state != client::Link::State::connected)) {
            ctx.notify(ctx.text.format(
                           there == nullptr ? "compare.tab_closed" : "compare.node_gone",
                           {{"model", title_in(ctx, pick.session, pick.model)}, {"node", name_of(ctx, pick.session)}}),
                       true);
            return;
        }
    }
    started_at_ = ctx.now;
    models_chosen_ = true;
    group_ = new_group_id();
    question_ = asked_ = prompt_;
    columns_.clear();
    views_.clear();
    alignments_.clear();
    mode_ = Mode::plain;
    base_ = 0;
    for (const Pick& pick : models_) {
        const client::Snapshot* there = snapshot_of(ctx, pick.session);
        if (there == nullptr) {
            continue;  // all were there a moment ago
        }
        json parameters{{"model", pick.model},
                        {"prompt", prompt_},
                        {"group", group_},
                        {"max_tokens", settings_.max_tokens},
                        {"seed", settings_.seed},
                        {"temperature", settings_.sampled ? settings_.temperature : 0.0},
                        {"alternatives", settings_.alternatives}};
        if (settings_.sampled) {
            parameters["top_k"] = settings_.top_k;
            parameters["top_p"] = settings_.top_p;
            parameters["min_p"] = settings_.min_p;
        }
        put_question(parameters, settings_.chat, settings_.system);
        const client::ModelEntry* entry = find_model(*there, pick.model);
        if (settings_.routing > 0 && entry != nullptr && is_routed(*entry)) {
            parameters["routing"] = kRoutingDetails[static_cast<std::size_t>(settings_.routing)];
        }
        columns_.push_back({pick.model, pick.session, there->session, name_of(ctx, pick.session),
                            send(ctx, pick.session, "generate.start", std::move(parameters)), 0, nullptr});
    }
    views_.resize(columns_.size());
    collect_history();
    history_at_ = history_.size() - 1;
}

void ComparePanel::cancel(ui::Context& ctx) {
    for (const Column& column : columns_) {
        if (column.answer ? !ended(*column.answer) : column.run != 0 && waiting(ctx, column)) {
            const client::Snapshot* there = snapshot_of(ctx, column.session);
            if (there != nullptr && there->session == column.reading) {
                send(ctx, column.session, "generate.cancel", {{"run", column.run}});
            }
        } else if (column.run == 0 && column.command != 0) {
            to_cancel_.push_back({column.session, column.command});
        }
    }
}

/// Also while another comparison is on show.
void ComparePanel::cancel_what_has_a_number(ui::Context& ctx) {
    std::erase_if(to_cancel_, [&](const ToCancel& one) {
        const client::Snapshot* there = snapshot_of(ctx, one.session);
        if (there == nullptr) {
            return true;
        }
        const auto result = there->results.find(one.command);
        if (result == there->results.end()) {
            return true;
        }
        if (result->second.state == client::CommandResult::State::pending) {
            return false;
        }
        if (const std::uint32_t run = base::run_of(result->second.value); run != 0) {
            send(ctx, one.session, "generate.cancel", {{"run", run}});
        }
        return true;
    });
}

void ComparePanel::swap_language(ui::Context& ctx) {
    if (const json* prompts = prompt_library(ctx.snapshot)) {
        for (const json& item : *prompts) {
            const std::string english = localized(item, "text", "en"), chinese = localized(item, "text", "zh");
            if (english.empty() || chinese.empty() || (prompt_ != english && prompt_ != chinese)) {
                continue;
            }
            prompt_ = prompt_ == english ? chinese : english;
            prompt_touched_ = true;
            return;
        }
    }
    ctx.notify(ctx.text("compare.no_translation"), false);
}

/// What was asked in this session, in whichever window.
void ComparePanel::collect_history() {
    history_.clear();
    const auto add = [&](const std::string& prompt) {
        if (!prompt.empty() && (history_.empty() || history_.back() != prompt)) {
            history_.push_back(prompt);
        }
    };
    for (Group& group : groups_) {
        add(group.prompt);
        group.history_at = std::max<std::size_t>(history_.size(), 1) - 1;
    }
    // A question that no model took up leaves no answers, and is to be found again all the same.
    if (std::find(history_.begin(), history_.end(), asked_) == history_.end()) {
        add(asked_);
    }
}

std::optional<std::size_t> ComparePanel::history_position() const {
    if (history_at_ < history_.size() && prompt_ == history_[history_at_]) {
        return history_at_;
    }
    const auto newest = std::find(history_.rbegin(), history_.rend(), prompt_);
    return newest == history_.rend() ? std::nullopt
                                     : std::optional(static_cast<std::size_t>(history_.rend() - newest) - 1);
}

bool ComparePanel::can_step_history(int by) const {
    const auto at = history_position();
    return by < 0 ? !history_.empty() && at != std::size_t{0} : at && (*at + 1 < history_.size() || !draft_.empty());
}

/// Back from a prompt of one's own comes to the newest one, and forward from that to one's own again.
void ComparePanel::step_history(int by) {
    if (!can_step_history(by)) {
        return;
    }
    const auto at = history_position();
    if (by > 0 && *at + 1 == history_.size()) {
        prompt_ = std::exchange(draft_, "");
    } else {
        keep_draft();
        history_at_ = by > 0 ? *at + 1 : at.value_or(history_.size()) - 1;
        prompt_ = history_[history_at_];
    }
    prompt_touched_ = true;
}

/// Before another prompt takes the place of one that was typed and not run.
void ComparePanel::keep_draft() {
    if (prompt_touched_ && !prompt_.empty() && !history_position()) {
        draft_ = prompt_;
    }
}

void ComparePanel::draw(ui::Context& ctx) {
    refresh(ctx);
    draw_prompt(ctx);
    draw_models(ctx);
    draw_settings(ctx);
    watch(ctx);
    ImGui::Spacing();
    if (columns_.empty()) {
        if (ui::empty_state(ctx, ui::icon::scales, "compare.empty", "compare.run")) {
            start(ctx);
        }
    } else {
        draw_question(ctx);
        draw_view_bar(ctx);
        draw_columns(ctx);
        draw_alternatives(ctx);
    }
}

json ComparePanel::edited(const ui::Context& ctx) const {
    json models = json::array();
    for (const Pick& pick : models_) {
        const std::string node = pick.session == 0 ? std::string() : name_of(ctx, pick.session);
        models.push_back({{"model", pick.model}, {"node", node}, {"session", pick.session}});
    }
    return {{"prompt", prompt_},
            {"models", std::move(models)},
            {"max_tokens", settings_.max_tokens},
            {"sampled", settings_.sampled},
            {"temperature", settings_.temperature},
            {"top_k", settings_.top_k},
            {"top_p", settings_.top_p},
            {"min_p", settings_.min_p},
            {"seed", settings_.seed},
            {"alternatives", settings_.alternatives},
            {"chat", settings_.chat},
            {"system", settings_.system},
            {"routing", settings_.routing}};
}

void ComparePanel::set_edited(const json& state) {
    prompt_ = state.at("prompt");
    prompt_touched_ = models_chosen_ = true;
    models_.clear();
    for (const json& pick : state.at("models")) {
        models_.push_back({pick.at("session"), pick.at("model")});
    }
    state.at("max_tokens").get_to(settings_.max_tokens);
    state.at("sampled").get_to(settings_.sampled);
    state.at("temperature").get_to(settings_.temperature);
    state.at("top_k").get_to(settings_.top_k);
    state.at("top_p").get_to(settings_.top_p);
    state.at("min_p").get_to(settings_.min_p);
    state.at("seed").get_to(settings_.seed);
    state.at("alternatives").get_to(settings_.alternatives);
    state.at("chat").get_to(settings_.chat);
    state.at("system").get_to(settings_.system);
    state.at("routing").get_to(settings_.routing);
}

void ComparePanel::watch(ui::Context& ctx) {
    const auto name = [](const ui::Language& text, const std::string& place) -> std::string {
        if (place.ends_with("/session")) {
            return {};  // its name is told
        }
        return place.ends_with("/node") ? std::string(text("undo.form.node")) : ui::form_field(text, place);
    };
    watch_.follow(ctx, edited(ctx), name, [this](ui::Context&, const json& state) { set_edited(state); });
}

void ComparePanel::draw_prompt(ui::Context& ctx) {
    draw_library(ctx);
    const char* run_label = ctx.text.label("compare.run");
    const char* cancel_label = ctx.text.label("compare.cancel");
    const float button = std::max({ui::button_width(run_label), ui::button_width(cancel_label), 6 * ctx.em});
    const float height = ImGui::GetTextLineHeight() * 4 + ImGui::GetStyle().FramePadding.y * 2;
    const float width = ImGui::GetContentRegionAvail().x - button - ImGui::GetStyle().ItemSpacing.x;
    if (ImGui::InputTextMultiline("###compare.prompt", &prompt_, {width, height}, ImGuiInputTextFlags_WordWrap)) {
        prompt_touched_ = true;
    }
    const ImGuiID field = ImGui::GetItemID();
    const bool focused = ImGui::IsItemFocused() || ImGui::IsItemActive();
    for (const auto& [key, by] : {std::pair{ImGuiKey_UpArrow, -1}, std::pair{ImGuiKey_DownArrow, 1}}) {
        if (focused && ImGui::GetIO().KeyAlt && ImGui::IsKeyPressed(key)) {
            step_history(by);
            if (ImGuiInputTextState* typing = ImGui::GetInputTextState(field)) {
                typing->ReloadUserBufAndMoveToEnd();  // else the field would put back its own text,
                typing->EditedBefore = false;         // or would when it is left in the next frame
            }
        }
    }
    ImGui::SameLine();
    ImGui::BeginGroup();
    const bool working = busy(ctx);
    if (working) {
        if (ImGui::Button(cancel_label, {button, 0}) && !ui::clicked_again()) {
            cancel(ctx);
        }
    } else {
        ImGui::BeginDisabled(ctx.snapshot.node.read_only);
        if (ui::primary_button(ctx, run_label, {button, 0})) {
            start(ctx);
        }
        ImGui::EndDisabled();
    }
    ui::tooltip(ctx.text(working                       ? "compare.cancel_help"
                         : ctx.snapshot.node.read_only ? "runs.read_only"
                                                       : "compare.run_help"));
    ui::text_dim(ctx, working ? "" : "Ctrl+Enter");  // the keys of Run; the room stays
    ImGui::EndGroup();
    if (!working && !ctx.snapshot.node.read_only && ImGui::IsWindowFocused(ImGuiFocusedFlags_RootAndChildWindows) &&
        ImGui::GetIO().KeyCtrl &&
        (ImGui::IsKeyPressed(ImGuiKey_Enter, false) || ImGui::IsKeyPressed(ImGuiKey_KeypadEnter, false))) {
        start(ctx);
    }
}

void ComparePanel::draw_library(ui::Context& ctx) {
    ui::next_field(15 * ctx.em);
    if (ui::begin_combo("###compare.library", ctx.text("compare.library"), ImGuiComboFlags_HeightLarge)) {
        if (const json* prompts = prompt_library(ctx.snapshot)) {
            int row = 0;
            for (const json& item : *prompts) {
                ImGui::PushID(row++);
                const std::string title = localized(item, "title", ctx.text.code());
                const std::string text = localized(item, "text", ctx.text.code());
                if (ImGui::Selectable((title + "###prompt").c_str(), !text.empty() && prompt_ == text) &&
                    !text.empty()) {
                    keep_draft();
                    prompt_ = text;
                    prompt_touched_ = true;
                }
                ui::tooltip(text);
                ImGui::PopID();
            }
        }
        ImGui::EndCombo();
    }
    const char* swap = ctx.text.label("compare.swap_language");
    ui::flow(ui::button_width(swap));
    if (ui::button(swap)) {
        swap_language(ctx);
    }
    ui::tooltip(ctx.text("compare.swap_help"));
    const char* older = ctx.text.label("compare.older");
    ui::flow(ui::button_width(older));
    if (ui::button(older, can_step_history(-1), history_.empty() ? ctx.text("compare.no_history") : "")) {
        step_history(-1);
    }
    ui::tooltip(ctx.text("compare.history_help"));
    const char* newer = ctx.text.label("compare.newer");
    ui::flow(ui::button_width(newer));
    if (ui::button(newer, can_step_history(1))) {
        step_history(1);
    }
    if (!groups_.empty()) {
        draw_earlier(ctx);
    }
}

/// Each with its number and time: the same models may have been asked the same twice.
void ComparePanel::draw_earlier(ui::Context& ctx) {
    ui::flow(16 * ctx.em);
    ui::next_field(16 * ctx.em);
    if (!ui::begin_combo("###compare.earlier", ctx.text("compare.earlier"), ImGuiComboFlags_HeightLarge)) {
        return;
    }
    // A session may have hundreds: titles are made of those in sight only.
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(groups_.size()));
    std::size_t chosen = groups_.size();
    while (clipper.Step()) {
        for (int row = clipper.DisplayStart; row < clipper.DisplayEnd; ++row) {
            const std::size_t i = groups_.size() - 1 - static_cast<std::size_t>(row);
            const Group& group = groups_[i];
            std::string models;
            for (const Given& given : group.answers) {
                const std::string& model = given.answer->model;
                base::append_to_list(
                    models,
                    given.session == 0
                        ? model_title_of(ctx, *given.answer, model)
                        : ctx.text.format("compare.model_at", {{"model", title_in(ctx, given.session, model)},
                                                               {"node", name_of(ctx, given.session)}}),
                    ctx.text("common.comma"));
            }
            std::string title = ctx.text.number(static_cast<std::uint64_t>(i + 1));
            for (const std::string& part : {group.started_ns > 0 ? ui::moment_text(group.started_ns) : std::string(),
                                            in_one_line(group.prompt, 90), models}) {
                title += part.empty() ? "" : " · " + part;
            }
            if (ImGui::Selectable((title + "###" + group.id).c_str(), group.id == group_)) {
                chosen = i;
            }
            ui::tooltip(shortened(displayable(group.prompt), kMostQuestion));
        }
    }
    ImGui::EndCombo();
    if (chosen < groups_.size()) {
        show_group(ctx, groups_[chosen]);
        follow_columns(ctx);
    }
}

void ComparePanel::draw_models(ui::Context& ctx) {
    const float width = 14 * ctx.em;
    const bool where = ui::has_choice_of_session(ctx);
    if (const auto session = ui::choose_session(ctx)) {
        hand_over(ctx, *session);
    }
    for (std::size_t i = 0; i < models_.size(); ++i) {
        ImGui::PushID(static_cast<int>(i));
        if (where || i > 0) {
            ui::flow(width);
        }
        ui::next_field(width);
        if (pick_combo(ctx, models_[i])) {
            models_chosen_ = true;
        }
        ImGui::PopID();
    }
    const float small = 2 * ctx.em;
    if (!models_.empty()) {
        ui::flow(small);
        if (ui::button("+###compare.more", models_.size() < kMaxColumns, ctx.text("compare.most_columns"))) {
            models_.push_back(another_model(ctx));
            models_chosen_ = true;
        }
        ui::tooltip(ctx.text("compare.add_column"));
        ui::flow(small);
        if (ui::button("-###compare.fewer", models_.size() > 2, ctx.text("compare.least_columns"))) {
            models_.pop_back();
            models_chosen_ = true;
        }
        ui::tooltip(ctx.text("compare.remove_column"));
    }
}

/// Of this session as ever; with several open, below them those of the others, each under the name of its session.
bool ComparePanel::pick_combo(ui::Context& ctx, Pick& pick) {
    const std::string title = title_in(ctx, pick.session, pick.model);
    if (!ui::has_choice_of_session(ctx) && pick.session == 0) {
        return model_combo(ctx, "###compare.model", pick.model, title.c_str(), Offer::with_sets);
    }
    const std::string name = name_of(ctx, pick.session);
    const std::string shown =
        pick.session == 0 ? title
                          : ctx.text.format("compare.model_at",
                                            {{"model", title},
                                             {"node", name.empty() ? std::string(ctx.text("compare.closed")) : name}});
    const float room = ImGui::CalcItemWidth() - ImGui::GetFrameHeight() - 2 * ImGui::GetStyle().FramePadding.x;
    const std::string preview = ui::elided_middle(shown, room);
    if (!ui::begin_combo("###compare.model", preview, ImGuiComboFlags_HeightLarge)) {
        if (preview != shown) {
            ui::tooltip(shown);
        }
        return false;
    }
    bool changed = false;
    const auto entry = [&](std::uint64_t session, const std::string& model, bool available) {
        const Pick offered{session, model};
        const std::string label = title_in(ctx, session, model) + "###" + model;
        if (ImGui::Selectable(label.c_str(), offered == pick, available ? 0 : ImGuiSelectableFlags_Disabled)) {
            changed = offered != pick;
            pick = offered;
        }
    };
    const auto offer = [&](std::uint64_t session, const client::Snapshot& there) {
        const bool reached = there.link.state == client::Link::State::connected;
        ImGui::PushID(static_cast<int>(session));
        ImGui::SeparatorText(name_of(ctx, session).c_str());
        for (const client::ModelEntry& model : there.models) {
            entry(session, model.name, model.available && (session == 0 || reached));
            if (is_routed(model)) {
                for (const auto& [set, items] : *there.intervention_sets) {
                    entry(session, history::to_text(history::ModelWithSet{model.name, set}),
                          model.available && (session == 0 || reached));
                }
            }
        }
        ImGui::PopID();
    };
    offer(0, ctx.snapshot);
    for (const ui::OpenedSession& one : ctx.sessions.open) {
        if (!one.front) {
            offer(one.id, *one.snapshot);
        }
    }
    ImGui::EndCombo();
    return changed;
}

/// One that is not there yet, where the library has one.
ComparePanel::Pick ComparePanel::another_model(const ui::Context& ctx) const {
    for (const client::ModelEntry& model : ctx.snapshot.models) {
        if (model.available && std::find(models_.begin(), models_.end(), Pick{0, model.name}) == models_.end()) {
            return {0, model.name};
        }
    }
    return models_.back();
}

void ComparePanel::draw_settings(ui::Context& ctx) {
    const float field = 6 * ctx.em;
    // The label stands before its field.
    std::string id;
    const auto place = [&](const char* key, bool first = false) {
        if (!first) {
            ui::flow(field + ui::field_label_width(ctx, key));
        }
        ui::field_label(ctx, key);
        ui::next_field(field);
        id = std::string("###") + key;
        return id.c_str();
    };
    const auto number = [&](const char* key, auto& setting, double low, double high, const char* format = "%.0f",
                            bool first = false) {
        double value = static_cast<double>(setting);
        const bool whole = std::is_integral_v<std::decay_t<decltype(setting)>>;
        if (ui::number_field(ctx, place(key, first), fields_[key], value, {low, high, format, whole})) {
            setting = static_cast<std::decay_t<decltype(setting)>>(value);
        }
    };
    number("compare.max_tokens", settings_.max_tokens, 1, kMostTokens, "%.0f", true);
    const std::vector<const char*> kinds = {ctx.text.label("compare.greedy"), ctx.text.label("compare.sampled")};
    ui::flow(ui::button_width(kinds[0]) + ui::button_width(kinds[1]));
    int kind = settings_.sampled ? 1 : 0;
    if (ui::segmented(ctx, "compare.sampling", kinds, kind)) {
        settings_.sampled = kind == 1;
    }
    if (settings_.sampled) {
        number("compare.temperature", settings_.temperature, 0.01, 5, "%.4g");
        number("compare.top_k", settings_.top_k, 0, 1000);
        number("compare.top_p", settings_.top_p, 0, 1, "%.4g");
        number("compare.min_p", settings_.min_p, 0, 1, "%.4g");
    }
    number("compare.seed", settings_.seed, 0, kMostSeed);
    number("compare.alternatives", settings_.alternatives, 0, 20);
    ui::tooltip(ctx.text("compare.alternatives_help"));
    question_fields(ctx, "compare.system", settings_.chat, settings_.system);
    draw_routing_setting(ctx);
    for (const auto& [key, number_state] : fields_) {
        if (!number_state.error.empty()) {
            ui::text_wrapped(ctx.text(key) + (ctx.text("common.colon") + number_state.error), ctx.theme.error);
        }
    }
}

/// Only where a model is picked that has a router.
void ComparePanel::draw_routing_setting(ui::Context& ctx) {
    if (std::none_of(models_.begin(), models_.end(), [&](const Pick& pick) {
            const client::Snapshot* there = snapshot_of(ctx, pick.session);
            const client::ModelEntry* model = there == nullptr ? nullptr : find_model(*there, pick.model);
            return model != nullptr && is_routed(*model);
        })) {
        return;
    }
    const float field = 9 * ctx.em;
    ui::flow(field + ui::field_label_width(ctx, "compare.routing"));
    ui::field_label(ctx, "compare.routing");
    ui::next_field(field);
    const auto name = [&](std::size_t detail) {
        return ctx.text(std::string("compare.routing.") + kRoutingDetails[detail]);
    };
    if (ui::begin_combo("###compare.routing", name(static_cast<std::size_t>(settings_.routing)))) {
        for (std::size_t i = 0; i < kRoutingDetails.size(); ++i) {
            const std::string label = std::string(name(i)) + "###detail." + kRoutingDetails[i];
            if (ImGui::Selectable(label.c_str(), static_cast<int>(i) == settings_.routing)) {
                settings_.routing = static_cast<int>(i);
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(ctx.text("compare.routing.help"));
}

/// The model, and what was changed in its routers when that does not stand in its name.
std::string ComparePanel::answer_title(const ui::Context& ctx, const Column& column) const {
    if (column.session != 0) {
        return title_in(ctx, column.session, column.model);
    }
    const auto answer = ctx.snapshot.generations.find(column.run);
    const std::string title = answer == ctx.snapshot.generations.end()
                                  ? model_title(ctx, column.model)
                                  : model_title_of(ctx, *answer->second, column.model);
    const auto routing = ctx.snapshot.routing.find(column.run);
    if (column.run == 0 || routing == ctx.snapshot.routing.end() ||
        !model_with_set(ctx.snapshot, column.model).set.empty()) {
        return title;
    }
    const std::vector<Change> changes = changes_or_none(routing->second->interventions);
    const std::string& set = routing->second->set;
    return changes.empty()
               ? title
               : ctx.text.format("routing.name.changed",
                                 {{"name", title}, {"changes", set.empty() ? changes_text(ctx.text, changes) : set}});
}

/// Which question the answers below answer: the field above may hold another one by now.
void ComparePanel::draw_question(ui::Context& ctx) {
    const bool earlier = prompt_ != question_;
    const std::string line = ctx.text.format(earlier ? "compare.earlier_question" : "compare.question",
                                             {{"prompt", in_one_line(question_, kMostQuestion)}});
    const float left = ImGui::GetCursorPosX();
    ImGui::AlignTextToFramePadding();
    ui::text_colored(earlier ? ctx.theme.warning : ctx.theme.text_dim, earlier ? ui::icon::clock : ui::icon::question);
    ImGui::SameLine(left + 1.5f * ctx.em);
    ImGui::PushStyleColor(ImGuiCol_Text, earlier ? ctx.theme.text : ctx.theme.text_dim);
    ui::text_elided(line, ImGui::GetContentRegionAvail().x);
    ImGui::PopStyleColor();
}

void ComparePanel::draw_view_bar(ui::Context& ctx) {
    const bool all_ended =
        std::all_of(columns_.begin(), columns_.end(), [](const Column& c) { return c.answer && ended(*c.answer); });
    const bool tokens = std::any_of(columns_.begin(), columns_.end(),
                                    [](const Column& c) { return c.answer && !c.answer->tokens.empty(); });
    if (!all_ended && mode_ == Mode::difference) {
        mode_ = Mode::plain;
    }
    const std::vector<const char*> labels = {ctx.text.label("compare.plain"), ctx.text.label("compare.difference"),
                                             ctx.text.label("compare.probability")};
    int mode = static_cast<int>(mode_);
    if (ui::segmented(ctx, "compare.mode", labels, mode)) {
        if (mode == static_cast<int>(Mode::difference) && !(all_ended && columns_.size() > 1)) {
            ctx.notify(ctx.text("compare.difference_later"), false);
        } else if (mode == static_cast<int>(Mode::probability) && !tokens) {
            ctx.notify(ctx.text("compare.no_tokens"), false);
        } else {
            mode_ = static_cast<Mode>(mode);
        }
    }
    const char* hint = mode_ == Mode::difference
                           ? columns_.size() == 2 ? "compare.difference_hint_pair" : "compare.difference_hint"
                       : mode_ == Mode::probability ? "compare.probability_hint"
                                                    : nullptr;
    if (!hint) {
        return;
    }
    ui::flow(16 * ctx.em);
    ImGui::AlignTextToFramePadding();
    ui::text_elided(ctx.text.format(hint, {{"name", title_in(ctx, columns_[base_].session, columns_[base_].model)}}),
                    ImGui::GetContentRegionAvail().x);
}

void ComparePanel::draw_columns(ui::Context& ctx) {
    const float spacing = ImGui::GetStyle().ItemSpacing.x;
    const auto n = static_cast<float>(columns_.size());
    const float available = ImGui::GetContentRegionAvail().x;
    const float width = std::max(15 * ctx.em, std::floor((available - spacing * (n - 1)) / n));
    const float height = std::max({14 * ctx.em, column_least_, ImGui::GetContentRegionAvail().y});
    const float foot =
        foot_height_ > 0 ? foot_height_ : ImGui::GetFrameHeightWithSpacing() + ImGui::GetTextLineHeightWithSpacing();
    foot_height_ = column_least_ = 0;
    ImGui::BeginChild("###compare.columns", {0, height}, 0, ImGuiWindowFlags_HorizontalScrollbar);
    const float inner = ImGui::GetContentRegionAvail().y;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        ImGui::PushID(static_cast<int>(i));
        if (i > 0) {
            ImGui::SameLine();
        }
        if (ui::begin_frame(ctx, "###column", {width, inner}, ImGuiWindowFlags_NoScrollbar)) {
            draw_column(ctx, i, foot);
        }
        ui::end_frame();
        ImGui::PopID();
    }
    column_least_ += height - inner;
    ImGui::EndChild();
}

void ComparePanel::draw_column(ui::Context& ctx, std::size_t index, float foot) {
    constexpr float kLeastAnswer = 5;  // em
    draw_column_head(ctx, index);
    const float head = ImGui::GetCursorPosY();
    const float body =
        std::max(kLeastAnswer * ctx.em, ImGui::GetContentRegionAvail().y - foot - ImGui::GetStyle().ItemSpacing.y);
    if (ImGui::BeginChild("###answer", {0, body}, ImGuiChildFlags_None)) {
        draw_answer(ctx, index);
    }
    ImGui::EndChild();
    const float top = ImGui::GetCursorPosY();
    draw_foot(ctx, index);
    foot_height_ = std::max(foot_height_, ImGui::GetCursorPosY() - top);
    column_least_ = std::max(column_least_, head + kLeastAnswer * ctx.em + foot_height_ + 2 * ctx.em);
}

/// Where the answer comes from, and how old what is known of it is when that node can't be reached.
void ComparePanel::draw_node(ui::Context& ctx, const Column& column) const {
    const client::Snapshot* there = snapshot_of(ctx, column.session);
    const std::string now = name_of(ctx, column.session);
    std::string line = now.empty() ? column.node : now;
    const bool over = column.answer && ended(*column.answer);
    bool gone = true;
    if (there == nullptr) {
        line += " · " + std::string(ctx.text(over ? "compare.closed" : "compare.closed_early"));
    } else if (there->session != column.reading) {
        line = column.node + " · " + ctx.text("compare.other_journal");
    } else if (there->link.state != client::Link::State::connected) {
        line += " · " +
                ctx.text.format("compare.age", {{"time", ui::duration_text(ctx.text, data_age(there->link, ctx.now))}});
    } else {
        gone = false;
    }
    if (gone) {
        ctx.draw_within(1);
    }
    ui::text_wrapped((gone ? std::string(ui::icon::warning) + " " : "") + line,
                     gone ? ctx.theme.warning : ctx.theme.text);
}

void ComparePanel::draw_column_head(ui::Context& ctx, std::size_t index) {
    const Column& column = columns_[index];
    const client::Snapshot* there = snapshot_of(ctx, column.session);
    const client::ModelEntry* model = there == nullptr ? nullptr : find_model(*there, column.model);
    const float mark = 0.7f * ctx.em;
    const ImVec2 at = ImGui::GetCursorScreenPos();
    ImGui::GetWindowDrawList()->AddRectFilled({at.x, at.y + 0.2f * ctx.em}, {at.x + mark, at.y + 0.2f * ctx.em + mark},
                                              ui::packed(ctx.theme.series_color(index), 1), 2);
    ImGui::Dummy({mark, mark});
    ImGui::SameLine();
    ImGui::PushFont(ctx.bold, 0);
    // The untouched and the changed model differ at the ends of their titles.
    const std::string title = answer_title(ctx, column),
                      shown = ui::elided_middle(title, ImGui::GetContentRegionAvail().x);
    ImGui::TextUnformatted(shown.c_str());
    if (shown != title) {
        ui::tooltip(title);
    }
    ImGui::PopFont();
    if (is_across()) {
        draw_node(ctx, column);
    }

    std::string origin, technical;
    if (model) {
        const auto add = [](std::string& line, const std::string& part) {
            if (!part.empty()) {
                line += (line.empty() ? "" : " · ") + part;
            }
        };
        add(origin, ctx.text.named("models.maker_name.", model->maker));
        add(origin, ctx.text.named("models.country.", model->country));
        add(origin, model->licence);
        if (model->server) {
            add(origin, ctx.text.message(model->origin));
        }
        add(technical, model->precision);
        if (model->bytes > 0) {
            add(technical, ui::bytes_text(ctx.text, model->bytes));
        }
    }
    ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.text_dim);
    ui::text_wrapped(origin.empty() ? ctx.text("compare.origin_unknown") : origin);
    if (column.answer && column.answer->tokens_per_second > 0) {
        technical += (technical.empty() ? "" : " · ") +
                     ctx.text.format("compare.speed", {{"n", ctx.text.number(column.answer->tokens_per_second, 3)}});
    }
    if (column.answer && !column.answer->device.empty()) {
        technical += (technical.empty() ? "" : " · ") + column.answer->device;
    }
    if (!technical.empty()) {
        ui::text_wrapped(technical);
    }
    if (column.answer && !column.answer->disabled.empty()) {
        const auto& disabled = column.answer->disabled;
        ui::text_wrapped(ctx.text.format("compare.disabled", {{"n", ctx.text.number(std::uint64_t{disabled.size()})}}));
        ui::tooltip(ctx.text.format("compare.disabled.help", {{"experts", places_text(disabled)}}));
    }
    ImGui::PopStyleColor();
    ImGui::Separator();
}

/// The label comes from the same rules as in the probe panel.
void ComparePanel::label(View& view, const Generation& answer) const {
    if (view.labelled) {
        return;
    }
    view.labelled = true;
    const probes::Labels labels =
        probes::label_answer(base::text_of(answer.manifest, "prompt"), answer.text, answer.stop, begins_inside(answer));
    view.delivery = labels.delivery == probes::Delivery::answered ? "" : probes::delivery_name(labels.delivery);
    view.rule = labels.rule;
}

void ComparePanel::build_plain(View& view, const Generation& answer) {
    if (!view.parts.update(answer.text, ended(answer), begins_inside(answer))) {
        // What looked like the answer was its reasoning.
        view.display.clear();
        view.text.set("");
        view.shown = view.chips = 0;
    }
    view.display.update(view.parts.answer(), ended(answer));
    const std::string& text = view.display.text();
    const std::vector<ByteRange>& chips = view.display.chips();
    while (view.shown < text.size()) {
        const bool chip = view.chips < chips.size() && chips[view.chips].begin == view.shown;
        const std::size_t end = chip                        ? chips[view.chips++].end
                                : view.chips < chips.size() ? chips[view.chips].begin
                                                            : text.size();
        view.text.append(std::string_view(text).substr(view.shown, end - view.shown), chip ? kChip : kPlain);
        view.shown = end;
    }
}

/// Of the base and this column; of a base of two, of the other one. Null for a base of more, which is shown as it is.
const ComparePanel::Alignment* ComparePanel::alignment_of(ui::Context& ctx, std::size_t index) {
    const bool pair = columns_.size() == 2;
    if (index == base_ && !pair) {
        return nullptr;
    }
    const Column &of_base = columns_[base_], &of_other = columns_[index == base_ ? 1 - base_ : index];
    const Generation &base = *of_base.answer, &other = *of_other.answer;
    const std::string base_of = key_of(of_base), other_of = key_of(of_other);
    for (const std::shared_ptr<Alignment>& known : alignments_) {
        if (known->base_of == base_of && known->other_of == other_of && known->base_bytes == base.text.size() &&
            known->other_bytes == other.text.size()) {
            return known.get();
        }
    }
    const auto made = std::make_shared<Alignment>();
    made->base_of = base_of;
    made->other_of = other_of;
    made->base_bytes = base.text.size();
    made->other_bytes = other.text.size();
    made->base = displayable(probes::separate_reasoning(base.text, begins_inside(base)).answer);
    made->other = displayable(probes::separate_reasoning(other.text, begins_inside(other)).answer);
    alignments_.push_back(made);
    // The texts stay as they are from here on; the difference is handed over on the GUI thread.
    ctx.in_background([made]() -> std::function<void()> {
        auto diff = std::make_shared<WordDiff>(word_diff(made->base, made->other));
        return [made, diff] {
            made->diff = std::move(*diff);
            made->ready = true;
        };
    });
    return made.get();
}

void ComparePanel::build_difference(View& view, std::size_t index, const Alignment* alignment) {
    if (alignment == nullptr) {
        view.text.set(displayable(view.parts.answer()));
        return;
    }
    if (!alignment->ready) {
        return;
    }
    // Two columns: each shows its own text, and what the other has not is marked in both alike. More: the others show
    // what was removed as well, because the base can't show it for each.
    const DifferenceSide side = index == base_         ? DifferenceSide::base
                                : columns_.size() == 2 ? DifferenceSide::other
                                                       : DifferenceSide::other_and_base;
    DifferenceText made = difference_text(
        alignment->diff, alignment->base, alignment->other, side,
        {.plain = kPlain, .added = kAdded, .removed = side == DifferenceSide::base ? kAdded : kRemoved});
    view.same = alignment->diff.similarity;
    view.text.set(std::move(made.text), std::move(made.runs));
}

void ComparePanel::build_probability(View& view, const Generation& answer) {
    std::vector<std::string_view> pieces;
    for (const protocol::TokenRecord& token : answer.tokens) {
        pieces.emplace_back(token.chosen.bytes);
    }
    view.groups = group_tokens(pieces);
    view.group_ends.clear();
    std::string text;
    std::vector<StyleRun> runs;
    std::size_t at = 0;  // bytes of the answer as it came
    for (const TokenGroup& group : view.groups) {
        std::string joined;
        double log_probability = 0;
        for (std::uint32_t i = group.first; i < group.last; ++i) {
            joined += answer.tokens[i].chosen.bytes;
            log_probability += answer.tokens[i].chosen.log_probability;
        }
        text += displayable(joined);
        // What a server has not said is no reason for a ground.
        const double p = std::isnan(log_probability)
                             ? 1
                             : std::exp(std::min(0.0, std::isfinite(log_probability) ? log_probability : -100.0));
        const int bucket = std::clamp(static_cast<int>(p * kTints), 0, kTints - 1);
        const auto& parts = view.parts.separated().parts;
        const auto part =
            std::find_if(parts.begin(), parts.end(), [&](const probes::AnswerPart& one) { return at < one.end; });
        const bool said = part == parts.end() || part->kind == probes::AnswerPart::Kind::answer;
        at += joined.size();
        runs.push_back({static_cast<std::uint32_t>(text.size()),
                        static_cast<std::uint16_t>(kTint + bucket + (said ? 0 : kTints))});
        view.group_ends.push_back(static_cast<std::uint32_t>(text.size()));
    }
    view.text.set(std::move(text), std::move(runs));
}

void ComparePanel::update_view(ui::Context& ctx, std::size_t index) {
    View& view = views_[index];
    const Generation& answer = *columns_[index].answer;
    const Alignment* alignment = mode_ == Mode::difference ? alignment_of(ctx, index) : nullptr;
    // Its end and its text come on two channels: what was made of an ended answer is made again when more of it comes.
    const bool over = ended(answer);
    std::string source = fmt::format("{} {} {}", static_cast<int>(mode_), over ? answer.text.size() : 0,
                                     over ? answer.stop : std::string());
    if (mode_ == Mode::difference) {
        source += fmt::format(" {} {} {}", base_, columns_.size(), alignment == nullptr || alignment->ready);
        source += alignment == nullptr ? "" : fmt::format(" {} {}", alignment->base_bytes, alignment->other_bytes);
    }
    if (mode_ == Mode::probability) {
        source += fmt::format(" {}", answer.tokens.size());
    }
    const std::string of = key_of(columns_[index]);
    if (view.of != of || view.source != source) {
        const float scroll = view.last_scroll_max;
        view = View();
        view.last_scroll_max = scroll;
        view.of = of;
        view.source = std::move(source);
        view.parts.update(answer.text, ended(answer), begins_inside(answer));
        if (mode_ == Mode::difference) {
            build_difference(view, index, alignment);
        } else if (mode_ == Mode::probability) {
            build_probability(view, answer);
        }
    }
    if (mode_ == Mode::plain) {
        build_plain(view, answer);
    }
    view.waits = alignment != nullptr && !alignment->ready;
}

void ComparePanel::draw_answer(ui::Context& ctx, std::size_t index) {
    const Column& column = columns_[index];
    if (!column.answer) {
        const client::Snapshot* there = snapshot_of(ctx, column.session);
        const client::CommandResult* result = nullptr;
        if (there != nullptr && there->session == column.reading) {
            const auto found = there->results.find(column.command);
            result = found == there->results.end() ? nullptr : &found->second;
        }
        const bool failed =
            result != nullptr && !result->error.empty() && result->state != client::CommandResult::State::pending;
        if (failed) {
            ui::text_wrapped(std::string(ui::icon::error) + " " + ctx.text.message(result->error), ctx.theme.error);
        } else if (waiting(ctx, column)) {
            ui::text_wrapped(std::string(ui::icon::hourglass) + " " + ctx.text("compare.waiting"), ctx.theme.text_dim);
        } else {
            ui::text_wrapped(ctx.text("compare.not_started"), ctx.theme.text_dim);
        }
        return;
    }
    const Generation& answer = *column.answer;
    update_view(ctx, index);
    View& view = views_[index];
    if (answer.state == RunState::failed || answer.stop == "error") {
        ui::text_wrapped(std::string(ui::icon::error) + " " +
                             (answer.message.empty() ? ctx.text("compare.failed") : ctx.text.message(answer.message)),
                         ctx.theme.error);
    }
    if (view.waits) {
        ui::text_wrapped(std::string(ui::icon::hourglass) + " " + ctx.text("compare.aligning"), ctx.theme.text_dim);
    }
    if (view.text.empty() && !ended(answer) && view.parts.separated().trace == probes::Trace::absent) {
        ui::text_wrapped(std::string(ui::icon::hourglass) + " " + ctx.text("compare.reading_prompt"),
                         ctx.theme.text_dim);
    }
    if (ended(answer) && answer.state != RunState::failed && answer.stop != "cancelled") {
        if (const std::string wordless = ui::wordless_text(ctx.text, answer.text); !wordless.empty()) {
            ui::text_wrapped(wordless, ctx.theme.text_dim);
        }
    }
    // With probabilities every token stays in its place, the reasoning dimmed.
    if (mode_ != Mode::probability) {
        view.parts.draw_reasoning(ctx, view.of);
        if (ended(answer) && view.parts.answer().empty() && view.parts.separated().trace == probes::Trace::present) {
            ui::text_wrapped(ctx.text("compare.reasoning_only"), ctx.theme.text_dim);
        }
    }
    const auto styles = answer_styles(ctx.theme);
    const TextView::Result shown = view.text.draw(ctx, ImGui::GetContentRegionAvail().x, styles);
    if (mode_ == Mode::probability && shown.hovered) {
        const auto group = static_cast<std::size_t>(
            std::upper_bound(view.group_ends.begin(), view.group_ends.end(), *shown.hovered) - view.group_ends.begin());
        if (group < view.groups.size()) {
            double log_probability = 0;
            for (std::uint32_t i = view.groups[group].first; i < view.groups[group].last; ++i) {
                log_probability += answer.tokens[i].chosen.log_probability;
            }
            if (ui::begin_tooltip()) {
                ImGui::TextUnformatted(
                    ctx.text
                        .format("compare.token_tip", {{"p", ctx.text.number(100 * std::exp(log_probability), 3)},
                                                      {"log", ctx.text.number(log_probability, 3)}})
                        .c_str());
                ImGui::EndTooltip();
            }
            if (ImGui::IsMouseClicked(ImGuiMouseButton_Left)) {
                popup_column_ = index;
                popup_group_ = group;
                open_popup_ = true;
            }
        }
    }
    // Stays at the end while text streams in, unless the reader has scrolled up.
    const float most = ImGui::GetScrollMaxY();
    if (!ended(answer) && ImGui::GetScrollY() >= view.last_scroll_max - 1) {
        ImGui::SetScrollHereY(1);
    }
    view.last_scroll_max = most;
}

void ComparePanel::draw_foot(ui::Context& ctx, std::size_t index) {
    const Column& column = columns_[index];
    ImGui::Separator();
    if (!column.answer) {
        return;
    }
    const Generation& answer = *column.answer;
    ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.text_dim);
    std::string counts = counts_text(ctx, answer);
    if (mode_ == Mode::difference && views_[index].same >= 0) {
        counts = ctx.text.format("compare.same_words", {{"share", ui::percent_text(ctx.text, views_[index].same)}}) +
                 " · " + counts;
    }
    if (const std::string system = base::text_of(answer.manifest, "system"); !system.empty()) {
        counts += " · " + ctx.text.format("compare.with_system", {{"text", in_one_line(system, 60)}});
    }
    ui::text_elided(counts, ImGui::GetContentRegionAvail().x);
    ImGui::PopStyleColor();
    shown_tooltip(ctx, answer.shown);
    if (base::text_of(answer.manifest, "template") == "server") {
        ui::tooltip(ctx.text("servers.shown_unknown"));
    }
    if (!ended(answer)) {
        ui::row_badge(ctx, ui::icon::play, ctx.text("compare.streaming"), ui::Tone::accent);
    } else {
        View& view = views_[index];
        label(view, answer);
        if (!view.delivery.empty()) {
            ui::row_badge(ctx, ui::icon::warning, ctx.text("probe.delivery." + view.delivery), ui::Tone::warning);
            ui::tooltip(ctx.text.format("compare.label_tip", {{"rule", ctx.text.message(view.rule)}}));
        }
        const char* stop = ui::stop_text(ctx.text, answer.stop);
        if (!view.delivery.empty()) {
            ui::flow(ImGui::CalcTextSize(stop).x);
        }
        ImGui::AlignTextToFramePadding();
        ui::text_elided(stop, ImGui::GetContentRegionAvail().x);
    }
    const char* copy = ctx.text.label("compare.copy");
    const char* base = ctx.text.label("compare.make_base");
    const char* routing = ctx.text.label("compare.open_routing");
    const bool base_button = mode_ == Mode::difference && columns_.size() > 2 && index != base_;
    // The routing of an answer is looked at in the session that has it.
    const std::unique_ptr<RoutingOfAnswer> of = column.session == 0 ? routing_of_answer(ctx.snapshot, answer) : nullptr;
    const float space = ImGui::GetStyle().ItemSpacing.x;
    const float copying = ui::note_button_width() + space + ui::button_width(copy);
    const float buttons =
        copying + (base_button ? ui::button_width(base) + space : 0) + (of ? ui::button_width(routing) + space : 0);
    const auto at_right = [](float width) {
        ui::flow(width);
        ImGui::SetCursorPosX(ImGui::GetCursorPosX() + std::max(0.0f, ImGui::GetContentRegionAvail().x - width));
    };
    const auto copy_button = [&] {
        ui::note_button(ctx, "note", {.kind = history::NotePlace::Kind::answer, .run = answer.id});
        ImGui::SameLine();
        if (ui::button(copy)) {
            ImGui::SetClipboardText(displayable(answer.text).c_str());
        }
    };
    // Copy stays in the first row, where all columns have it; what has no room beside it stands below.
    const float left = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x - ImGui::GetItemRectMax().x;
    const bool together = buttons + space <= left || copying + space > left;
    if (!together) {
        at_right(copying);
        copy_button();
    }
    if (together || base_button || of) {
        at_right(together ? buttons : buttons - copying - space);
    }
    if (base_button) {
        if (ui::button(base)) {
            base_ = index;
        }
        if (of || together) {
            ImGui::SameLine();
        }
    }
    if (of) {
        if (ui::button(routing, of->run != 0 || ctx.connected(), ctx.text("runs.offline"))) {
            open_routing(ctx, *of);
        }
        ui::tooltip(ctx.text(of->run != 0 ? "compare.open_routing.help" : "compare.read_routing.help"));
        if (together) {
            ImGui::SameLine();
        }
    }
    if (together) {
        copy_button();
    }
}

void ComparePanel::draw_alternatives(ui::Context& ctx) {
    if (open_popup_) {
        ImGui::OpenPopup("###compare.alternatives_of");
        open_popup_ = false;
    }
    ImGui::SetNextWindowSize({24 * ctx.em, 0});
    if (!ImGui::BeginPopup("###compare.alternatives_of")) {
        return;
    }
    if (popup_column_ < columns_.size() && columns_[popup_column_].answer &&
        popup_group_ < views_[popup_column_].groups.size()) {
        const Generation& answer = *columns_[popup_column_].answer;
        const TokenGroup group = views_[popup_column_].groups[popup_group_];
        for (std::uint32_t i = group.first; i < group.last && i < answer.tokens.size(); ++i) {
            const protocol::TokenRecord& token = answer.tokens[i];
            ui::section(ctx, ctx.text.format("compare.token_title", {{"n", std::to_string(i + 1)},
                                                                     {"piece", visible_piece(token.chosen.bytes)}}));
            ImGui::PushID(static_cast<int>(i));
            if (token.alternatives.empty()) {
                ui::text_dim(ctx, ctx.text("compare.no_alternatives"));
            } else if (ui::begin_table(ctx, "alternatives",
                                       {{"compare.alternative"}, {"compare.token_id"}, {"compare.chance"}})) {
                for (const protocol::TokenCandidate& candidate : token.alternatives) {
                    const float p = std::exp(candidate.log_probability);
                    ImGui::TableNextRow();
                    ImGui::TableNextColumn();
                    const bool chosen = token.chosen.token < 0 ? candidate.bytes == token.chosen.bytes
                                                               : candidate.token == token.chosen.token;
                    ImGui::TextUnformatted(
                        ((chosen ? std::string(ui::icon::check) + " " : "") + visible_piece(candidate.bytes)).c_str());
                    ImGui::TableNextColumn();
                    ImGui::TextUnformatted(candidate.token < 0 ? "\u2013" : std::to_string(candidate.token).c_str());
                    ImGui::TableNextColumn();
                    ImGui::TextUnformatted(ui::percent_text(ctx.text, p).c_str());
                }
                ImGui::EndTable();
            }
            ImGui::PopID();
        }
    }
    ImGui::EndPopup();
}

namespace {

bool any_unended(const client::Snapshot& snapshot) {
    const auto& answers = snapshot.generations;
    return std::any_of(answers.begin(), answers.end(), [](const auto& entry) { return !ended(*entry.second); });
}

}  // namespace

ui::PanelDescription describe_compare() {
    using ui::Place;
    using Show = ui::Stand::Show;
    return {
        .key = "compare",
        .make = ui::make_panel<ComparePanel>,
        .stands = {{"training", Place::upper, 1},
                   {"compare", Place::whole, 1, Show::front},
                   {"probe", Place::whole, 1}},
        .commands = {{.key = "compare.run",
                      .menu = {"menu.models", 1},
                      .available =
                          [](const ui::Context& ctx) {
                              return ctx.connected() && !ctx.snapshot.node.read_only && !any_unended(ctx.snapshot);
                          },
                      .opens = true},
                     {.key = "compare.cancel",
                      .menu = {"menu.models", 1},
                      .available = [](const ui::Context& ctx) { return ctx.connected() && any_unended(ctx.snapshot); }},
                     {.key = "compare.swap_language", .menu = {"menu.models", 1}, .opens = true}}};
}

}  // namespace moescope::panels
