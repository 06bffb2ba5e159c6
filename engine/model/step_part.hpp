// What the time of a step is spent on.
#pragma once

#include "base/step_values.hpp"

namespace moescope::engine {

using Part = base::StepPart;

}  // namespace moescope::engine
