// What the routers of a model decide, on its way from the model's process to the node, while the model works.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "nodes/service/workers/worker_wire.hpp"
#include "routing/choice.hpp"
#include "routing/intervention_plan.hpp"
#include "routing/piece_maker.hpp"

namespace moescope::node {

/// The trace of one run in pieces: none waits for more than kLongestWait, however slow the model is, and none is longer
/// than a record. A token with its scores goes beside them.
class RoutingStream {
 public:
    static constexpr std::chrono::milliseconds kLongestWait{200};

    struct What {
        std::uint32_t run = 0;
        routing::Detail detail = routing::Detail::weights;
        std::uint64_t first = 0;  ///< number of the first token; where it is 0 the node is told of the router
    };
    /// `plan`: what is changed. Throws Error as check() does.
    RoutingStream(WorkerWriter& writer, const What& what, const routing::RouterSpec& spec,
                  const routing::InterventionPlan& plan);
    ~RoutingStream();  ///< what was not finished is lost
    RoutingStream(const RoutingStream&) = delete;
    RoutingStream& operator=(const RoutingStream&) = delete;

    /// One thread. Throws Error.
    void add(const routing::TokenDecisions& token);
    /// Gives the rest. Throws Error.
    void finish();
    /// {"tokens", "log_probability" (sum), "with_log_probability" (how many), "agreement": {"decisions","equal"} with
    /// scores}.
    nlohmann::json summary() const;

 private:
    using Clock = std::chrono::steady_clock;

    void send(WorkerMessageKind kind, std::uint64_t token, std::span<const std::byte> packed);
    void watch(const std::stop_token& stop);

    WorkerWriter& writer_;
    const What what_;
    const routing::RouterSpec spec_;
    const routing::InterventionPlan plan_;
    std::mutex mutex_;  ///< of maker_, since_ and problem_
    std::condition_variable_any wake_;
    routing::PieceMaker maker_;
    Clock::time_point since_;  ///< that something waits
    std::exception_ptr problem_;
    std::uint64_t next_;
    std::uint64_t known_ = 0;
    double log_probability_ = 0;
    routing::Agreement agreement_;
    std::jthread watcher_;  ///< last: ends before what it uses goes
};

/// How far the work is, at most ten times a second and at its end. Thread safe where its caller is.
class ProgressStream {
 public:
    explicit ProgressStream(WorkerWriter& writer) : writer_(writer) {}
    void show(std::uint64_t done, std::uint64_t total);

 private:
    WorkerWriter& writer_;
    std::chrono::steady_clock::time_point last_{};
};

}  // namespace moescope::node
