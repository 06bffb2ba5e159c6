#include "panels/answers/probe.hpp"

#include <algorithm>
#include <cstdlib>
#include <imgui_stdlib.h>
#include <set>
#include <utility>

#include "base/json_fields.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "panels/node/library.hpp"
#include "panels/panels.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/ui/field_label.hpp"
#include "panels/ui/question.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/where.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::RunState;
using nlohmann::json;

constexpr int kFewestTokens = 8, kMostTokens = 4096;
constexpr std::array<const char*, 2> kGroups = {"state", "mirror"};

const json* probe_sets(const client::Snapshot& snapshot) {
    const json& sets = base::member(*snapshot.catalogue, "probe_sets");
    return sets.is_array() ? &sets : nullptr;
}

bool any_active(const client::Snapshot& snapshot) {
    const auto& runs = snapshot.probes;
    return std::any_of(runs.begin(), runs.end(),
                       [](const auto& entry) { return !protocol::ended(entry.second->state); });
}

std::size_t answers_left(const history::ProbeRun& run) {
    return run.planned - std::min(run.planned, run.draws.size());
}

/// The run ended before all its questions were asked, and no other one is under way.
bool can_go_on(const client::Snapshot& snapshot, const history::ProbeRun& run) {
    return protocol::ended(run.state) && run.state != RunState::done && answers_left(run) > 0 && !any_active(snapshot);
}

/// A tree node whose text is cut with an ellipsis instead of at the edge.
bool tree_node(const std::string& title, const std::string& id) {
    const float start = ImGui::GetCursorPosX();
    const bool open =
        ImGui::TreeNodeEx(("###" + id).c_str(), ImGuiTreeNodeFlags_SpanAvailWidth | ImGuiTreeNodeFlags_AllowOverlap);
    ImGui::SameLine(start + ImGui::GetTreeNodeToLabelSpacing());
    ui::text_elided(title, ImGui::GetContentRegionAvail().x);
    return open;
}

}  // namespace

void ProbePanel::take_over(ui::Panel& before) {
    const auto& old = dynamic_cast<const ProbePanel&>(before);
    draws_ = old.draws_;
    max_tokens_ = old.max_tokens_;
    measure_ = old.measure_;
    chat_ = old.chat_;
}

bool ProbePanel::act(const std::string& action, ui::Context& ctx) {
    refresh(ctx);
    if (action == "probes.start") {
        start(ctx);
    } else if (action == "probes.pause") {
        toggle_pause(ctx);
    } else if (action == "probes.cancel") {
        cancel(ctx);
    } else if (const char* tokens = ui::action_value(action, "probes.max_tokens")) {
        max_tokens_ = std::clamp(std::atoi(tokens), kFewestTokens, kMostTokens);
    } else if (action == "probes.merge" || action == "probes.merge_folder") {
        merge_.choose(ctx, action == "probes.merge_folder");
    } else if (const char* path = ui::action_value(action, "probes.merge")) {
        merge_.merge(ctx, path);
    } else if (action == "probes.disagreements") {
        show_disagreements(ctx);
    } else if (action == "probes.consensus") {
        consensus_ = !consensus_;
    } else if (const char* coder = ui::action_value(action, "probes.coder")) {
        ctx.coder = coder;
    } else {
        return act_on_answer(action, ctx);
    }
    return true;
}

void ProbePanel::refresh(ui::Context& ctx) {
    if (seen_version_ == ctx.snapshot.version && seen_language_ == ctx.text.code() && !ctx.selection.probe_answer) {
        return;
    }
    seen_version_ = ctx.snapshot.version;
    seen_language_ = ctx.text.code();
    choose_defaults(ctx);
    auto now = run_or_newest(ctx.snapshot.probes, ctx.selection.probe_run);
    if (now != run_) {
        if (run_ && now && run_->id != now->id) {
            filter_chosen_ = false;  // its models and questions are others
            disagreed_ = consensus_ = false;
        }
        run_ = std::move(now);
        statistics_ = run_ ? read_statistics(run_->statistics) : ProbeStatistics();
    }
    collect_items(ctx);
    if (run_ && !filter_chosen_) {
        filter_ = {"state", "", "", run_->models.empty() ? "" : run_->models.front(), "zh"};
        filter_chosen_ = !run_->models.empty();
    }
    collect_answers(ctx);
    show_wanted_answer(ctx);
    if (const client::CommandResult* started = ui::take_answer(ctx, starting_)) {
        if (started->state != client::CommandResult::State::done) {
            problem_ =
                started->error.empty() ? base::Sentence::verbatim(ctx.text("probe.start_unknown")) : started->error;
        } else if (const std::uint32_t number = base::run_of(started->value); number != 0) {
            ctx.selection.probe_run = number;
        }
    }
}

