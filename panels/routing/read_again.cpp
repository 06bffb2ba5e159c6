#include "panels/routing/read_again.hpp"

#include "base/json_fields.hpp"
#include "panels/node/library.hpp"
#include "panels/routing/routed_runs.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::RunRouting;
using nlohmann::json;

constexpr std::size_t kLongestTitle = 60;  ///< bytes, of a prompt

std::string title_of(const client::Snapshot& snapshot, std::uint32_t run) {
    if (const auto read = snapshot.routes.find(run); read != snapshot.routes.end()) {
        return base::text_of(read->second->manifest, "title");
    }
    const auto answer = snapshot.generations.find(run);
    return answer == snapshot.generations.end()
               ? std::string()
               : in_one_line(base::text_of(answer->second->manifest, "prompt"), kLongestTitle);
}

/// Of all tokens, whose scores may be too many.
ReadAgain may_read_all_again(const ui::Context& ctx, const RunRouting& routing) {
    ReadAgain again = may_read_again(ctx, routing);
    const routing::RouterSpec& spec = routing.trace->spec();
    const std::uint64_t bytes =
        score_bytes(spec.routed_layers.size() * static_cast<std::uint64_t>(std::max(0, spec.experts)), routing.tokens);
    if (again.possible && bytes > kMostScoreBytes) {
        again = {false, ctx.text.format("routing.again.large", {{"n", ctx.text.number(routing.tokens)},
                                                                {"size", ui::bytes_text(ctx.text, bytes)},
                                                                {"most", ui::bytes_text(ctx.text, kMostScoreBytes)}})};
    }
    return again;
}

}  // namespace

json again_parameters(const client::Snapshot& snapshot, const RunRouting& routing,
                      const std::optional<TracePart>& part) {
    const std::string model = model_of(snapshot, routing);
    if (model.empty() || routing.trace->spec().source == routing::Source::imported) {
        return nullptr;
    }
    json parameters = {{"model", model}, {"tokens_of", routing.run}, {"detail", "scores"}};
    if (part) {
        parameters["first"] = part->first;
        parameters["tokens"] = part->last - part->first;
    }
    if (const std::string title = part ? part->title : title_of(snapshot, routing.run); !title.empty()) {
        parameters["title"] = title;
    }
    // A set is in the name of the model, and would be refused beside it.
    const bool named = !model_with_set(snapshot, model).set.empty();
    if (!named && routing.interventions.is_array() && !routing.interventions.empty()) {
        parameters["interventions"] = routing.interventions;
        if (!routing.set.empty()) {
            parameters["set"] = routing.set;
        }
    }
    return parameters;
}

ReadAgain may_read_again(const ui::Context& ctx, const RunRouting& routing) {
    if (!ctx.connected()) {
        return {false, ctx.text("runs.offline")};
    }
    if (grows(ctx.snapshot, routing)) {
        return {false, ctx.text("routing.again.later")};
    }
    if (again_parameters(ctx.snapshot, routing).is_null()) {
        return {false, ctx.text("routing.again.foreign")};
    }
    return {true, ""};
}

void draw_lack_of_scores(ui::Context& ctx, const RunRouting& routing, const std::string& sentence) {
    const ReadAgain again = may_read_all_again(ctx, routing);
    if (ui::banner(ctx, ui::Tone::neutral, again.possible ? sentence : sentence + " " + again.why_not,
                   again.possible ? ctx.text.label("routing.again.all") : nullptr)) {
        show_or_read_routing(ctx, again_parameters(ctx.snapshot, routing),
                             {.token = ctx.selection.routing_token, .come = false});
    }
}

}  // namespace moescope::panels
