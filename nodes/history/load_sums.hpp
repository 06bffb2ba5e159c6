// Expert counts summed over a window of steps that moves along a run. Pure: no window, no clock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "nodes/history/runs.hpp"

namespace moescope::history {

/// Counts of one step, or summed over the steps of a window.
struct Loads {
    std::size_t layers = 0, experts = 0;
    std::uint64_t first_step = 0, last_step = 0;
    std::array<std::vector<double>, protocol::kTextLanguages> counts;  ///< [layers][experts] per text language
    std::array<std::vector<double>, protocol::kTextLanguages> totals;  ///< [layers]
};

/// Tokens of both languages that went to each expert, [layers][experts].
std::vector<double> tokens(const Loads& loads);
/// The same of one step; zeros where its counts have another shape.
std::vector<double> tokens(const StepCounts& step, std::size_t layers, std::size_t experts);
/// Share of the routed tokens of both languages that went to each expert, [layers][experts]: each row sums to 1, or is
/// 0 where no token went anywhere.
std::vector<double> shares(const Loads& loads);

class LoadSums {
 public:
    using Step = std::shared_ptr<const StepCounts>;

    /// Sums the steps of `window`, oldest first; must not be empty. A window that has moved on a little keeps its sums
    /// and takes in only what came and went: 256 steps of a large model are millions of numbers. A step whose counts
    /// have another shape counts as empty.
    void update(std::vector<Step> window, std::size_t layers, std::size_t experts);
    void clear();
    const Loads& loads() const { return loads_; }
    const std::vector<Step>& steps() const { return summed_; }  ///< those of loads(), oldest first
    std::uint64_t added() const { return added_; }              ///< steps added or taken out so far (tests watch it)

 private:
    void add(const StepCounts& step, double sign);

    Loads loads_;
    std::vector<Step> summed_;
    std::uint64_t added_ = 0;
};

}  // namespace moescope::history