/// Until a person picks others: set and models of the session's newest run, where node and library have them.
void ProbePanel::choose_as_before(const ui::Context& ctx) {
    if (ctx.snapshot.probes.empty()) {
        return;
    }
    const history::ProbeRun& newest = *ctx.snapshot.probes.rbegin()->second;
    const json* sets = probe_sets(ctx.snapshot);
    if (sets && std::any_of(sets->begin(), sets->end(),
                            [&](const json& set) { return base::text_of(set, "name") == newest.set; })) {
        set_ = newest.set;
    }
    if (newest.models.size() == models_.size() &&
        std::all_of(newest.models.begin(), newest.models.end(),
                    [&](const std::string& name) { return find_model(ctx.snapshot, name) != nullptr; })) {
        std::copy(newest.models.begin(), newest.models.end(), models_.begin());
    }
}

/// The probe for another session's models: set, models and settings, as they stand here.
void ProbePanel::hand_over(ui::Context& ctx, std::uint64_t session) const {
    ctx.sessions.hand_over(session, "probe",
                           [handed = Handed{set_, models_}, draws = draws_, max_tokens = max_tokens_, chat = chat_,
                            system = system_](ui::Panel& panel, ui::Context&) {
                               auto& there = dynamic_cast<ProbePanel&>(panel);
                               there.handed_ = handed;
                               there.draws_ = draws;
                               there.max_tokens_ = max_tokens;
                               there.chat_ = chat;
                               there.system_ = system;
                               there.seen_version_ = ~std::uint64_t{0};
                           });
    ctx.show_panel("probe");
}

/// Those of them that node and library here have. What was trained in a session is another model in the next, though it
/// may be called the same.
void ProbePanel::choose_handed(const ui::Context& ctx) {
    const Handed handed = *std::exchange(handed_, std::nullopt);
    const json* sets = probe_sets(ctx.snapshot);
    if (sets && std::any_of(sets->begin(), sets->end(),
                            [&](const json& set) { return base::text_of(set, "name") == handed.set; })) {
        set_ = handed.set;
        chosen_ = true;
    }
    for (std::size_t i = 0; i < models_.size(); ++i) {
        const client::ModelEntry* model = find_model(ctx.snapshot, handed.models[i]);
        if (model != nullptr && !model->trained_here && models_[1 - i] != handed.models[i]) {
            models_[i] = handed.models[i];
            chosen_ = true;
        }
    }
}

void ProbePanel::choose_defaults(ui::Context& ctx) {
    if (handed_ && !ctx.snapshot.models.empty() && probe_sets(ctx.snapshot)) {
        choose_handed(ctx);
    }
    if (!chosen_) {
        choose_as_before(ctx);
    }
    if (set_.empty()) {
        if (const json* sets = probe_sets(ctx.snapshot); sets && !sets->empty()) {
            set_ = base::text_of(sets->front(), "name");
        }
    }
    for (std::size_t i = 0; i < models_.size(); ++i) {
        if (!models_[i].empty()) {
            continue;
        }
        if (find_model(ctx.snapshot, kDefaultModels[i])) {
            models_[i] = kDefaultModels[i];
            continue;
        }
        for (const client::ModelEntry& model : ctx.snapshot.models) {
            if (model.available && model.name != models_[1 - i] && models_[i].empty()) {
                models_[i] = model.name;
            }
        }
    }
}

const json* ProbePanel::find_set(const ui::Context& ctx) const {
    const std::string& name = run_ ? run_->set : set_;
    if (const json* sets = probe_sets(ctx.snapshot)) {
        for (const json& set : *sets) {
            if (base::text_of(set, "name") == name) {
                return &set;
            }
        }
    }
    return nullptr;
}

