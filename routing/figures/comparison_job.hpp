// One trace compared with others, on a thread of its own; whoever draws takes what is there and waits for nothing.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "routing/chunk.hpp"
#include "routing/error.hpp"
#include "routing/figures/comparison.hpp"
#include "routing/figures/flipped_tokens.hpp"

namespace moescope::routing {

/// Each of the others is compared with the first by compare_traces(), one after the other. What they hold when it
/// begins counts; a trace that still grows is not followed.
class ComparisonJob {
 public:
    static constexpr std::size_t kMostTokens = 500;  ///< that flipped most, of each comparison

    /// Never changes once it was given out.
    struct Result {
        Comparison comparison;
        std::vector<FlippedTokens::Token> flipped;
        std::vector<Sentence> problems;  ///< what of the two traces is damaged
    };
    struct State {
        /// [others]: null while it is not there; `failed` says why it never will be, else it is empty.
        std::vector<std::shared_ptr<const Result>> results;
        std::vector<Sentence> failed;
        std::size_t done = 0, of = 0;  ///< pieces read, of all comparisons
        bool finished = false;
    };

    ComparisonJob(std::shared_ptr<const TraceSource> first, std::vector<std::shared_ptr<const TraceSource>> others);
    /// Ends the work after the piece that it is at.
    ~ComparisonJob() = default;
    ComparisonJob(const ComparisonJob&) = delete;
    ComparisonJob& operator=(const ComparisonJob&) = delete;

    /// Any thread; never waits for the work.
    std::shared_ptr<const State> latest() const;

 private:
    void run(const std::stop_token& stop);
    void publish(const State& state);

    const std::shared_ptr<const TraceSource> first_;
    const std::vector<std::shared_ptr<const TraceSource>> others_;
    mutable std::mutex mutex_;
    std::shared_ptr<const State> latest_;
    std::jthread thread_;  ///< last: ends before what it uses goes
};

}  // namespace moescope::routing
