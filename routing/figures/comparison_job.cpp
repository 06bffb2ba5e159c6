#include "routing/figures/comparison_job.hpp"

#include <chrono>
#include <utility>

#include "routing/source_stream.hpp"

namespace moescope::routing {

namespace {

constexpr std::chrono::milliseconds kBetween{100};
/// What a comparison reads of a trace.
constexpr unsigned kCompared = kTokens | kIds | kMargins;

struct Stopped {};

}  // namespace

ComparisonJob::ComparisonJob(std::shared_ptr<const TraceSource> first,
                             std::vector<std::shared_ptr<const TraceSource>> others)
    : first_(std::move(first)), others_(std::move(others)) {
    State state;
    state.results.resize(others_.size());
    state.failed.resize(others_.size());
    for (const auto& other : others_) {
        state.of += first_->chunks() + other->chunks();
    }
    latest_ = std::make_shared<const State>(std::move(state));
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

std::shared_ptr<const ComparisonJob::State> ComparisonJob::latest() const {
    const std::lock_guard lock(mutex_);
    return latest_;
}

void ComparisonJob::publish(const State& state) {
    auto made = std::make_shared<const State>(state);
    const std::lock_guard lock(mutex_);
    latest_.swap(made);
}

void ComparisonJob::run(const std::stop_token& stop) {
    State state = *latest();
    std::size_t before = 0;  // pieces of the comparisons that have ended
    auto shown = std::chrono::steady_clock::now();
    try {
        for (std::size_t i = 0; i < others_.size(); ++i) {
            SourceStream first(first_, nullptr, kCompared), second(others_[i], nullptr, kCompared);
            const auto check = [&] {
                if (stop.stop_requested()) {
                    throw Stopped();
                }
                state.done = before + first.done() + second.done();
                if (const auto now = std::chrono::steady_clock::now(); now - shown >= kBetween) {
                    publish(state);
                    shown = now;
                }
            };
            try {
                Comparison comparison(first.spec(), second.spec());
                FlippedTokens flipped(kMostTokens);
                comparison.set_missing(
                    for_each_pair(first, second, check,
                                  [&](const Chunk& a, std::size_t at_a, const Chunk& b, std::size_t at_b) {
                                      flipped.add(comparison.add(a, at_a, b, at_b), a, at_a, b, at_b);
                                  }));
                std::vector<Sentence> problems = first.problems();
                for (Sentence& problem : second.problems()) {
                    problems.push_back(std::move(problem));
                }
                state.results[i] =
                    std::make_shared<const Result>(Result{std::move(comparison), flipped.top(), std::move(problems)});
            } catch (const std::exception& error) {
                state.failed[i] = base::sentence_of(error);
            }
            before += first.of() + second.of();
            state.done = before;
            publish(state);
        }
    } catch (const Stopped&) {
        return;  // nobody waits for it
    }
    state.finished = true;
    publish(state);
}

}  // namespace moescope::routing
