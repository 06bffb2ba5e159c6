#include "panels/routing/token_view.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <set>

#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "panels/node/tasks.hpp"
#include "panels/panels.hpp"
#include "panels/routing/figure_view.hpp"
#include "panels/routing/read_again.hpp"
#include "panels/routing/routed_runs.hpp"
#include "panels/routing/routing_link.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/routing/trace_head.hpp"
#include "panels/ui/field_label.hpp"
#include "panels/ui/notes.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/view_parts.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::RunRouting;
using nlohmann::json;

constexpr float kBeside = 66;                    ///< em, from which text and decision stand beside one another
constexpr std::uint64_t kMostWithScores = 4096;  ///< tokens of a text that is read again with the scores of all experts
constexpr std::size_t kMostLegend = 24;          ///< experts named in the legend
constexpr std::size_t kWholeReason = 300;        ///< bytes of why a reading was cut off
constexpr std::size_t kLongestTitle = 40;        ///< bytes, of a part that is read again

struct ExportFormat {
    const char* name;    ///< of route.export
    const char* ending;  ///< of the file
};
constexpr std::array<ExportFormat, 4> kFormats = {
    {{"text", ".jsonl"}, {"columns", ".trace"}, {"safetensors", ".safetensors"}, {"csv", ".csv"}}};

/// Its pages were all made, as far as the trace goes.
template <class State>
bool up_to_date(const State& state, const routing::PackedTrace& trace) {
    return state.done >= trace.chunks();
}

/// The run whose routing is asked for, when it ended without any: failed, stopped or interrupted.
const history::RouteRun* ended_without(const ui::Context& ctx) {
    const auto run = ctx.snapshot.routes.find(ctx.selection.routing_run);
    if (run == ctx.snapshot.routes.end() || !protocol::ended(run->second->state) ||
        run->second->state == history::RunState::done) {
        return nullptr;
    }
    const auto routing = ctx.snapshot.routing.find(run->first);
    const bool any = routing != ctx.snapshot.routing.end() &&
                     (routing->second->tokens > 0 || (routing->second->trace && routing->second->trace->chunks() > 0));
    return any ? nullptr : run->second.get();
}

bool has_routing(const ui::Context& ctx) {
    return shown_routing(ctx) != nullptr;
}

/// `log`: natural logarithm.
std::string probability_text(const ui::Language& text, const char* key, float log) {
    return text.format(key, {{"log", text.number(static_cast<double>(log), 4)},
                             {"p", ui::percent_text(text, std::exp(static_cast<double>(log)))}});
}

}  // namespace

void RoutingPanel::take_over(ui::Panel& before) {
    const auto& old = dynamic_cast<const RoutingPanel&>(before);
    colour_ = old.colour_;
    rank_ = old.rank_;
    form_.take_over(old.form_);
}

bool RoutingPanel::act(const std::string& action, ui::Context& ctx) {
    if (action == "routing.read") {
        form_open_ = true;
    } else if (const char* model = ui::action_value(action, "routing.read.model")) {
        form_.set_model(model);
    } else if (const char* tokens = ui::action_value(action, "routing.read.corpus")) {
        form_.read_corpus(ctx, static_cast<int>(std::strtol(tokens, nullptr, 10)));
    } else if (const char* read = ui::action_value(action, "routing.read")) {
        form_.read(ctx, read);
    } else if (action == "routing.token_next" || action == "routing.token_previous") {
        step_token(ctx, action == "routing.token_next" ? 1 : -1);
    } else if (action == "routing.layer_next" || action == "routing.layer_previous") {
        step_layer(ctx, action == "routing.layer_next" ? 1 : -1);
    } else if (action == "routing.copy_link") {
        copy_link(ctx);
    } else if (action == "routing.open_link") {
        const char* text = ImGui::GetClipboardText();
        open_link(ctx, text != nullptr ? text : "");
    } else if (const char* link = ui::action_value(action, "routing.open_link")) {
        open_link(ctx, link);
    } else if (action == "notes.token") {
        if (const auto routing = shown_routing(ctx); routing && ctx.selection.routing_token >= 0) {
            ui::write_note(ctx, {.kind = history::NotePlace::Kind::token,
                                 .run = routing->run,
                                 .token = static_cast<std::uint64_t>(ctx.selection.routing_token)});
        }
    } else if (action == "routing.import") {
        ctx.choose_file(ctx.text("command.routing.import"), "routing",
                        [this](const std::string& path) { import_next_ = path; });
    } else if (const char* file = ui::action_value(action, "routing.import")) {
        import_next_ = file;
    } else if (action == "routing.export") {
        export_trace(ctx, kFormats.front().name);
    } else if (const char* format = ui::action_value(action, "routing.export")) {
        export_trace(ctx, format);
    } else if (const char* name = ui::action_value(action, "routing.colour")) {
        colour_ = token_colour_named(name).value_or(colour_);
    } else {
        return false;
    }
    return true;
}

const std::vector<std::shared_ptr<const TokenPage>>& RoutingPanel::pages() const {
    static const std::vector<std::shared_ptr<const TokenPage>> kNone;
    return state_ ? state_->figure.pages() : kNone;
}

/// Where the answer begins in a trace of prompt and answer: the node counts the prompt at its end, until then the
/// answer's tokens tell.
void RoutingPanel::find_answer(const ui::Context& ctx, const RunRouting& routing, bool growing) {
    std::uint32_t said_by = routing.run;
    if (const auto read = ctx.snapshot.routes.find(routing.run); read != ctx.snapshot.routes.end()) {
        said_by = base::run_of(base::member(read->second->manifest, "from"));  // an answer that is read again
    }
    const auto generation = ctx.snapshot.generations.find(said_by);
    if (generation == ctx.snapshot.generations.end()) {
        return;
    }
    const history::Generation& answer = *generation->second;
    if (answer.prompt_tokens > 0) {
        answer_ = answer.prompt_tokens;
        return;
    }
    if (!growing || answer_ || said_by != routing.run || answer_looked_at_ == routing.tokens || !state_) {
        return;
    }
    answer_looked_at_ = routing.tokens;
    std::vector<std::int32_t> trace, said;
    for (const auto& page : pages()) {
        trace.insert(trace.end(), page->ids.begin(), page->ids.end());
    }
    for (const protocol::TokenRecord& token : answer.tokens) {
        said.push_back(token.chosen.token);
    }
    answer_ = answer_begin(trace, said);
}

