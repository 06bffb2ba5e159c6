// Errors of the engine: one sentence that says what, where, which value, and what to do. Outside data never meets an
// assert.
#pragma once

#include <stdexcept>
#include <string>

namespace moescope::engine {

class Error : public std::runtime_error {
 public:
    using std::runtime_error::runtime_error;
};

}  // namespace moescope::engine
