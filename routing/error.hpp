// Errors of this folder.
#pragma once

#include "base/error.hpp"

namespace moescope::routing {

using base::Error;
using base::marked;
using base::say;
using base::Sentence;

}  // namespace moescope::routing
