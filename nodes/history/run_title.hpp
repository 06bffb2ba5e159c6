// A run's name within a sentence.
#pragma once

#include <string>

#include "base/sentence.hpp"

namespace moescope::history {

/// In quotes: the name "workshop-balance-1: none" would read on as a part of the sentence.
inline base::Sentence quoted(const std::string& name) {
    return base::say("'{}'", name);
}

}  // namespace moescope::history
