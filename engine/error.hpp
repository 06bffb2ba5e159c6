// Errors of the engine.
#pragma once

#include "base/error.hpp"

namespace moescope::engine {

using base::Error;

}  // namespace moescope::engine
