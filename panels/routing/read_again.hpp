// The same tokens once more, with the scores of all experts: what a view offers that needs more of a routing than was
// recorded. By the ids that were recorded, since a text that is put together of tokens is cut into others. GUI thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// A part of a trace that begins with a text: numbers of tokens, [first, last), and what it is called.
struct TracePart {
    std::uint64_t first = 0, last = 0;
    std::string title;
};
/// Parameters of `route.start`, with the same model and the same changes; null when nobody here can read it: another
/// program's recording, or a model that is not known. Pure.
nlohmann::json again_parameters(const client::Snapshot& snapshot, const history::RunRouting& routing,
                                const std::optional<TracePart>& part = {});

struct ReadAgain {
    bool possible = false;
    std::string why_not;  ///< for people
};
/// Whether anything of it can be read again now.
ReadAgain may_read_again(const ui::Context& ctx, const history::RunRouting& routing);

/// A sentence about what the routing lacks, with the button that reads all of it again, or why that can't be. What is
/// read then takes its place, and the selected token stays selected.
void draw_lack_of_scores(ui::Context& ctx, const history::RunRouting& routing, const std::string& sentence);

}  // namespace moescope::panels