void RoutingPanel::refresh(ui::Context& ctx, const RunRouting& routing) {
    const bool growing = grows(ctx.snapshot, routing);
    if (trace_ != routing.trace) {
        trace_ = routing.trace;
        dispose(ctx, job_);
        state_.reset();
        text_.reset();
        answer_.reset();
        answer_looked_at_ = 0;
        sight_first_ = sight_last_ = 0;
        scaled_with_ = 0;
        no_values_ = false;
        colouring_.scale = {};
        counts_.clear();
    }
    find_answer(ctx, routing, growing);
    const bool other_cut = job_answer_ != answer_;
    const bool begin = !state_ || other_cut || (!job_ && state_->problem.empty() && !up_to_date(*state_, *trace_));
    if (begin) {
        job_answer_ = answer_;
        follows_ = growing;
        dispose(ctx, job_);
        job_ = std::make_unique<Job>(trace_, TokenPages(answer_), growing);
        if (!state_) {
            state_ = job_->latest();
        }
    }
    if (job_) {
        auto latest = job_->latest();
        // What was read anew takes the place of what is on show when it has come as far.
        if (latest->figure.end() >= state_->figure.end() || latest->finished) {
            state_ = std::move(latest);
        }
        if (state_->finished || (!growing && up_to_date(*state_, *trace_))) {
            dispose(ctx, job_);
        } else if (!up_to_date(*state_, *trace_)) {
            ctx.draw_within(0.1);
        }
    }
}

void RoutingPanel::step_token(ui::Context& ctx, std::int64_t by) {
    const auto routing = shown_routing(ctx);
    if (!routing || routing->tokens == 0) {
        return;
    }
    const auto last = static_cast<std::int64_t>(routing->tokens) - 1;
    const std::int64_t now = ctx.selection.routing_token;
    ctx.selection.routing_token = now < 0 ? (by > 0 ? static_cast<std::int64_t>(sight_first_) : last)
                                          : std::clamp<std::int64_t>(now + by, 0, last);
}

void RoutingPanel::step_layer(ui::Context& ctx, int by) {
    const auto routing = shown_routing(ctx);
    if (!routing || routing->trace->spec().routed_layers.empty()) {
        return;
    }
    const std::vector<int>& layers = routing->trace->spec().routed_layers;
    const auto at = static_cast<int>(selected_place(ctx.selection, routing->trace->spec()));
    const int next = std::clamp(at + by, 0, static_cast<int>(layers.size()) - 1);
    ctx.selection.layer = layers[static_cast<std::size_t>(next)];
    ctx.selection.expert = -1;
}

void RoutingPanel::take_key(ui::Context& ctx, ImGuiKey key) {
    const std::int64_t now = ctx.selection.routing_token;
    const auto lines = static_cast<int>(text_.lines_in_sight());
    switch (key) {
        case ImGuiKey_LeftArrow:
            return step_token(ctx, -1);
        case ImGuiKey_RightArrow:
            return step_token(ctx, 1);
        case ImGuiKey_UpArrow:
            return step_layer(ctx, -1);
        case ImGuiKey_DownArrow:
            return step_layer(ctx, 1);
        case ImGuiKey_Home:
            ctx.selection.routing_token = pages().empty() ? -1 : static_cast<std::int64_t>(pages().front()->first);
            return;
        case ImGuiKey_End:
            ctx.selection.routing_token =
                state_ && state_->figure.end() > 0 ? static_cast<std::int64_t>(state_->figure.end()) - 1 : -1;
            return;
        case ImGuiKey_PageUp:
        case ImGuiKey_PageDown:
            if (now < 0) {
                step_token(ctx, key == ImGuiKey_PageDown ? 1 : -1);
            } else {
                ctx.selection.routing_token = static_cast<std::int64_t>(text_.token_lines_away(
                    pages(), static_cast<std::uint64_t>(now), key == ImGuiKey_PageDown ? lines : -lines));
            }
            return;
        default:
            return;
    }
}

void RoutingPanel::copy_link(ui::Context& ctx) {
    const auto routing = shown_routing(ctx);
    if (!routing) {
        return;
    }
    RoutingLink link{.run = routing->run};
    link.colour = colour_;
    if (ctx.selection.routing_token >= 0) {
        link.token = ctx.selection.routing_token;
    }
    if (ctx.selection.layer >= 0) {
        link.layer = ctx.selection.layer;
    }
    if (ctx.selection.expert >= 0) {
        link.expert = ctx.selection.expert;
    }
    if (rank_ > 0) {
        link.rank = static_cast<std::size_t>(rank_);
    }
    const std::string text = to_text(link);
    ImGui::SetClipboardText(text.c_str());
    ctx.notify(ctx.text.format("routing.link.copied", {{"link", text}}), false);
}

