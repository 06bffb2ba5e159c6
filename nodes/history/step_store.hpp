// Steps of a training run that a node has sent once more, as the command train.steps gives them: what the window keeps
// of them. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "nodes/history/runs.hpp"

namespace moescope::history {

/// What the node has sent of the steps of one run; bounded: what is furthest from where somebody looks goes first.
class StepStore {
 public:
    using Counts = std::shared_ptr<const StepCounts>;
    using Ranks = std::shared_ptr<const protocol::RankRecord>;
    using Entropies = std::shared_ptr<const std::vector<float>>;
    static constexpr std::size_t kMostBytes = std::size_t{32} << 20;

    /// Steps in one question, at most: an answer about more says nothing.
    static constexpr std::uint64_t kMostAsked = 4096;

    void clear();
    /// An answer of train.steps about the steps `first` to `last` of `run`; what can't be read, or is of another run,
    /// is left out. `near`: where somebody looks.
    void add(const nlohmann::json& answer, std::uint32_t run, std::uint64_t first, std::uint64_t last,
             std::uint64_t near);
    /// That the node does not have it is an answer as well.
    bool knows(std::uint64_t step) const { return steps_.contains(step) || absent_.contains(step); }
    Counts counts(std::uint64_t step) const;
    Ranks ranks(std::uint64_t step) const;
    /// [layers], nats; null while the step is not there.
    Entropies router_entropy(std::uint64_t step) const;
    /// The nearest step that has counts; null when none has.
    Counts nearest(std::uint64_t step) const;
    std::size_t bytes() const { return bytes_; }

 private:
    struct Step {
        Counts counts;
        Ranks ranks;
        Entropies router_entropy;
        std::size_t bytes = 0;
    };
    std::map<std::uint64_t, Step> steps_;
    std::set<std::uint64_t> absent_;
    std::size_t bytes_ = 0;
};

}  // namespace moescope::history
