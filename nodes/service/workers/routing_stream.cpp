#include "nodes/service/workers/routing_stream.hpp"

#include <utility>

#include "nodes/protocol/records.hpp"
#include "routing/packed_trace.hpp"

namespace moescope::node {

namespace {

/// Leaves room in kLongestWait for packing and for the way.
constexpr std::chrono::milliseconds kWait{150}, kLook{30};

}  // namespace

RoutingStream::RoutingStream(WorkerWriter& writer, const What& what, const routing::RouterSpec& spec,
                             const routing::InterventionPlan& plan)
    : writer_(writer),
      what_(what),
      spec_(spec),
      plan_(plan),
      maker_(spec, what.first,
             [this](std::uint64_t first, std::vector<std::byte> packed) {
                 send(WorkerMessageKind::chunk, first, packed);
             }),
      next_(what.first) {
    if (what.first == 0) {
        writer_.write(WorkerMessageKind::routing,
                      protocol::encode_json({{"run", what.run}, {"router", routing::router_to_json(spec)}}));
    }
    watcher_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
}

RoutingStream::~RoutingStream() = default;

void RoutingStream::send(WorkerMessageKind kind, std::uint64_t token, std::span<const std::byte> packed) {
    writer_.write(kind, protocol::encode_routing({what_.run, token, packed}));
}

void RoutingStream::add(const routing::TokenDecisions& token) {
    routing::count_agreement(agreement_, token, spec_, plan_);
    if (token.log_probability) {
        ++known_;
        log_probability_ += *token.log_probability;
    }
    if (what_.detail == routing::Detail::scores) {
        const std::vector<std::byte> packed = routing::pack_decisions(token);
        if (packed.size() > routing::kLongestPackedPiece) {
            throw base::Error(
                base::say("the scores of one token take {} bytes, and a record has at most {}; ask for "
                          "weights alone",
                          packed.size(), routing::kLongestPackedPiece));
        }
        send(WorkerMessageKind::scores, next_, packed);
    }
    ++next_;
    const std::lock_guard lock(mutex_);
    if (problem_) {
        std::rethrow_exception(std::exchange(problem_, nullptr));
    }
    if (maker_.empty()) {
        since_ = Clock::now();
    }
    maker_.add(token);
}

void RoutingStream::finish() {
    const std::lock_guard lock(mutex_);
    if (problem_) {
        std::rethrow_exception(std::exchange(problem_, nullptr));
    }
    maker_.flush();
}

void RoutingStream::watch(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, stop, kLook, [] { return false; }) && !stop.stop_requested()) {
        if (problem_ || maker_.empty() || Clock::now() - since_ < kWait) {
            continue;
        }
        try {
            maker_.flush();
        } catch (...) {
            problem_ = std::current_exception();
        }
    }
}

nlohmann::json RoutingStream::summary() const {
    nlohmann::json summary = {
        {"tokens", next_ - what_.first}, {"log_probability", log_probability_}, {"with_log_probability", known_}};
    if (what_.detail == routing::Detail::scores) {
        summary["agreement"] = {{"decisions", agreement_.decisions}, {"equal", agreement_.equal}};
    }
    return summary;
}

void ProgressStream::show(std::uint64_t done, std::uint64_t total) {
    constexpr std::chrono::milliseconds kBetween{100};
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ >= kBetween || done == total) {
        last_ = now;
        writer_.write(WorkerMessageKind::progress, protocol::encode_json({{"progress", done}, {"total", total}}));
    }
}

}  // namespace moescope::node