std::size_t ProbePanel::items_in_set(const ui::Context& ctx) const {
    const json* sets = probe_sets(ctx.snapshot);
    for (std::size_t i = 0; sets && i < sets->size(); ++i) {
        const json& set = (*sets)[i];
        if (base::text_of(set, "name") != set_) {
            continue;
        }
        const json& items = base::member(set, "items");
        return items.is_array() ? items.size() : base::count_of(set, "items");
    }
    return 0;
}

/// The set's items from the catalogue; where it names none, those that the run has asked.
void ProbePanel::collect_items(ui::Context& ctx) {
    items_.clear();
    const json* set = find_set(ctx);
    if (set && base::member(*set, "items").is_array()) {
        for (const json& item : base::member(*set, "items")) {
            if (item.is_object()) {
                items_.push_back({base::text_of(item, "id"), base::text_of(item, "group"), base::text_of(item, "topic"),
                                  localized(item, "title", ctx.text.code()), base::text_of(item, "mirrors")});
            }
        }
    }
    if (!items_.empty() || !run_) {
        return;
    }
    std::set<std::string> seen;
    for (const auto& draw : run_->draws) {
        if (seen.insert(draw->item).second) {
            items_.push_back({draw->item, draw->group, draw->topic, draw->item, {}});
        }
    }
}

bool ProbePanel::active() const {
    return run_ && !protocol::ended(run_->state);
}

void ProbePanel::start(ui::Context& ctx) {
    problem_ = {};
    if (active() || starting_ != 0) {
        return;
    }
    if (set_.empty() || models_[0].empty() || models_[1].empty()) {
        problem_ = base::Sentence::verbatim(ctx.text("probe.not_ready"));
        return;
    }
    if (models_[0] == models_[1]) {
        problem_ = base::Sentence::verbatim(ctx.text("probe.same_model"));
        return;
    }
    // One draw per prompt is greedy; several need sampling, or all would be the same.
    json parameters{
        {"set", set_}, {"models", {models_[0], models_[1]}}, {"draws", draws_}, {"max_tokens", max_tokens_}};
    if (draws_ > 1) {
        parameters["temperature"] = 0.7;
    }
    put_question(parameters, chat_, system_);
    starting_ = ctx.client.send("probe.start", std::move(parameters));
    chosen_ = true;
    filter_chosen_ = false;
}

void ProbePanel::toggle_pause(ui::Context& ctx) {
    if (run_ && run_->state == RunState::running) {
        ctx.client.send("probe.pause", {{"run", run_->id}});
    } else if (run_ && (run_->state == RunState::paused || can_go_on(ctx.snapshot, *run_))) {
        ctx.client.send("probe.resume", {{"run", run_->id}});
    }
}

void ProbePanel::cancel(ui::Context& ctx) {
    if (active()) {
        ctx.client.send("probe.cancel", {{"run", run_->id}});
    }
}

std::string ProbePanel::topic_title(const ui::Context& ctx, const std::string& topic) const {
    if (const auto found = statistics_.topics.find(topic); found != statistics_.topics.end()) {
        if (const auto title = found->second.find(ctx.text.code());
            title != found->second.end() && !title->second.empty()) {
            return title->second;
        }
    }
    if (const json* set = find_set(ctx)) {
        if (const std::string title = localized(base::member(*set, "topics"), topic.c_str(), ctx.text.code());
            !title.empty()) {
            return title;
        }
    }
    return topic;
}

/// The first word of the title, where that tells the run's models apart: table columns are narrow.
std::string ProbePanel::short_title(const ui::Context& ctx, const std::string& name) const {
    const auto first_word = [&](const std::string& model) {
        const std::string title = model_title(ctx, model);
        return history::is_checkpoint_name(model) ? title : title.substr(0, title.find(' '));
    };
    const std::string word = first_word(name);
    for (const std::string& other : statistics_.models) {
        if (other != name && first_word(other) == word) {
            return model_title(ctx, name);
        }
    }
    return word;
}

std::string ProbePanel::side_title(const ui::Context& ctx, const ProbeSide& side) const {
    return short_title(ctx, side.model) +
           ctx.text.format("common.in_brackets", {{"text", ctx.text("probe.language." + side.language)}});
}

