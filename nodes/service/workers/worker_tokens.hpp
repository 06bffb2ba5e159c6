// The tokens of an answer on their way from a model's process to the node.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "nodes/protocol/records.hpp"
#include "nodes/service/workers/worker_wire.hpp"

namespace moescope::node {

/// Collects tokens and sends them at most every 20 ms, so that a fast model does not cost one message per token. One
/// thread.
class TokenStream {
 public:
    TokenStream(WorkerWriter& writer, std::uint32_t run) : writer_(writer) { batch_.run = run; }

    void add(protocol::TokenRecord token) {
        bytes_ += size_of(token);
        batch_.tokens.push_back(std::move(token));
        if (bytes_ >= kEnough || Clock::now() - last_ >= std::chrono::milliseconds(20)) {
            flush();
        }
    }

    void flush() {
        last_ = Clock::now();
        if (batch_.tokens.empty()) {
            return;
        }
        writer_.write(WorkerMessageKind::tokens, protocol::encode_tokens(batch_));
        batch_.first += static_cast<std::uint32_t>(batch_.tokens.size());
        batch_.tokens.clear();
        bytes_ = 0;
    }

 private:
    using Clock = std::chrono::steady_clock;
    /// Of one batch, which becomes a record of the journal: an answer that comes at once is more than one holds.
    static constexpr std::size_t kEnough = std::size_t{256} << 10;

    static std::size_t size_of(const protocol::TokenRecord& token) {
        constexpr std::size_t kNumbers = 16;
        std::size_t bytes = kNumbers + token.chosen.bytes.size() + 2 * token.experts.size();
        for (const protocol::TokenCandidate& other : token.alternatives) {
            bytes += kNumbers + other.bytes.size();
        }
        return bytes;
    }

    WorkerWriter& writer_;
    protocol::TokenBatch batch_;
    std::size_t bytes_ = 0;
    Clock::time_point last_{};
};

}  // namespace moescope::node
