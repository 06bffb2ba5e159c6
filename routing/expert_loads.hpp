// How many tokens went to each expert, as a file says it: what a placement is made from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "routing/error.hpp"

namespace moescope::routing {

struct ExpertLoads {
    std::size_t layers = 0, experts = 0;
    /// [layers][experts]: counts, or any other measure of work; finite, not below 0. 0 where there are no experts.
    std::vector<double> load;
    std::vector<std::uint8_t> dense = {};  ///< [layers]: 1 for a layer without experts; empty: there is none

    bool has_experts(std::size_t at) const { return at >= dense.size() || dense[at] == 0; }
    std::span<const double> layer(std::size_t at) const { return std::span(load).subspan(at * experts, experts); }
};

inline constexpr double kMostLoad = 1e30;  ///< of one expert: the sum over a million is still a number in f32
inline constexpr std::size_t kLoadsBytes = std::size_t{32} << 20;  ///< of a file
/// Of all layers: as many as such a file can hold, "null" for a layer with many of them being short.
inline constexpr std::size_t kMostLoads = kLoadsBytes / 2;

/// JSON [layers][experts] of numbers from 0 to kMostLoad, with null for a layer without experts, or an object that has
/// this as "loads". Throws Error, a sentence without a subject ("has no ..."): anything else, rows of several lengths,
/// no experts at all, more than kMostLoads, kMostLayers layers or kMostExperts experts (router_spec.hpp).
ExpertLoads parse_expert_loads(std::string_view text);
/// The same of a file. Throws Error, a sentence that begins with the path.
ExpertLoads read_expert_loads(const std::filesystem::path& path);

}  // namespace moescope::routing
