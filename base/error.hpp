// The error of every folder: one sentence that says what, where, which value, and what to do. Outside data never meets
// an assert.
#pragma once

#include <stdexcept>
#include <string>

namespace moescope::base {

class Error : public std::runtime_error {
 public:
    using std::runtime_error::runtime_error;
};

}  // namespace moescope::base