/// Nothing changes unless all of it can be shown.
void RoutingPanel::open_link(ui::Context& ctx, const std::string& text) {
    LinkProblem problem;
    const std::optional<RoutingLink> link = parse_link(text, problem);
    const auto refuse = [&](const char* key, const std::string& what) {
        ctx.notify(ctx.text.format(key, {{"what", what}}), true);
    };
    if (!link) {
        return refuse(problem.key, problem.what);
    }
    std::shared_ptr<const RunRouting> routing;
    if (link->run == 0) {
        routing = shown_routing(ctx);
    } else if (const auto found = ctx.snapshot.routing.find(link->run); found != ctx.snapshot.routing.end()) {
        routing = found->second;
    }
    if (!routing || !routing->trace) {
        return refuse(link->run == 0 ? "routing.link.empty" : "routing.link.run", std::to_string(link->run));
    }
    const routing::RouterSpec& spec = routing->trace->spec();
    if (link->token && *link->token >= static_cast<std::int64_t>(routing->tokens)) {
        return refuse("routing.link.token", std::to_string(*link->token));
    }
    if (link->layer && routing::routed_place(spec, *link->layer) < 0) {
        return refuse("routing.link.layer", std::to_string(*link->layer));
    }
    if (link->expert && *link->expert >= spec.experts) {
        return refuse("routing.link.expert", std::to_string(*link->expert));
    }
    ctx.selection.routing_run = link->run;
    ctx.selection.routing_token = link->token.value_or(-1);
    ctx.selection.layer = link->layer.value_or(-1);
    ctx.selection.expert = link->expert.value_or(-1);
    colour_ = link->colour.value_or(colour_);
    rank_ = std::clamp(static_cast<int>(link->rank.value_or(0)), 0, std::max(0, spec.experts_per_token - 1));
    ctx.show_panel("routing");
}

void RoutingPanel::export_trace(ui::Context& ctx, const std::string& format) {
    const auto routing = shown_routing(ctx);
    const auto wanted =
        std::find_if(kFormats.begin(), kFormats.end(), [&](const ExportFormat& one) { return format == one.name; });
    if (!routing || wanted == kFormats.end()) {
        return;
    }
    // The client lives as long as its session is on show, and so does what waits for the dialog.
    ctx.choose_target(
        fmt::format("routing-{}{}", routing->run, wanted->ending),
        [&client = ctx.client, run = routing->run, format](const std::string& path) {
            client.send("route.export", {{"run", run}, {"path", path}, {"format", format}, {"replace", true}});
        });
}

ReadAgain RoutingPanel::may_read_token_again(const ui::Context& ctx, const RunRouting& routing) const {
    const ReadAgain again = may_read_again(ctx, routing);
    if (again.possible && routing.tokens > kMostWithScores && ctx.selection.routing_token >= 0) {
        const auto [first, last] = document_of(static_cast<std::uint64_t>(ctx.selection.routing_token));
        if (last - first > kMostWithScores) {
            return {false, ctx.text.format("routing.again.long", {{"n", ctx.text.number(kMostWithScores)}})};
        }
    }
    return again;
}

/// Tokens from the beginning of the token's document up to and with the token.
std::pair<std::uint64_t, std::uint64_t> RoutingPanel::document_of(std::uint64_t token) const {
    std::size_t page = page_holding(pages(), token);
    if (page >= pages().size()) {
        return {token, token + 1};
    }
    const std::uint32_t document = pages()[page]->document;
    while (page > 0 && !pages()[page]->begins_document && pages()[page - 1]->document == document) {
        --page;
    }
    return {pages()[page]->first, token + 1};
}

/// A long text is not read again as a whole: what all experts scored for one token is asked for, and its document up to
/// there is enough to compute that.
void RoutingPanel::read_again(ui::Context& ctx, const RunRouting& routing) {
    if (ui::clicked_again()) {
        return;
    }
    const std::int64_t token = ctx.selection.routing_token;
    std::optional<TracePart> part;
    if (routing.tokens > kMostWithScores && token >= 0) {
        const auto [first, last] = document_of(static_cast<std::uint64_t>(token));
        part = TracePart{first, last, words_of(pages(), first, last, kLongestTitle)};
    }
    if (json parameters = again_parameters(ctx.snapshot, routing, part); !parameters.is_null()) {
        show_or_read_routing(ctx, std::move(parameters),
                             {.token = part ? token - static_cast<std::int64_t>(part->first) : token});
    }
}

void RoutingPanel::draw_above(ui::Context& ctx) {
    follow_reading(ctx);
    if (import_next_) {
        import_routing(ctx, *std::exchange(import_next_, std::nullopt));
    }
}

void RoutingPanel::draw(ui::Context& ctx) {
    const std::shared_ptr<const RunRouting> routing = shown_routing(ctx);
    if (!routing) {
        form_open_ = false;  // it is on show below
        draw_progress(ctx, RunRouting{});
        draw_empty_routing(ctx, ui::icon::branch, "routing.empty", form_);
        return;
    }
    refresh(ctx, *routing);
    if (const history::RouteRun* failed = ended_without(ctx)) {
        draw_toolbar(ctx, *routing);
        draw_failure(ctx, *failed);
        return;
    }
    // Whoever opens another run wants to see that.
    const bool asked = std::exchange(asked_for_, routings_asked_for(ctx)) != routings_asked_for(ctx);
    form_open_ = form_open_ && !asked && (form_over_ == 0 || form_over_ == routing->run);
    draw_toolbar(ctx, *routing);
    form_over_ = form_open_ ? routing->run : 0;
    if (form_open_) {
        if (ui::begin_frame(ctx, "###routing.form", {0, 0}) && form_.draw(ctx)) {
            form_open_ = false;
        }
        ui::end_frame();
        return;
    }
    draw_progress(ctx, *routing);
    draw_colouring(ctx, *routing);
    const ImVec2 room = ImGui::GetContentRegionAvail();
    if (routing->tokens == 0) {
        const bool counts = routing->trace->chunks() > 0;
        ui::text_wrapped(counts ? std::string(ctx.text("routing.counts_only"))
                         : grows(ctx.snapshot, *routing)
                             ? std::string(ctx.text("routing.waiting"))
                             : ctx.text.format("routing.no_routing", {{"run", std::to_string(routing->run)}}),
                         ctx.theme.text_dim);
    } else if (room.x >= kBeside * ctx.em) {
        const float height = std::max(20 * ctx.em, room.y);
        const float left = std::floor(0.46f * room.x);
        draw_text(ctx, *routing, {left, height});
        ImGui::SameLine();
        draw_decision(ctx, *routing, {0, height});
    } else {
        // In a small place both keep a size in which they can be read, and the panel scrolls.
        const bool any = ctx.selection.routing_token >= 0;
        const float height = std::max(any ? 22 * ctx.em : 10 * ctx.em, room.y);
        const float above = any ? std::max(8 * ctx.em, 0.4f * height) : height - 2.5f * ctx.em;
        draw_text(ctx, *routing, {0, above});
        draw_decision(ctx, *routing, {0, std::max(2 * ctx.em, height - above - ImGui::GetStyle().ItemSpacing.y)});
    }
    draw_menu(ctx, *routing);
}

