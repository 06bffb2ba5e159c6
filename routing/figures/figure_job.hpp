// A figure over a trace of any length, made on a thread of its own, chunk by chunk, and shown while it grows: whoever
// draws takes the newest state, which never changes, and waits for nothing.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "routing/chunk.hpp"
#include "routing/error.hpp"

namespace moescope::routing {

/// Figure: copied, has `kWanted` (Columns) and add(const Chunk&), which is called for the chunks in their order; where
/// it has settle(), that is called before others read it.
template <class Figure>
class FigureJob {
 public:
    struct State {
        Figure figure;
        std::size_t done = 0, of = 0;  ///< chunks
        std::size_t damaged = 0;       ///< of those done, left out
        bool finished = false;         ///< nothing more will come
        Sentence problem;              ///< why it ended too early; empty: it did not
    };

    /// `follow`: the trace still grows; the job waits for more until it is destroyed.
    FigureJob(std::shared_ptr<const TraceSource> trace, Figure empty, bool follow = false)
        : trace_(std::move(trace)),
          follow_(follow),
          latest_(std::make_shared<const State>(State{std::move(empty), 0, trace_->chunks(), 0, false, {}})),
          thread_([this](const std::stop_token& stop) { run(stop); }) {}
    /// Ends the work after the chunk that it is at.
    ~FigureJob() = default;
    FigureJob(const FigureJob&) = delete;
    FigureJob& operator=(const FigureJob&) = delete;

    /// Any thread; never waits for the work.
    std::shared_ptr<const State> latest() const {
        const std::lock_guard lock(mutex_);
        return latest_;
    }

 private:
    static constexpr std::chrono::milliseconds kBetween{200}, kWait{100};

    void publish(State& state) {
        if constexpr (requires { state.figure.settle(); }) {
            state.figure.settle();
        }
        state.of = trace_->chunks();
        auto made = std::make_shared<const State>(state);
        const std::lock_guard lock(mutex_);
        latest_.swap(made);  // what was shown before is freed behind the lock, or by whoever still reads it
    }

    void run(const std::stop_token& stop) {
        State state = *latest();
        auto shown = std::chrono::steady_clock::now() - kBetween;
        try {
            while (!stop.stop_requested()) {
                if (state.done >= trace_->chunks()) {
                    if (!follow_) {
                        break;
                    }
                    trace_->refresh();
                    if (state.done < trace_->chunks()) {
                        continue;
                    }
                    std::mutex nothing;
                    std::unique_lock lock(nothing);
                    std::condition_variable_any().wait_for(lock, stop, kWait, [] { return false; });
                    continue;
                }
                const auto chunk = trace_->chunk(state.done++, Figure::kWanted);
                if (chunk) {
                    state.figure.add(*chunk);
                } else {
                    ++state.damaged;
                }
                // The first one at once; then in intervals, as a copy of a large figure costs more than a chunk.
                const auto now = std::chrono::steady_clock::now();
                if (now - shown >= kBetween || (follow_ && state.done >= trace_->chunks())) {
                    publish(state);
                    shown = now;
                }
            }
        } catch (const std::exception& error) {
            state.problem = base::sentence_of(error);
        }
        state.finished = true;
        publish(state);
    }

    const std::shared_ptr<const TraceSource> trace_;
    const bool follow_;
    mutable std::mutex mutex_;
    std::shared_ptr<const State> latest_;
    std::jthread thread_;  ///< last: ends before what it uses goes
};

}  // namespace moescope::routing
