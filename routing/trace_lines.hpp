// A trace as text: JSON Lines, one line per token, the router with the first. The keys are those of decision.hpp and
// stand in docs/manual-en.md; what is not known or was not asked for is left out. Numbers are the shortest that read
// back as the same float; one that is no number is null in a list and left out elsewhere.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "routing/decision.hpp"
#include "routing/interventions.hpp"

namespace moescope::routing {

/// A router as scripts are told of it: router_to_json() with the doubts in words, and under "interventions" the changes
/// that were made to it, a list of items, where there are any (else null).
nlohmann::json router_with_changes(const RouterSpec& spec, const nlohmann::json& interventions);
/// The same as text, as the first line has it.
std::string router_json(const RouterSpec& spec, const Interventions& interventions = {});
/// One line, without its end; of a token's text no more than kLongestPiece bytes. `first`: the router, for the first
/// line of a trace; null for the others. Throws Error for what no reader would take: a router that is none
/// (router_spec.hpp), a name of more than kLongestName bytes.
std::string trace_line(const TokenDecisions& token, const RouterSpec* first = nullptr,
                       const Interventions& interventions = {});

}  // namespace moescope::routing
