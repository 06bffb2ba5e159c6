// What the time of a step is spent on.
#pragma once

namespace moescope::engine {

/// Parts of a step's time; the same order as protocol::StepPart.
enum class Part { data, embedding, attention, router, experts, head, optimizer, other, count };

}  // namespace moescope::engine
