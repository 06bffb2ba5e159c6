#include "panels/routing/shown_routing.hpp"

#include <algorithm>
#include <imgui.h>
#include <utility>
#include <vector>

#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "panels/node/library.hpp"
#include "panels/routing/agreement.hpp"
#include "panels/routing/change_list.hpp"
#include "panels/routing/figure_view.hpp"
#include "panels/routing/routed_runs.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/widgets.hpp"
#include "routing/figures/figure_job.hpp"

namespace moescope::panels {
namespace {

using history::RouteRun;
using history::RunRouting;
using nlohmann::json;

constexpr std::size_t kWhyInAName = 60, kWholeReason = 2000;  ///< bytes of why a reading was cut off

/// The route.start that has no answer yet.
struct Reading {
    client::CommandId command = 0;
    std::uint32_t from = 0;       ///< the selected run when it was sent
    std::int64_t token = -1;      ///< that is selected in it then; -1: none
    std::uint64_t asked_for = 0;  ///< routings, by show_routing
};

/// How far the recorded scores agree with the ids, for the traces whose badge was looked at last.
struct Agreements {
    struct One {
        std::uint32_t run = 0;
        std::shared_ptr<const routing::PackedTrace> trace;
        std::unique_ptr<routing::FigureJob<AgreementFigure>> job;
        bool follows = false;
    };
    static constexpr std::size_t kMost = 4;
    std::vector<One> all;  ///< the latest last
};

bool has_content(const RunRouting& routing) {
    return routing.trace && (routing.tokens > 0 || routing.trace->chunks() > 0);
}

template <class Run>
const Run* find(const std::map<std::uint32_t, std::shared_ptr<const Run>>& runs, std::uint32_t id) {
    const auto found = runs.find(id);
    return found == runs.end() ? nullptr : found->second.get();
}

const char* kind_key(const client::Snapshot& snapshot, std::uint32_t run) {
    if (const RouteRun* route = find(snapshot.routes, run)) {
        switch (route->what) {
            case RouteRun::What::read:
                return "routing.name.text";
            case RouteRun::What::effect:
                return "routing.name.effect";
            case RouteRun::What::import:
                return "routing.name.import";
            case RouteRun::What::sweep:
            case RouteRun::What::other:
                return "routing.name.run";
        }
    }
    return snapshot.generations.contains(run) ? "routing.name.answer" : "routing.name.run";
}

const char* source_key(routing::Source source) {
    switch (source) {
        case routing::Source::executed:
            return "routing.source.executed";
        case routing::Source::recomputed:
            return "routing.source.recomputed";
        case routing::Source::imported:
            return "routing.source.imported";
    }
    return "routing.source.imported";
}

/// Null while nothing can be said: the record has no scores.
std::shared_ptr<const routing::FigureJob<AgreementFigure>::State> agreement_of(ui::Context& ctx,
                                                                               const RunRouting& routing) {
    if (!routing.trace->has_scores()) {
        return nullptr;
    }
    auto& agreements = ctx.shared.get<Agreements>();
    const bool growing = grows(ctx.snapshot, routing);
    auto one = std::find_if(agreements.all.begin(), agreements.all.end(), [&](const Agreements::One& known) {
        return known.run == routing.run && known.trace == routing.trace;
    });
    if (one != agreements.all.end() && one->follows && !growing) {
        dispose(ctx, one->job);
        agreements.all.erase(one);  // counted once more to the end, by a job that ends
        one = agreements.all.end();
    }
    if (one == agreements.all.end()) {
        if (agreements.all.size() == Agreements::kMost) {
            dispose(ctx, agreements.all.front().job);
            agreements.all.erase(agreements.all.begin());
        }
        agreements.all.push_back({routing.run, routing.trace,
                                  std::make_unique<routing::FigureJob<AgreementFigure>>(
                                      routing.trace, AgreementFigure(routing.trace, routing.interventions), growing),
                                  growing});
        one = std::prev(agreements.all.end());
    }
    const auto state = one->job->latest();
    if (!state->finished) {
        ctx.draw_within(0.25);
    }
    return state;
}

/// What the tooltip of the badge says, a line each.
std::string source_lines(const ui::Context& ctx, const RunRouting& routing,
                         const routing::FigureJob<AgreementFigure>::State* agreement) {
    const routing::RouterSpec& spec = routing.trace->spec();
    std::string lines = ctx.text(std::string(source_key(spec.source)) + ".help");
    const auto add = [&](const std::string& line) { lines += "\n\n" + line; };
    if (!spec.device.empty()) {
        add(ctx.text.format("routing.device", {{"device", spec.device}}));
    }
    if (!spec.disabled.empty()) {
        add(ctx.text.format("compare.disabled.help", {{"experts", places_text(spec.disabled)}}));
    }
    if (!spec.doubts.empty()) {
        std::string doubts = ctx.text("routing.doubts");
        for (const base::Sentence& doubt : spec.doubts) {
            doubts += "\n\u2022 " + ctx.text.message(doubt);
        }
        add(doubts);
    }
    if (agreement == nullptr) {
        add(ctx.text("routing.agreement.no_scores"));
    } else {
        add((agreement->finished ? "" : ctx.text("routing.agreement.so_far")) +
            agreement_text(ctx.text, agreement->figure.agreement()) + " " + ctx.text("routing.agreement.what"));
    }
    if (spec.hash_layers > 0) {
        add(ctx.text.format("routing.hash_layers", {{"n", std::to_string(spec.hash_layers)}}));
    }
    if (routing.lost > 0) {
        add(ctx.text.format("routing.lost", {{"n", ctx.text.number(routing.lost)}}));
    }
    if (const auto cut = cut_off(ctx.snapshot, routing)) {
        add(cut_off_text(ctx.text, *cut, kWholeReason));
    }
    return lines;
}

/// What of parameters, or of a manifest, says which text is read; without what says nothing.
json only_of_text(const json& value) {
    const json& from = base::member(value, "from");  // of an answer that is read again
    json text = json::object();
    for (const char* key :
         {"text", "data", "tokens", "tokens_of", "first", "run", "item", "language", "draw", "chat"}) {
        const json& one = base::member(from.is_object() ? from : value, key);
        if (!one.is_null() && one != json(false)) {
            text[key] = one;
        }
    }
    return text;
}

/// The run has read what the parameters name, with the same model and the same changes.
bool agrees(const client::Snapshot& snapshot, const RouteRun& run, const json& parameters) {
    const auto routing = snapshot.routing.find(run.id);
    const bool cut = protocol::ended(run.state) && run.state != history::RunState::done;
    if (run.what != RouteRun::What::read || cut || is_of_another_file(snapshot, run, run.model) ||
        routing == snapshot.routing.end() || run.model != base::text_of(parameters, "model") ||
        only_of_text(run.manifest) != only_of_text(parameters)) {
        return false;
    }
    const json &changes = routing->second->interventions, &wanted = base::member(parameters, "interventions");
    // A set is in the name of the model.
    const bool by_name = !model_with_set(snapshot, run.model).set.empty();
    return by_name || changes == wanted || (changes.empty() && wanted.empty());
}

/// A model that routes, or may: what was trained here is known by its name alone.
bool may_route(const client::Snapshot& snapshot, const std::string& model) {
    const client::ModelEntry* entry = find_model(snapshot, model);
    return entry != nullptr ? is_routed(*entry) : history::is_checkpoint_name(model);
}

}  // namespace

std::shared_ptr<const RunRouting> shown_routing(const ui::Context& ctx) {
    const auto& all = ctx.snapshot.routing;
    if (const auto chosen = all.find(ctx.selection.routing_run); chosen != all.end()) {
        return chosen->second;
    }
    const auto newest =
        std::find_if(all.rbegin(), all.rend(), [](const auto& entry) { return has_content(*entry.second); });
    return newest == all.rend() ? nullptr : newest->second;
}

bool grows(const client::Snapshot& snapshot, const RunRouting& routing) {
    if (const auto* answer = find(snapshot.generations, routing.run)) {
        return !protocol::ended(answer->state);
    }
    const RouteRun* route = find(snapshot.routes, routing.run);
    return route != nullptr && !protocol::ended(route->state);
}

std::string model_of(const client::Snapshot& snapshot, const RunRouting& routing) {
    if (const auto* answer = find(snapshot.generations, routing.run)) {
        return answer->model;
    }
    const RouteRun* route = find(snapshot.routes, routing.run);
    return route != nullptr && !route->model.empty() ? route->model : routing.trace->spec().model;
}

const history::RunHeader* run_of_routing(const client::Snapshot& snapshot, const RunRouting& routing) {
    if (const auto* answer = find(snapshot.generations, routing.run)) {
        return answer;
    }
    return find(snapshot.routes, routing.run);
}

std::shared_ptr<const routing::PackedTrace> trace_of_model(const client::Snapshot& snapshot, const std::string& model) {
    const auto wanted = model_with_set(snapshot, model).model;
    const auto wanted_run = history::checkpoint_named(wanted);
    for (auto entry = snapshot.routing.rbegin(); entry != snapshot.routing.rend(); ++entry) {
        if (!entry->second->trace) {
            continue;
        }
        const std::string one = model_with_set(snapshot, model_of(snapshot, *entry->second)).model;
        const history::RunHeader* header = run_of_routing(snapshot, *entry->second);
        if (header != nullptr && is_of_another_file(snapshot, *header, one)) {
            continue;  // what stood under that name then
        }
        const auto run = history::checkpoint_named(one);
        if (one == wanted || (run && wanted_run && run->run == wanted_run->run)) {
            return entry->second->trace;
        }
    }
    return nullptr;
}

std::string routing_name(const ui::Context& ctx, const RunRouting& routing) {
    const std::string model = model_of(ctx.snapshot, routing);
    const history::RunHeader* run = run_of_routing(ctx.snapshot, routing);
    const std::string called = model.empty()    ? std::string(ctx.text("routing.name.no_model"))
                               : run == nullptr ? model_title(ctx, model)
                                                : model_title_of(ctx, *run, model);
    std::string name =
        ctx.text.format(kind_key(ctx.snapshot, routing.run), {{"run", std::to_string(routing.run)}, {"model", called}});
    if (const RouteRun* route = find(ctx.snapshot.routes, routing.run)) {
        if (const std::string title = base::text_of(route->manifest, "title"); !title.empty()) {
            name += " \u00b7 " + in_one_line(title, 60);
        }
    }
    if (const auto* answer = find(ctx.snapshot.generations, routing.run)) {
        const std::string prompt = in_one_line(base::text_of(answer->manifest, "prompt"), 60);
        name += prompt.empty() ? "" : " \u00b7 " + prompt;
    }
    const std::vector<Change> changes = changes_or_none(routing.interventions);
    // A model with a set is named with it already.
    if (!changes.empty() && model_with_set(ctx.snapshot, model).set.empty()) {
        name = ctx.text.format(
            "routing.name.changed",
            {{"name", name}, {"changes", routing.set.empty() ? changes_text(ctx.text, changes) : routing.set}});
    }
    if (const auto cut = cut_off(ctx.snapshot, routing)) {
        name += " \u00b7 " + cut_off_text(ctx.text, *cut, kWhyInAName);
    }
    return name;
}

void draw_routing_choice(ui::Context& ctx) {
    const std::shared_ptr<const RunRouting> shown = shown_routing(ctx);
    const std::string title = shown ? routing_name(ctx, *shown) : std::string(ctx.text("routing.none"));
    if (ui::begin_combo("###routing.choice", title.c_str(), ImGuiComboFlags_HeightLarge)) {
        if (ImGui::Selectable(ctx.text.label("routing.newest"), ctx.selection.routing_run == 0)) {
            ctx.selection.routing_run = 0;
            ctx.selection.routing_token = -1;
        }
        ui::tooltip(ctx.text("routing.newest.help"));
        std::vector<const RunRouting*> all;
        for (auto entry = ctx.snapshot.routing.rbegin(); entry != ctx.snapshot.routing.rend(); ++entry) {
            if (has_content(*entry->second)) {
                all.push_back(entry->second.get());
            }
        }
        // A session may have hundreds of answers: names are made of those in sight only.
        ImGuiListClipper clipper;
        clipper.Begin(static_cast<int>(all.size()));
        while (clipper.Step()) {
            for (int row = clipper.DisplayStart; row < clipper.DisplayEnd; ++row) {
                const RunRouting& one = *all[static_cast<std::size_t>(row)];
                const std::string label = routing_name(ctx, one) + "###routing " + std::to_string(one.run);
                if (ImGui::Selectable(label.c_str(), one.run == ctx.selection.routing_run)) {
                    ctx.selection.routing_run = one.run;
                    ctx.selection.routing_token = -1;
                }
            }
        }
        ImGui::EndCombo();
    } else if (ui::tooltip_due()) {
        ui::tooltip(title);
    }
}

void draw_source_badge(ui::Context& ctx, const RunRouting& routing) {
    if (!routing.trace) {
        return;
    }
    const routing::RouterSpec& spec = routing.trace->spec();
    const auto agreement = agreement_of(ctx, routing);
    const auto cut = cut_off(ctx.snapshot, routing);
    std::string word = cut ? cut_off_text(ctx.text, *cut, kWhyInAName) + " \u00b7 " : std::string();
    word += ctx.text(source_key(spec.source));
    if (agreement != nullptr) {
        if (const std::string share = agreement_share(ctx.text, agreement->figure.agreement()); !share.empty()) {
            word += " \u00b7 " + ctx.text.format("routing.agreement.short", {{"share", share}});
        }
    }
    if (!spec.disabled.empty()) {
        word += " \u00b7 " +
                ctx.text.format("compare.disabled", {{"n", ctx.text.number(std::uint64_t{spec.disabled.size()})}});
    }
    const bool differs =
        agreement != nullptr && agreement->figure.agreement().equal != agreement->figure.agreement().decisions;
    const bool doubtful = !spec.doubts.empty() || differs || routing.lost > 0 || cut;
    if (!spec.doubts.empty()) {
        word += " \u00b7 " +
                ctx.text.format("routing.doubts.short", {{"n", ctx.text.number(std::uint64_t{spec.doubts.size()})}});
    }
    if (routing.lost > 0) {
        word += " \u00b7 " + ctx.text.format("routing.lost.short", {{"n", ctx.text.number(routing.lost)}});
    }
    const char* icon = doubtful                                   ? ui::icon::warning
                       : spec.source == routing::Source::executed ? ui::icon::check
                                                                  : ui::icon::info;
    const ui::Tone tone = doubtful                                   ? ui::Tone::warning
                          : spec.source == routing::Source::executed ? ui::Tone::good
                                                                     : ui::Tone::neutral;
    ui::row_badge(ctx, icon, ui::elided(word, ImGui::GetContentRegionAvail().x - 2.2f * ctx.em), tone);
    if (ui::tooltip_due()) {
        ui::tooltip(source_lines(ctx, routing, agreement.get()));
    }
}

std::uint64_t routings_asked_for(ui::Context& ctx) {
    return ctx.shared.get<Reading>().asked_for;
}

void show_routing(ui::Context& ctx, std::uint32_t run) {
    ++ctx.shared.get<Reading>().asked_for;
    ctx.selection.routing_run = run;
    ctx.selection.routing_token = -1;
    ctx.show_panel("routing");
}

void read_routing(ui::Context& ctx, json parameters, ThenShow then) {
    if (ui::clicked_again()) {
        return;
    }
    auto& reading = ctx.shared.get<Reading>();
    reading.command = ctx.client.send("route.start", std::move(parameters));
    reading.from = ctx.selection.routing_run;
    reading.token = then.token;
    if (then.come) {
        ctx.show_panel("routing");
    }
}

void import_routing(ui::Context& ctx, const std::string& path) {
    ctx.shared.get<Reading>().command = ctx.client.send("route.import", {{"path", path}});
    ctx.show_panel("routing");
}

void show_or_read_routing(ui::Context& ctx, json parameters, ThenShow then) {
    const std::string detail = base::text_of(parameters, "detail");
    for (auto entry = ctx.snapshot.routes.rbegin(); entry != ctx.snapshot.routes.rend(); ++entry) {
        const RouteRun& run = *entry->second;
        if (agrees(ctx.snapshot, run, parameters) &&
            (detail != "scores" || ctx.snapshot.routing.at(run.id)->detail == routing::Detail::scores)) {
            if (then.come) {
                show_routing(ctx, run.id);
            }
            ctx.selection.routing_run = run.id;
            ctx.selection.routing_token = then.token;
            return;
        }
    }
    read_routing(ctx, std::move(parameters), then);
}

std::unique_ptr<RoutingOfAnswer> routing_of_answer(const client::Snapshot& snapshot,
                                                   const history::Generation& answer) {
    auto of = std::make_unique<RoutingOfAnswer>();
    if (const auto routing = snapshot.routing.find(answer.id);
        routing != snapshot.routing.end() && has_content(*routing->second)) {
        of->run = answer.id;
        return of;
    }
    if (!protocol::ended(answer.state) || !may_route(snapshot, answer.model)) {
        return nullptr;
    }
    of->parameters = {{"model", answer.model}, {"run", answer.id}};
    return of;
}

void open_routing(ui::Context& ctx, const RoutingOfAnswer& of) {
    if (of.run != 0) {
        show_routing(ctx, of.run);
    } else {
        show_or_read_routing(ctx, of.parameters);
    }
}

void follow_reading(ui::Context& ctx) {
    auto& reading = ctx.shared.get<Reading>();
    if (const client::CommandResult* answer = ui::take_answer(ctx, reading.command);
        answer != nullptr && answer->state == client::CommandResult::State::done) {
        // Whoever has chosen another one meanwhile does not want to be taken back.
        if (const std::uint32_t run = base::run_of(answer->value);
            run != 0 && ctx.selection.routing_run == reading.from) {
            ctx.selection.routing_run = run;
            ctx.selection.routing_token = reading.token;
        }
    }
}

}  // namespace moescope::panels