/// Why there is nothing to show, and the form as it was sent: a text that was too long can be made shorter.
void RoutingPanel::draw_failure(ui::Context& ctx, const history::RouteRun& run) {
    ui::banner(ctx, run.state == history::RunState::failed ? ui::Tone::error : ui::Tone::warning,
               run.message.empty() ? ctx.text.format("routing.no_routing", {{"run", std::to_string(run.id)}})
                                   : ctx.text.message(run.message));
    if (ui::begin_frame(ctx, "###routing.form", {0, 0})) {
        form_.draw(ctx);
    }
    ui::end_frame();
}

/// A read that has been asked for, or goes on.
void RoutingPanel::draw_progress(ui::Context& ctx, const RunRouting& routing) {
    const std::uint32_t wanted = ctx.selection.routing_run;
    const auto waits_for = ctx.snapshot.routes.find(wanted);
    const bool other = wanted != 0 && wanted != routing.run;
    if (other && waits_for != ctx.snapshot.routes.end() && protocol::ended(waits_for->second->state)) {
        const history::RouteRun& run = *waits_for->second;
        ui::banner(ctx, run.state == history::RunState::failed ? ui::Tone::error : ui::Tone::warning,
                   run.message.empty() ? ctx.text.format("routing.no_routing", {{"run", std::to_string(wanted)}})
                                       : ctx.text.message(run.message));
    }
    // The tokens that are there look like a whole text.
    if (const auto cut = cut_off(ctx.snapshot, routing); cut && !other && routing.tokens > 0) {
        ui::banner(ctx, ui::Tone::warning, cut_off_text(ctx.text, *cut, kWholeReason));
    }
    const client::Task* task = task_of(ctx.snapshot, other ? wanted : routing.run);
    if (task != nullptr && ctx.snapshot.generations.contains(task->run)) {
        return;  // an answer says itself how far it is
    }
    if (task == nullptr) {
        if (other && waits_for == ctx.snapshot.routes.end() && !ctx.snapshot.routing.contains(wanted)) {
            ui::text_wrapped(std::string(ui::icon::hourglass) + " " + ctx.text("routing.waiting"), ctx.theme.text_dim);
        }
        return;
    }
    std::string line = ctx.text.message(task->detail);
    if (task->seconds_left >= 0) {
        line += (line.empty() ? "" : " \u00b7 ") +
                ctx.text.format("task.left", {{"time", ui::duration_text(ctx.text, task->seconds_left)}});
    }
    const char* cancel = ctx.text.label("common.cancel");
    const bool cancels = !task->cancel_command.empty();
    const float button = cancels ? ui::button_width(cancel) + ctx.em : 0;
    ui::meter(ctx, task->fraction, line.empty() ? ctx.text("routing.reading") : line.c_str(),
              std::max(8 * ctx.em, ImGui::GetContentRegionAvail().x - button));
    if (cancels) {
        ui::flow(button);
        if (ImGui::Button(cancel)) {
            cancel_task(ctx, *task);
        }
    }
}

void RoutingPanel::draw_toolbar(ui::Context& ctx, const RunRouting& routing) {
    const ui::Language& text = ctx.text;
    ui::next_field(20 * ctx.em);
    draw_routing_choice(ctx);
    const bool failed = ended_without(ctx) != nullptr;  // then the form is open, and there is nothing to judge
    const char* read = text.label(form_open_ ? "routing.read.close" : "routing.read.open");
    if (!failed) {
        ui::flow(ui::button_width(read));
        if (ImGui::Button(read)) {
            form_open_ = !form_open_;
        }
        ui::tooltip(text("routing.read.open.help"));
    }
    const char* menu = text.label("routing.menu");
    ui::flow(ui::button_width(menu));
    if (ImGui::Button(menu)) {
        open_menu_ = true;
    }
    ui::tooltip(text("routing.menu.help"));
    if (failed) {
        return;
    }
    if (routing.tokens > 0 || routing.trace->chunks() > 0) {
        ui::flow(ui::badge_width(ctx, ui::icon::check, text("routing.source.recomputed")) + 6 * ctx.em);
        draw_source_badge(ctx, routing);
    }
    if (routing.lost > 0 || (state_ && state_->damaged > 0)) {
        ui::text_wrapped(
            std::string(ui::icon::warning) + " " +
                text.format("routing.damaged",
                            {{"n", text.number(std::max<std::uint64_t>(routing.lost, state_ ? state_->damaged : 0))}}),
            ctx.theme.warning);
    }
}

