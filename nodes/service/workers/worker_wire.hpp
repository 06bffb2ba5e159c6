// Messages between the node and a model's process, over two pipes: length u32, kind u8, body. Bodies are JSON objects
// or what comes token by token, which the node passes on without looking into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace moescope::node {

enum class WorkerMessageKind : std::uint8_t {
    json = 'J',      ///< a request or an answer
    tokens = 'T',    ///< protocol::TokenBatch
    lines = 'L',     ///< whole lines of text, each with its end
    routing = 'R',   ///< JSON {"run","router"}: of which router the chunks of that run are
    chunk = 'C',     ///< protocol::RoutingPiece
    scores = 'S',    ///< protocol::RoutingPiece with everything that the choices for one token were made of
    progress = 'P',  ///< JSON {"progress","total"}
    step = 'E',      ///< protocol::StepRecord, of ranks that train
    ranks = 'K',     ///< protocol::RankRecord of the same step
};

struct WorkerMessage {
    WorkerMessageKind kind = WorkerMessageKind::json;
    std::vector<std::byte> body;
};

/// Largest body; a peer that says more is cut off.
inline constexpr std::size_t kLargestWorkerMessage = std::size_t{4} << 20;

/// Writes whole messages to a file descriptor. Thread safe.
class WorkerWriter {
 public:
    explicit WorkerWriter(int descriptor) : descriptor_(descriptor) {}
    /// False when the other side is gone.
    bool write(WorkerMessageKind kind, const std::vector<std::byte>& body);
    bool write(const nlohmann::json& value);

 private:
    int descriptor_;
    std::mutex mutex_;
};

/// Takes bytes apart into messages. Not thread safe.
class WorkerReader {
 public:
    enum class Status { message, nothing, ended };
    explicit WorkerReader(int descriptor) : descriptor_(descriptor) {}
    /// Waits at most `timeout_ms` (below 0: for ever). A message that breaks the rules counts as the end.
    Status read(WorkerMessage& message, int timeout_ms);

 private:
    bool take(WorkerMessage& message);

    int descriptor_;
    std::vector<std::byte> buffer_;
    bool broken_ = false;
};

}  // namespace moescope::node
