// Errors of the engine.
#pragma once

#include "base/error.hpp"

namespace moescope::engine {

using base::Error;
using base::marked;
using base::say;
using base::Sentence;

}  // namespace moescope::engine
