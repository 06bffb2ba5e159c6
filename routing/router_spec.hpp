// RouterSpec as JSON (the "router" of a trace), checked where it comes from outside, and the sizes that follow from it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "routing/decision.hpp"
#include "routing/error.hpp"

namespace moescope::routing {

/// What RouterSpec::scoring can be where it is known: those of kernels/cpu/router_scoring.hpp (a test holds them
/// equal).
inline constexpr std::array<std::string_view, 4> kKnownScorings = {"softmax", "softmax_after_top_k", "sigmoid",
                                                                   "sqrt_softplus"};

/// Far above every real model (61 layers of 256 experts, 8 chosen); they keep what a hostile file says from costing
/// memory.
inline constexpr int kMostLayers = 4096, kMostExperts = 65534;
inline constexpr std::size_t kMostChosenOfToken = std::size_t{1} << 20;   ///< routed layers x experts per token
inline constexpr std::size_t kMostExpertsOfModel = std::size_t{1} << 20;  ///< routed layers x experts

/// Sizes of the columns of a trace.
struct Shape {
    std::size_t layers = 0;     ///< R, those that have a router
    std::size_t experts = 0;    ///< E
    std::size_t per_token = 0;  ///< K
    bool operator==(const Shape&) const = default;
};

/// Throws Error, a sentence without a subject ("names 3 experts per token, but has 2 experts").
void check(const RouterSpec& spec);
/// Of a spec that was checked.
Shape shape_of(const RouterSpec& spec);
/// Place of a layer among the routed ones; -1 when it has no router.
int routed_place(const RouterSpec& spec, int layer);

/// What is not known is left out.
nlohmann::json router_to_json(const RouterSpec& spec);
/// What is left out is not known, or as a router without it has it. Throws Error, also for values of another kind or
/// range: what a router is decides what its choices mean.
RouterSpec router_from_json(const nlohmann::json& value);

const char* source_name(Source source);  ///< "executed", "recomputed", "imported"
const char* detail_name(Detail detail);  ///< "ids", "weights", "scores"
std::optional<Detail> detail_named(std::string_view name);

}  // namespace moescope::routing