void ProbePanel::draw(ui::Context& ctx) {
    refresh(ctx);
    draw_settings(ctx);
    watch(ctx);
    if (!problem_.empty() &&
        ui::banner(ctx, ui::Tone::error, ctx.text.message(problem_), ctx.text.label("probe.dismiss"))) {
        problem_ = {};
    }
    draw_plan_line(ctx);
    if (!run_) {
        if (ui::empty_state(ctx, ui::icon::scales, "probe.empty", "probe.start")) {
            start(ctx);
        }
        return;
    }
    draw_run_bar(ctx);
    if (ImGui::GetContentRegionAvail().x < 42 * ctx.em) {
        draw_below(ctx);
    } else {
        draw_beside(ctx);
    }
}

/// Table and answers side by side; in a low window the panel scrolls.
void ProbePanel::draw_beside(ui::Context& ctx) {
    const float width = ImGui::GetContentRegionAvail().x;
    const float height = std::max(18 * ctx.em, ImGui::GetContentRegionAvail().y);
    const bool tree = width > 84 * ctx.em;  // below that the table needs the room
    const float answers = std::clamp(width * 0.33f, 18 * ctx.em, 34 * ctx.em);
    if (tree) {
        if (ui::begin_frame(ctx, "###probe.tree", {12.5f * ctx.em, height})) {
            draw_tree(ctx);
        }
        ui::end_frame();
        ImGui::SameLine();
    }
    const float middle = ImGui::GetContentRegionAvail().x - answers - ImGui::GetStyle().ItemSpacing.x;
    if (ImGui::BeginChild("###probe.middle", {middle, height})) {
        draw_middle(ctx);
    }
    ImGui::EndChild();
    ImGui::SameLine();
    if (ui::begin_frame(ctx, "###probe.answers", {0, height})) {
        draw_answers(ctx);
    }
    ui::end_frame();
}

/// In a narrow panel the answers stand below the table, and the panel scrolls.
void ProbePanel::draw_below(ui::Context& ctx) {
    if (ImGui::BeginChild("###probe.middle", {0, 0}, ImGuiChildFlags_AutoResizeY)) {
        draw_middle(ctx);
    }
    ImGui::EndChild();
    if (ui::begin_frame(ctx, "###probe.answers", {0, 32 * ctx.em})) {
        draw_answers(ctx);
    }
    ui::end_frame();
}

