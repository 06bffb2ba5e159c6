// What the program takes of the machine's memory, process by process.
#pragma once

#include <cstdint>
#include <string>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// Bytes of the window, the node and every model that it has open; each page counts once (see base::process_memory()).
std::uint64_t memory_of_all(const client::Snapshot& snapshot);
/// A line for each process and one that says what the numbers are; for a tooltip.
std::string memory_lines(const ui::Context& ctx);

}  // namespace moescope::panels
