// What an action says that is refused.
#pragma once

#include <string>

#include "engine/error.hpp"

namespace moescope::engine {

/// The message of the Error that `action` throws, or "no error".
template <class Action>
std::string error_of(const Action& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

}  // namespace moescope::engine
