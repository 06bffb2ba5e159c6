// How many tokens went to each expert, as a file says it: what a placement is made from.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "routing/error.hpp"

namespace moescope::routing {

struct ExpertLoads {
    std::size_t layers = 0, experts = 0;
    std::vector<double> load;  ///< [layers][experts]: counts, or any other measure of work; finite, not below 0

    std::span<const double> layer(std::size_t at) const { return std::span(load).subspan(at * experts, experts); }
};

inline constexpr double kMostLoad = 1e30;  ///< of one expert: the sum over a million is still a number in f32
inline constexpr std::size_t kLoadsBytes = std::size_t{32} << 20;  ///< of a file

/// JSON [layers][experts] of numbers from 0 to kMostLoad, or an object that has this as "loads". Throws Error, a
/// sentence without a subject ("has no ..."): anything else, rows of several lengths, nothing at all, more than
/// kMostLayers layers or kMostExperts experts (router_spec.hpp).
ExpertLoads parse_expert_loads(std::string_view text);
/// The same of a file. Throws Error, a sentence that begins with the path.
ExpertLoads read_expert_loads(const std::filesystem::path& path);

}  // namespace moescope::routing
