// Inputs made from seeds by damage without any structure: the same seeds, number and index always give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace moescope::fuzz {

inline constexpr std::size_t kLongestInput = std::size_t{64} << 10;

/// One to six damages of one of the seeds: bits, bytes, cuts, repetitions, numbers that parsers trip over (as bytes of
/// either order and as digits), pieces of other seeds. At most kLongestInput bytes. `seeds` is not empty.
std::string mutated(const std::vector<std::string>& seeds, std::uint64_t number, std::uint64_t index);

}  // namespace moescope::fuzz
