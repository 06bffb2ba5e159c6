// Right inputs of every target, made by the program's own writers and from the files of the other tests, so that they
// follow the formats.
#pragma once

#include <string>
#include <vector>

namespace moescope::fuzz {

/// Those of a target, and the files of corpus/TARGET: what once broke it. Throws std::runtime_error for a target that
/// has none.
std::vector<std::string> seeds_of(const std::string& target);

}  // namespace moescope::fuzz
