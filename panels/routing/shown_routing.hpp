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
/// the record, and how many choices the recorded scores give again; details in its tooltip.
void draw_source_badge(ui::Context& ctx, const history::RunRouting& routing);

/// The routing of a run in the token view, which comes to the front.
void show_routing(ui::Context& ctx, std::uint32_t run);
/// Asks the node to read a text and to record the routing (docs/protocol.md, `route.start`); the token view comes to
/// the front and shows it as it grows.
void read_routing(ui::Context& ctx, nlohmann::json parameters);

}  // namespace moescope::panels