void RoutingPanel::draw_colouring(ui::Context& ctx, const RunRouting& routing) {
    const ui::Language& text = ctx.text;
    const routing::RouterSpec& spec = routing.trace->spec();
    ui::field_label(ctx, "routing.colour");
    ui::next_field(10 * ctx.em);
    const auto name = [&](TokenColour colour) {
        return text(std::string("routing.colour.") + token_colour_name(colour));
    };
    if (ui::begin_combo("###routing.colour", name(colour_))) {
        for (int i = 0; i < kTokenColours; ++i) {
            const auto colour = static_cast<TokenColour>(i);
            const std::string label = std::string(name(colour)) + "###colour." + token_colour_name(colour);
            if (ImGui::Selectable(label.c_str(), colour == colour_)) {
                colour_ = colour;
            }
            ui::tooltip(text(std::string("routing.colour.") + token_colour_name(colour) + ".help"));
        }
        ImGui::EndCombo();
    }
    ui::tooltip(text("routing.colour.help"));
    const std::size_t place = selected_place(ctx.selection, spec);
    if (colour_ != TokenColour::log_probability && place < spec.routed_layers.size()) {
        ui::flow(ui::field_label_width(ctx, "routing.layer") + 4.2f * ctx.em);
        ui::field_label(ctx, "routing.layer");
        std::size_t chosen = place;
        if (layer_combo(ctx, "###routing.layer", spec, chosen)) {
            ctx.selection.layer = spec.routed_layers[chosen];
            ctx.selection.expert = -1;
        }
        ui::tooltip(text("routing.layer.help"));
    }
    rank_ = std::clamp(rank_, 0, std::max(0, spec.experts_per_token - 1));
    if ((colour_ == TokenColour::expert || colour_ == TokenColour::weight) && spec.experts_per_token > 1) {
        ui::flow(ui::field_label_width(ctx, "routing.rank") + 3.8f * ctx.em);
        ui::field_label(ctx, "routing.rank");
        ui::next_field(3.8f * ctx.em);
        if (ui::begin_combo("###routing.rank", std::to_string(rank_ + 1).c_str())) {
            for (int rank = 0; rank < spec.experts_per_token; ++rank) {
                if (ImGui::Selectable(std::to_string(rank + 1).c_str(), rank == rank_)) {
                    rank_ = rank;
                }
            }
            ImGui::EndCombo();
        }
        ui::tooltip(text("routing.rank.help"));
    }
    if (const Colouring now{colour_, place, static_cast<std::size_t>(rank_), {}}; !now.same_but_scale(colouring_)) {
        colouring_ = now;
        scaled_with_ = 0;
        no_values_ = false;
    }
    draw_legend(ctx, routing);
}

void RoutingPanel::draw_legend(ui::Context& ctx, const RunRouting& routing) {
    if (colour_ == TokenColour::expert) {
        draw_expert_legend(ctx);
    } else if (scaled_with_ > 0) {
        draw_tint_legend(ctx);
    }
    const routing::RouterSpec& spec = routing.trace->spec();
    const int expert = ctx.selection.expert;
    if (colour_ != TokenColour::expert && expert >= 0 && colouring_.place < spec.routed_layers.size()) {
        // Its tokens are marked, whatever the colours stand for.
        const float width = ImGui::CalcTextSize(std::to_string(expert).c_str()).x + 0.8f * ctx.em;
        ui::flow(width);
        draw_chip(ctx, expert, width, [&] {
            return ctx.text.format(
                "routing.mark.tip",
                {{"expert", std::to_string(expert)}, {"layer", std::to_string(spec.routed_layers[colouring_.place])}});
        });
    }
    // The first token of a text has no probability of its own.
    if (no_values_ && (sight_last_ - sight_first_ > 1 || !grows(ctx.snapshot, routing))) {
        draw_no_values(ctx, routing);
    }
}

/// Why there are no tints, and the way to some.
void RoutingPanel::draw_no_values(ui::Context& ctx, const RunRouting& routing) {
    const routing::RouterSpec& spec = routing.trace->spec();
    const bool by_token = colouring_.place < spec.routed_layers.size() &&
                          routing::chooses_by_token(spec, spec.routed_layers[colouring_.place]);
    if (colour_ == TokenColour::log_probability) {
        ui::banner(ctx, ui::Tone::neutral, ctx.text("routing.none.log_probability"));
    } else if (by_token && colour_ != TokenColour::weight) {
        ui::banner(ctx, ui::Tone::neutral, ctx.text("decision.by_token.help"));
    } else if (routing.detail == routing::Detail::scores) {
        ui::banner(ctx, ui::Tone::neutral, ctx.text("decision.unknown_here"));
    } else {
        draw_lack_of_scores(ctx, routing,
                            ctx.text(routing.detail == routing::Detail::ids
                                         ? std::string("routing.ids_only")
                                         : std::string("routing.none.") + token_colour_name(colour_)));
    }
}

/// The number of an expert with its look, of this width: a click marks its tokens, or no longer.
void RoutingPanel::draw_chip(ui::Context& ctx, int expert, float width, const std::function<std::string()>& tip) {
    const float line = ImGui::GetTextLineHeight();
    const bool selected = ctx.selection.expert == expert;
    const ImVec2 at = ImGui::GetCursorScreenPos();
    ImGui::PushID(expert);
    if (ImGui::InvisibleButton("###legend", {width, ImGui::GetFrameHeight()}, ImGuiButtonFlags_EnableNav)) {
        const auto routing = shown_routing(ctx);
        ctx.selection.layer = routing ? routing->trace->spec().routed_layers[colouring_.place] : -1;
        ctx.selection.expert = selected ? -1 : expert;
    }
    const bool marked = ImGui::IsItemHovered() || ImGui::IsItemFocused();
    if (ui::tooltip_due()) {
        ui::tooltip(tip());
    }
    ImGui::PopID();
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const float y = at.y + (ImGui::GetFrameHeight() - line) / 2 - 1;
    const ImVec2 low{at.x, y}, high{at.x + width, y + line + 2};
    const TokenLook look = look_of_expert(ctx.theme, expert);
    draw.AddRectFilled(low, high, look.ground, 2);
    draw.AddText({at.x + 0.4f * ctx.em, y + 1}, ImGui::GetColorU32(ctx.theme.text), std::to_string(expert).c_str());
    if (look.underline != 0) {
        draw.AddRectFilled({low.x, high.y - 2}, high, look.underline);
    }
    if (selected) {
        draw.AddRectFilled({low.x, low.y - 2}, {high.x, low.y}, ImGui::GetColorU32(ctx.theme.text));
    } else if (marked) {
        draw.AddRect(low, high, ImGui::GetColorU32(ctx.theme.text), 2, 1.0f);
    }
}

