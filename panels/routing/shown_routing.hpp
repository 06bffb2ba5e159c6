// The routing that the panels of this room show, and the way to it from anywhere: one choice for the whole window
// (ui::Selection), which is made here.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// That of the selected run, else of the newest that has any token or count; null when there is none.
std::shared_ptr<const history::RunRouting> shown_routing(const ui::Context& ctx);
/// What it is, for people, in the language of the window: "answer 3: qwen3-mini at step 400, 2 experts knocked out".
std::string routing_name(const ui::Context& ctx, const history::RunRouting& routing);
/// The list of all that there are; choosing one changes the selection.
void draw_routing_choice(ui::Context& ctx);
/// Where the ids come from (executed, recomputed, imported), with the doubts about the model's file, what is lost of
/// the record, whether it is of a part of the text, and how many choices the recorded scores give again; details in its
/// tooltip.
void draw_source_badge(ui::Context& ctx, const history::RunRouting& routing);

/// The run goes on, so that its trace may grow.
bool grows(const client::Snapshot& snapshot, const history::RunRouting& routing);
/// The name of the model that a trace was made with, as the node knows it ("MODEL|SET" included); what the trace itself
/// says where no run does.
std::string model_of(const client::Snapshot& snapshot, const history::RunRouting& routing);

/// The run that made it; null when it is not known. Valid as long as the snapshot.
const history::RunHeader* run_of_routing(const client::Snapshot& snapshot, const history::RunRouting& routing);

/// The router of a model, as any trace of it in the session describes it; null when there is none. Another checkpoint
/// of the same run counts, a set of changes does not, nor what another file of that name did.
std::shared_ptr<const routing::PackedTrace> trace_of_model(const client::Snapshot& snapshot, const std::string& model);

/// The routing of a run in the token view, which comes to the front.
void show_routing(ui::Context& ctx, std::uint32_t run);
/// How often somebody has asked for one: also the one that is shown already, then a form over it is in the way.
std::uint64_t routings_asked_for(ui::Context& ctx);
/// What of a routing is shown when it is there.
struct ThenShow {
    std::int64_t token = -1;  ///< selected; -1: none
    bool come = true;         ///< the token view comes to the front
};
/// Asks the node to read a text and to record the routing (docs/protocol.md, `route.start`), which is then the routing
/// on show, as it grows.
void read_routing(ui::Context& ctx, nlohmann::json parameters, ThenShow then = {});
/// The same, unless a run of the session has read exactly that already: then its routing is shown.
void show_or_read_routing(ui::Context& ctx, nlohmann::json parameters, ThenShow then = {});
/// Asks the node to take in a trace from a file as a run of the session (`route.import`); the token view shows it.
void import_routing(ui::Context& ctx, const std::string& path);

/// The button that leads from an answer to its routing: what was recorded, or what the model decides when it reads the
/// answer again. Null when its model has no router, as far as the library knows; then there is no button.
struct RoutingOfAnswer {
    std::uint32_t run = 0;      ///< recorded; 0: to be read
    nlohmann::json parameters;  ///< of route.start, for run 0
};
std::unique_ptr<RoutingOfAnswer> routing_of_answer(const client::Snapshot& snapshot, const history::Generation& answer);
void open_routing(ui::Context& ctx, const RoutingOfAnswer& of);

/// Of a read that was asked for and has no number yet: takes the number when it comes, unless somebody has chosen
/// another run meanwhile. Every frame, by the token view.
void follow_reading(ui::Context& ctx);

}  // namespace moescope::panels