void ProbePanel::draw_settings(ui::Context& ctx) {
    const float combo = 14 * ctx.em, field = 4 * ctx.em;
    const json* sets = probe_sets(ctx.snapshot);
    const auto title_of = [&](const json& set) {
        const std::string title = localized(set, "title", ctx.text.code());
        return title.empty() ? base::text_of(set, "name") : title;
    };
    if (ui::has_choice_of_session(ctx)) {
        if (const auto session = ui::choose_session(ctx)) {
            hand_over(ctx, *session);
        }
        ui::flow(combo);
    }
    ImGui::BeginDisabled(active());
    ui::next_field(combo);
    std::string set_title = set_.empty() ? ctx.text("probe.no_set") : set_;
    for (std::size_t i = 0; sets && i < sets->size(); ++i) {
        if (base::text_of((*sets)[i], "name") == set_) {
            set_title = title_of((*sets)[i]);
        }
    }
    // The field has room for the name of a set, not for what it says about itself.
    for (const char* colon : {":", "：", "(", "（"}) {
        if (const std::size_t end = set_title.find(colon); end != std::string::npos && end > 0) {
            set_title.resize(end);
        }
    }
    if (ui::begin_combo("###probe.set", set_title.c_str())) {
        for (std::size_t i = 0; sets && i < sets->size(); ++i) {
            if (ImGui::Selectable((title_of((*sets)[i]) + "###set" + std::to_string(i)).c_str(),
                                  base::text_of((*sets)[i], "name") == set_)) {
                set_ = base::text_of((*sets)[i], "name");
                chosen_ = true;
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(ctx.text("probe.set_help"));
    for (std::size_t side = 0; side < models_.size(); ++side) {
        ImGui::PushID(static_cast<int>(side));
        ui::flow(combo);
        ui::next_field(combo);
        if (model_combo(ctx, "###probe.model", models_[side],
                        models_[side].empty() ? ctx.text("probe.no_model") : model_title(ctx, models_[side]).c_str(),
                        Offer::with_sets)) {
            chosen_ = true;
        }
        ImGui::PopID();
    }
    const auto number = [&](const char* key, int& value, int low, int high) {
        ui::flow(field + ui::field_label_width(ctx, key));
        ui::field_label(ctx, key);
        ui::next_field(field);
        double now = value;
        if (ui::number_field(ctx, (std::string("###") + key).c_str(), fields_[key], now,
                             {static_cast<double>(low), static_cast<double>(high), "%.0f", true})) {
            value = static_cast<int>(now);
        }
    };
    number("probe.draws", draws_, 1, 20);
    ui::tooltip(ctx.text("probe.draws_help"));
    number("probe.max_tokens", max_tokens_, kFewestTokens, kMostTokens);
    question_fields(ctx, "probe.system", chat_, system_);
    ImGui::EndDisabled();
    const char* label = ctx.text.label("probe.start");
    ui::flow(ui::button_width(label));
    ImGui::BeginDisabled(active() || starting_ != 0);
    if (ui::primary_button(ctx, label)) {
        start(ctx);
    }
    ImGui::EndDisabled();
    ui::command_tooltip(ctx, ctx.text("probe.start.help"), "probes.start");
    for (const auto& [key, number_state] : fields_) {
        if (!number_state.error.empty()) {
            ui::text_wrapped(ctx.text(key) + (ctx.text("common.colon") + number_state.error), ctx.theme.error);
        }
    }
    ask_plan(ctx);
}

/// Each finished edit of a setting is a step that can be taken back.
void ProbePanel::watch(ui::Context& ctx) {
    json state = {{"set", set_},   {"model", models_},  {"draws", draws_},    {"max_tokens", max_tokens_},
                  {"chat", chat_}, {"system", system_}, {"coder", ctx.coder}, {"consensus", consensus_}};
    watch_.follow(ctx, std::move(state), ui::form_field, [this](ui::Context& there, const json& now) {
        there.coder = now.at("coder");
        consensus_ = now.at("consensus");
        set_ = now.at("set");
        models_ = now.at("model");
        draws_ = now.at("draws");
        max_tokens_ = now.at("max_tokens");
        chat_ = now.at("chat");
        system_ = now.at("system");
        chosen_ = true;
    });
}

/// Asks the node once per plan what difference it could show; asked before a run, so that nobody learns it too late.
void ProbePanel::ask_plan(ui::Context& ctx) {
    const std::size_t items = items_in_set(ctx);
    if (items == 0 || ctx.snapshot.link.state != client::Link::State::connected) {
        return;
    }
    const std::string plan = std::to_string(items) + " " + std::to_string(draws_) + " " + models_[0] + " " + models_[1];
    if (plan == planned_for_) {
        return;
    }
    planned_for_ = plan;
    // Half of the prompts are about the state, half are mirrors; a test has one half.
    planning_ = ctx.client.send("probe.plan",
                                {{"items", (items + 1) / 2}, {"draws", draws_}, {"models", {models_[0], models_[1]}}});
}

void ProbePanel::draw_plan_line(ui::Context& ctx) {
    std::string line;
    const auto points = [&](double difference) { return ctx.text.number(100 * difference, 2); };
    if (run_ && !statistics_.detectable.empty()) {
        const auto& [group, known] =
            *std::max_element(statistics_.detectable.begin(), statistics_.detectable.end(),
                              [](const auto& a, const auto& b) { return a.second.first < b.second.first; });
        line = known.second
                   ? ctx.text.format("probe.detectable", {{"n", std::to_string(known.first)},
                                                          {"points", points(*known.second)},
                                                          {"power", ui::percent_text(ctx.text, statistics_.power)},
                                                          {"alpha", ctx.text.number(statistics_.alpha, 2)}})
                   : ctx.text.format("probe.not_detectable", {{"n", std::to_string(known.first)}});
    } else if (const auto plan = ctx.snapshot.results.find(planning_);
               planning_ != 0 && plan != ctx.snapshot.results.end() && plan->second.value.is_object()) {
        const json& value = plan->second.value;
        const auto n = std::to_string((items_in_set(ctx) + 1) / 2);
        const auto detectable = base::as_number(base::member(value, "detectable_difference"));
        line = detectable ? ctx.text.format("probe.plan", {{"n", n}, {"points", points(*detectable)}})
                          : ctx.text.format("probe.not_detectable", {{"n", n}});
        // The node's time is for the prompts of one group; the run asks both.
        if (const auto seconds = base::as_number(base::member(value, "seconds"))) {
            line += " " + ctx.text.format("probe.plan_time", {{"time", ui::duration_text(ctx.text, 2 * *seconds)}});
        }
    }
    if (!line.empty()) {
        ui::text_wrapped(std::string(ui::icon::info) + "  " + line, ctx.theme.text_dim);
    }
}

void ProbePanel::draw_run_bar(ui::Context& ctx) {
    if (ctx.snapshot.probes.size() > 1) {
        ui::next_field(12 * ctx.em);
        if (ui::begin_combo("###probe.run", run_->name.c_str())) {
            for (const auto& [id, run] : ctx.snapshot.probes) {
                if (ImGui::Selectable((run->name + "###run" + std::to_string(id)).c_str(), id == run_->id)) {
                    ctx.selection.probe_run = id;
                    seen_version_ = ~std::uint64_t{0};
                    filter_chosen_ = false;
                }
            }
            ImGui::EndCombo();
        }
        ImGui::SameLine();
    }
    ImGui::BeginGroup();
    ImGui::SetCursorPosY(ImGui::GetCursorPosY() + (ImGui::GetFrameHeight() - ImGui::GetTextLineHeight()) / 2);
    ui::state_badge(ctx, run_->state);
    ImGui::EndGroup();
    std::string progress =
        ctx.text.format("probe.progress", {{"done", ctx.text.number(std::uint64_t{run_->draws.size()})},
                                           {"planned", ctx.text.number(std::uint64_t{run_->planned})}});
    if (run_->state == RunState::running && run_->seconds_left > 0) {
        progress +=
            " · " + ctx.text.format("probe.time_left", {{"time", ui::duration_text(ctx.text, run_->seconds_left)}});
    }
    const float fraction =
        run_->planned > 0 ? static_cast<float>(run_->draws.size()) / static_cast<float>(run_->planned) : 0;
    // As wide as its text and a bar that can be read; where there is no room for a bar, the text alone. The buttons
    // follow in the same row or in the next.
    const float least = 4.0f / 3 * ImGui::CalcTextSize(progress.c_str()).x + 2 * ctx.em;
    ui::flow(least);
    const float room = ImGui::GetContentRegionAvail().x;
    if (least > room) {
        ui::text_wrapped(progress);
    } else {
        ui::meter(ctx, fraction, progress, std::min(room, std::max(least, 36 * ctx.em)));
    }
    draw_run_buttons(ctx);
    if (!run_->message.empty()) {
        ui::banner(ctx, run_->state == RunState::failed ? ui::Tone::error : ui::Tone::warning,
                   ctx.text.message(run_->message));
    }
}

void ProbePanel::draw_run_buttons(ui::Context& ctx) {
    merge_.draw_button(ctx);
    const auto next = [](const char* label) {
        ui::flow(ui::button_width(label));
        return ui::button(label);
    };
    if (can_go_on(ctx.snapshot, *run_)) {
        const std::string label =
            ctx.text.format("probe.go_on", {{"left", ctx.text.number(std::uint64_t{answers_left(*run_)})},
                                            {"planned", ctx.text.number(std::uint64_t{run_->planned})}}) +
            "###probe.go_on";
        if (next(label.c_str())) {
            toggle_pause(ctx);
        }
        ui::command_tooltip(ctx, ctx.text("probe.go_on.help"), "probes.pause");
        return;
    }
    const bool running = run_->state == RunState::running;
    if (!running && run_->state != RunState::paused) {
        return;
    }
    if (next(ctx.text.label(running ? "probe.pause" : "probe.resume"))) {
        toggle_pause(ctx);
    }
    ui::command_tooltip(ctx, ctx.text(running ? "probe.pause.help" : "probe.resume.help"), "probes.pause");
    if (next(ctx.text.label("probe.cancel"))) {
        cancel(ctx);
    }
    ui::command_tooltip(ctx, ctx.text("probe.cancel.help"), "probes.cancel");
}

void ProbePanel::draw_tree(ui::Context& ctx) {
    for (const char* group : kGroups) {
        ImGui::PushID(group);
        ImGui::SetNextItemOpen(true, ImGuiCond_Once);
        const std::string key = std::string("probe.group_tree.") + group;
        if (tree_node(ctx.text(key), group)) {
            std::vector<std::string> topics;
            for (const Item& item : items_) {
                if (item.group == group && std::find(topics.begin(), topics.end(), item.topic) == topics.end()) {
                    topics.push_back(item.topic);
                }
            }
            for (const std::string& topic : topics) {
                draw_topic(ctx, group, topic);
            }
            ImGui::TreePop();
        }
        ImGui::PopID();
    }
}

void ProbePanel::draw_topic(ui::Context& ctx, const std::string& group, const std::string& topic) {
    const std::string title = topic_title(ctx, topic);
    if (!tree_node(title, topic)) {
        return;
    }
    for (const Item& item : items_) {
        if (item.group != group || item.topic != topic) {
            continue;
        }
        const std::string name = item.title.empty() ? item.id : item.title;
        const bool chosen = filter_.item == item.id;
        const bool picked = ImGui::Selectable(("###" + item.id).c_str(), chosen, ImGuiSelectableFlags_AllowOverlap);
        const bool hovered = ImGui::IsItemHovered(ImGuiHoveredFlags_DelayShort);
        ImGui::SameLine(0, 0);
        ui::text_elided(name, ImGui::GetContentRegionAvail().x);
        if (picked) {
            filter_ = {item.group, item.topic, item.id, "", ""};
            disagreed_ = false;
            filter_chosen_ = true;
            collect_answers(ctx);
        }
        if (!hovered) {
            continue;
        }
        const auto mirrored = std::find_if(items_.begin(), items_.end(), [&](const Item& other) {
            return (!item.mirrors.empty() && other.id == item.mirrors) || other.mirrors == item.id;
        });
        if (mirrored != items_.end()) {
            ui::tooltip(name + "\n" + ctx.text.format("probe.mirror_of", {{"name", mirrored->title}}));
        }
    }
    ImGui::TreePop();
}

namespace {

bool can_start(const ui::Context& ctx) {
    return ctx.connected() && !any_active(ctx.snapshot);
}

bool can_pause(const ui::Context& ctx) {
    const auto run = run_or_newest(ctx.snapshot.probes, ctx.selection.probe_run);
    return ctx.connected() && run &&
           (run->state == RunState::running || run->state == RunState::paused || can_go_on(ctx.snapshot, *run));
}

bool can_cancel(const ui::Context& ctx) {
    const auto run = run_or_newest(ctx.snapshot.probes, ctx.selection.probe_run);
    return ctx.connected() && run && !protocol::ended(run->state);
}

bool can_merge(const ui::Context& ctx) {
    return ctx.connected() && ctx.snapshot.link.address.empty() && !ctx.snapshot.probes.empty();
}

bool has_answers(const ui::Context& ctx) {
    const auto run = run_or_newest(ctx.snapshot.probes, ctx.selection.probe_run);
    return run && !run->draws.empty();
}

}  // namespace

ui::PanelDescription describe_probe() {
    using ui::Place;
    using Show = ui::Stand::Show;
    ui::PanelDescription description{
        .key = "probe",
        .make = ui::make_panel<ProbePanel>,
        .stands = {{"training", Place::upper, 2},
                   {"compare", Place::whole, 2},
                   {"probe", Place::whole, 2, Show::front}},
        .commands = {
            {.key = "probes.start", .menu = {"menu.probes", 0}, .available = can_start, .opens = true},
            {.key = "probes.pause", .menu = {"menu.probes", 0}, .available = can_pause},
            {.key = "probes.cancel", .menu = {"menu.probes", 0}, .available = can_cancel},
            {.key = "probes.merge", .menu = {"menu.probes", 2}, .available = can_merge, .opens = true},
            {.key = "probes.merge_folder", .menu = {"menu.probes", 2}, .available = can_merge, .opens = true}}};
    for (std::string& action : ProbePanel::answer_actions()) {
        description.commands.push_back(
            {.key = std::move(action), .menu = {"menu.probes", 1}, .available = has_answers, .while_open = true});
    }
    return description;
}

}  // namespace moescope::panels