/// The experts in sight with their looks, the most frequent first: as many as the row has room for.
void RoutingPanel::draw_expert_legend(ui::Context& ctx) {
    std::vector<std::pair<int, std::size_t>> experts(counts_.begin(), counts_.end());
    std::stable_sort(experts.begin(), experts.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    std::size_t all = 0;
    for (const auto& [expert, count] : experts) {
        all += count;
    }
    const float gap = 0.4f * ctx.em;
    const float right = ImGui::GetCursorScreenPos().x + ImGui::GetContentRegionAvail().x;
    std::size_t shown = 0;
    for (const auto& [expert, count] : experts) {
        const std::string number = std::to_string(expert);
        const float width = ImGui::CalcTextSize(number.c_str()).x + 0.8f * ctx.em;
        const std::string more = fmt::format("+{}", experts.size() - shown - 1);
        const float behind = shown + 1 < experts.size() ? gap + ImGui::CalcTextSize(more.c_str()).x : 0;
        if (shown == kMostLegend || ImGui::GetItemRectMax().x + gap + width + behind > right) {
            break;
        }
        ImGui::SameLine(0, gap);
        draw_chip(ctx, expert, width, [&ctx, expert = expert, count = count, all] {
            return ctx.text.format(
                "routing.legend.tip",
                {{"expert", std::to_string(expert)},
                 {"n", ctx.text.number(std::uint64_t{count})},
                 {"all", ctx.text.number(std::uint64_t{all})},
                 {"share", ui::percent_text(ctx.text, static_cast<double>(count) / static_cast<double>(all))}});
        });
        ++shown;
    }
    if (shown == experts.size()) {
        return;
    }
    ImGui::SameLine(0, gap);
    ImGui::AlignTextToFramePadding();
    ui::text_dim(ctx, fmt::format("+{}", experts.size() - shown));
    if (ui::tooltip_due()) {
        std::string rest;
        for (std::size_t i = shown; i < std::min(experts.size(), shown + kMostLegend); ++i) {
            base::append_to_list(
                rest,
                ctx.text.format("routing.legend.more", {{"expert", std::to_string(experts[i].first)},
                                                        {"n", ctx.text.number(std::uint64_t{experts[i].second})}}),
                ctx.text("common.semicolon"));
        }
        ui::tooltip(rest + (experts.size() > shown + kMostLegend ? "\u2026" : ""));
    }
}

void RoutingPanel::draw_tint_legend(const ui::Context& ctx) const {
    const ui::Language& text = ctx.text;
    std::string weak, strong;
    switch (colour_) {
        case TokenColour::weight:
        case TokenColour::entropy:
            weak = text.number(colouring_.scale.low, 3);
            strong = text.number(colouring_.scale.high, 3) +
                     (colour_ == TokenColour::entropy ? " " + std::string(text("routing.nats")) : std::string());
            break;
        case TokenColour::margin:
            weak = text.format("routing.legend.far", {{"n", text.number(3 * colouring_.scale.high, 2)}});
            strong = "0";
            break;
        case TokenColour::log_probability:
            weak =
                text.format("routing.legend.likely", {{"p", ui::percent_text(text, std::exp(-colouring_.scale.low))}});
            strong = text.format("routing.legend.unlikely",
                                 {{"p", ui::percent_text(text, std::exp(-colouring_.scale.high))}});
            break;
        case TokenColour::expert:
            return;
    }
    draw_colour_bar(ctx, weak, strong, [&](double place) { return look_of_strength(ctx.theme, place).ground; });
    ui::tooltip(text(std::string("routing.colour.") + token_colour_name(colour_) + ".help"));
}

namespace {

history::NotePlace note_place(const RunRouting& routing, std::uint64_t token) {
    return {.kind = history::NotePlace::Kind::token, .run = routing.run, .token = token};
}

}  // namespace

void RoutingPanel::draw_tip(const ui::Context& ctx, const RunRouting& routing, std::uint64_t token) {
    const std::size_t page = page_holding(pages(), token);
    if (page >= pages().size() || !ui::begin_tooltip()) {
        return;
    }
    const TokenPage& text = *pages()[page];
    const auto at = static_cast<std::size_t>(token - text.first);
    const routing::RouterSpec& spec = routing.trace->spec();
    ImGui::TextUnformatted(ctx.text
                               .format("routing.tip.token", {{"n", ctx.text.number(token)},
                                                             {"piece", in_line(text.text_of(at))},
                                                             {"id", std::to_string(text.ids[at])}})
                               .c_str());
    const DecisionCache::Place place = cache_.find(token);
    if (place.chunk != nullptr && colouring_.place < spec.routed_layers.size()) {
        const bool rounded = place.chunk->is_rounded(place.at);
        const auto ids = place.chunk->ids.empty() ? std::span<const std::uint16_t>()
                                                  : place.chunk->ids_of(colouring_.place, place.at);
        const auto weights = place.chunk->weights_of(colouring_.place, place.at);
        std::string experts;
        for (std::size_t rank = 0; rank < ids.size(); ++rank) {
            experts += (rank == 0 ? "" : ctx.text("common.comma")) + std::to_string(ids[rank]);
            if (rank < weights.size() && std::isfinite(weights[rank])) {
                experts += ui::in_brackets(ctx.text, score_text(ctx.text, weights[rank]));
            }
        }
        ImGui::TextUnformatted(
            ctx.text
                .format("routing.tip.experts",
                        {{"layer", std::to_string(spec.routed_layers[colouring_.place])},
                         {"experts", experts.empty() ? std::string(ctx.text("decision.unknown_here")) : experts}})
                .c_str());
        const auto value = [&](const std::vector<float>& column) {
            return column.empty() ? std::numeric_limits<float>::quiet_NaN()
                                  : column[place.chunk->cell(colouring_.place, place.at)];
        };
        const float margin = value(place.chunk->margin), entropy = value(place.chunk->entropy);
        std::string numbers;
        if (std::isfinite(margin)) {
            numbers = ctx.text.format("decision.margin.is", {{"n", margin_text(ctx.text, margin, rounded)}});
        }
        if (std::isfinite(entropy)) {
            numbers +=
                (numbers.empty() ? "" : " \u00b7 ") +
                ctx.text.format("decision.entropy.is",
                                {{"entropy", ctx.text.format("effect.nats", {{"n", score_text(ctx.text, entropy)}})}});
        }
        if (!numbers.empty()) {
            ui::text_dim(ctx, numbers);
        }
        if (rounded) {
            ui::text_dim(ctx, ctx.text(rounded_key(margin)));
        }
    }
    if (std::isfinite(text.own[at])) {
        ui::text_dim(ctx, probability_text(ctx.text, "routing.tip.own", text.own[at]));
    }
    if (const float next = own_of(pages(), token + 1); std::isfinite(next)) {
        ui::text_dim(ctx, probability_text(ctx.text, "routing.tip.next", next));
    }
    for (const history::Note* note : ui::notes_on(ctx.snapshot, note_place(routing, token))) {
        ImGui::TextUnformatted(ui::note_text(ctx, *note).c_str());
    }
    if (text.kinds[at] != TokenKind::text) {
        ui::text_dim(ctx, ctx.text(text.kinds[at] == TokenKind::bytes ? "routing.tip.bytes" : "routing.tip.control"));
    }
    ImGui::EndTooltip();
}

/// Tints are relative to the tokens in sight when they were first there; scrolling keeps the scale, and twice as many
/// tokens (a trace that grows) make another.
void RoutingPanel::update_scale(ui::Context& ctx) {
    if (colour_ == TokenColour::expert || sight_last_ - sight_first_ <= 2 * scaled_with_) {
        return;
    }
    std::vector<double> values;
    bool whole = true;  // the decisions of all of them are unpacked
    for (std::uint64_t token = sight_first_; token < sight_last_; ++token) {
        const DecisionCache::Place place = cache_.find(token);
        whole = whole && place.chunk != nullptr;
        const double value = colour_ == TokenColour::log_probability ? static_cast<double>(own_of(pages(), token))
                             : place.chunk != nullptr ? tinted_value(colouring_, *place.chunk, place.at, 0)
                                                      : std::numeric_limits<double>::quiet_NaN();
        if (std::isfinite(value)) {
            values.push_back(value);
        }
    }
    no_values_ = whole && values.empty();
    if (values.size() > 2 * scaled_with_) {
        scaled_with_ = values.size();
        colouring_.scale = scale_of(colour_, std::move(values));
        ctx.draw_within(0);
    }
}

void RoutingPanel::draw_text(ui::Context& ctx, const RunRouting& routing, ImVec2 size) {
    std::map<int, std::size_t> counts;
    std::optional<std::uint64_t> counted;  // the token whose expert was counted last
    TokenTextView::Request request;
    request.pages = &pages();
    request.selected = ctx.selection.routing_token;
    request.answer = job_answer_;
    request.follow = grows(ctx.snapshot, routing);
    request.headings = state_ && state_->figure.many_documents();
    request.look = [&](const TokenPage& page, std::size_t at) -> TokenLook {
        if (colour_ == TokenColour::log_probability) {
            return look_of_strength(ctx.theme, strength(colouring_, static_cast<double>(page.own[at])));
        }
        const DecisionCache::Place place = cache_.find(page.first + at);
        if (place.chunk == nullptr) {
            return {};
        }
        if (colour_ == TokenColour::expert) {
            const std::optional<int> expert =
                expert_at(*place.chunk, colouring_.place, place.at, static_cast<std::size_t>(rank_));
            if (!expert) {
                return {};
            }
            if (counted != page.first + at) {
                counted = page.first + at;
                ++counts[*expert];
            }
            return look_of_expert(ctx.theme, *expert);
        }
        const double value = tinted_value(colouring_, *place.chunk, place.at, page.own[at]);
        return look_of_strength(ctx.theme, strength(colouring_, value));
    };
    if (ctx.selection.expert >= 0) {
        request.marked = [&](const TokenPage& page, std::size_t at) {
            const DecisionCache::Place place = cache_.find(page.first + at);
            return place.chunk != nullptr && chooses(*place.chunk, colouring_.place, place.at, ctx.selection.expert);
        };
    }
    std::set<std::uint64_t> noted;
    for (const auto& [number, note] : *ctx.snapshot.notes) {
        if (note.on.kind == history::NotePlace::Kind::token && note.on.run == routing.run) {
            noted.insert(note.on.token);
        }
    }
    if (!noted.empty()) {
        request.noted = [&](std::uint64_t token) { return noted.contains(token); };
    }
    const ImVec2 corner = ImGui::GetCursorScreenPos();
    text_min_ = corner;
    text_max_ = {corner.x + (size.x > 0 ? size.x : ImGui::GetContentRegionAvail().x), corner.y + size.y};
    const TokenTextView::Result shown = text_.draw(ctx, "###routing.text", size, request);
    counts_ = std::move(counts);
    sight_first_ = shown.first;
    sight_last_ = shown.last;
    if (shown.last > shown.first) {
        cache_.want(ctx, trace_, shown.first, shown.last);
    }
    update_scale(ctx);
    if (shown.clicked) {
        ctx.selection.routing_token = static_cast<std::int64_t>(*shown.clicked);
    }
    if (shown.menu) {
        ctx.selection.routing_token = static_cast<std::int64_t>(*shown.menu);
        open_menu_ = true;
    }
    if (shown.key != ImGuiKey_None) {
        take_key(ctx, shown.key);
    }
    if (shown.hovered && !ImGui::IsMouseDown(ImGuiMouseButton_Left)) {
        draw_tip(ctx, routing, *shown.hovered);
    }
}

void RoutingPanel::draw_token_line(ui::Context& ctx, const RunRouting& routing, const TokenPage& page, std::size_t at) {
    const auto arrow = [&](const char* icon, const char* key, const char* command) {
        if (ImGui::Button((std::string(icon) + "###" + key).c_str())) {
            ctx.run(command);
        }
        ui::command_tooltip(ctx, ctx.text(std::string("command.") + command), command);
    };
    arrow(ui::icon::left, "routing.previous", "routing.token_previous");
    ImGui::SameLine();
    arrow(ui::icon::right, "routing.next", "routing.token_next");
    ImGui::SameLine();
    ImGui::AlignTextToFramePadding();
    std::string line = ctx.text.format("routing.selected", {{"n", ctx.text.number(page.first + at)},
                                                            {"all", ctx.text.number(routing.tokens)},
                                                            {"piece", in_line(page.text_of(at))}});
    if (std::isfinite(page.own[at])) {
        line += " \u00b7 " + probability_text(ctx.text, "routing.tip.own", page.own[at]);
    }
    ui::text_elided(line, ImGui::GetContentRegionAvail().x);
}

void RoutingPanel::draw_decision(ui::Context& ctx, const RunRouting& routing, ImVec2 size) {
    if (!ImGui::BeginChild("###routing.decision", size)) {
        ImGui::EndChild();
        return;
    }
    const std::int64_t selected = ctx.selection.routing_token;
    const std::size_t page =
        selected < 0 ? pages().size() : page_holding(pages(), static_cast<std::uint64_t>(selected));
    if (selected < 0) {
        ui::text_wrapped(ctx.text("routing.click"), ctx.theme.text_dim);
    } else if (page >= pages().size()) {
        ui::text_wrapped(ctx.text(job_ ? "routing.waiting" : "routing.no_token"), ctx.theme.text_dim);
    } else {
        const auto token = static_cast<std::uint64_t>(selected);
        cache_.want(ctx, trace_, token, token + 1);
        draw_token_line(ctx, routing, *pages()[page], static_cast<std::size_t>(token - pages()[page]->first));
        const ImVec2 room = ImGui::GetContentRegionAvail();
        if (decision_.draw(ctx, routing, token, cache_.find(token), may_read_token_again(ctx, routing),
                           {0, std::max(8 * ctx.em, room.y)})) {
            read_again(ctx, routing);
        }
    }
    ImGui::EndChild();
}

void RoutingPanel::draw_menu(ui::Context& ctx, const RunRouting& routing) {
    if (std::exchange(open_menu_, false)) {
        ImGui::OpenPopup("###routing.popup");
    }
    if (!ImGui::BeginPopup("###routing.popup")) {
        return;
    }
    const auto command = [&](const char* key) {
        const std::string keys = ctx.shortcut(key);
        const std::string label = std::string(ctx.text(std::string("command.") + key)) + "###" + key;
        if (ImGui::MenuItem(label.c_str(), keys.empty() ? nullptr : keys.c_str())) {
            ctx.run(key);
        }
    };
    if (ctx.selection.routing_token >= 0) {
        ui::note_menu(ctx, note_place(routing, static_cast<std::uint64_t>(ctx.selection.routing_token)));
        ImGui::Separator();
    }
    command("routing.copy_link");
    command("routing.open_link");
    ImGui::Separator();
    for (const ExportFormat& format : kFormats) {
        const std::string label = ctx.text.label(std::string("routing.export.") + format.name);
        if (ImGui::MenuItem(label.c_str(), nullptr, false, ctx.connected() && routing.tokens > 0)) {
            export_trace(ctx, format.name);
        }
    }
    ImGui::Separator();
    draw_export_items(ctx, {.name = fmt::format("routing-{}-text", routing.run), .min = text_min_, .max = text_max_});
    if (ctx.selection.routing_token >= 0 && ImGui::MenuItem(ctx.text.label("decision.save_layers"))) {
        ctx.save_as(fmt::format("routing-{}-token-{}-layers.csv", routing.run, ctx.selection.routing_token),
                    [rows = decision_.rows()] { return decisions_csv(rows); });
    }
    ImGui::EndPopup();
}

ui::PanelDescription describe_routing() {
    using ui::Place;
    using Show = ui::Stand::Show;
    const auto command = [](const char* key, int group, ImGuiKeyChord shortcut = 0, bool opens = false) {
        return ui::PanelCommand{.key = key,
                                .menu = {"menu.routing", group},
                                .shortcut = shortcut,
                                .available = has_routing,
                                .opens = opens};
    };
    return {.key = "routing",
            .make = ui::make_panel<RoutingPanel>,
            .stands = {{"routing", Place::left_upper, 0, Show::front}},
            .commands = {{.key = "routing.read", .menu = {"menu.routing", 0}, .opens = true},
                         {.key = "routing.import",
                          .menu = {"menu.file", 1},
                          .available = [](const ui::Context& ctx) { return ctx.connected(); },
                          .opens = true},
                         command("routing.token_previous", 1, ImGuiMod_Alt | ImGuiKey_LeftArrow),
                         command("routing.token_next", 1, ImGuiMod_Alt | ImGuiKey_RightArrow),
                         command("routing.layer_previous", 1),
                         command("routing.layer_next", 1),
                         command("routing.copy_link", 2, ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_L),
                         {.key = "routing.open_link",
                          .menu = {"menu.routing", 2},
                          .shortcut = ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_O},
                         command("routing.export", 3),
                         {.key = "notes.token",
                          .menu = {"menu.edit", 1},
                          .shortcut = ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_M,
                          .available = [](const ui::Context& ctx) {
                              return has_routing(ctx) && ctx.selection.routing_token >= 0 &&
                                     ui::why_no_notes(ctx) == nullptr;
                          }}}};
}

}  // namespace moescope::panels
