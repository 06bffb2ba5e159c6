// A record of the journal as the client gets it, for tests without a node.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "nodes/protocol/frame.hpp"
#include "nodes/protocol/records.hpp"

namespace moescope::client::test {

inline protocol::Frame record_frame(protocol::RecordType type, std::uint32_t epoch, std::uint64_t sequence,
                                    std::vector<std::byte> body) {
    protocol::Frame frame;
    frame.type = static_cast<std::uint16_t>(type);
    frame.channel = static_cast<std::uint8_t>(protocol::channel_of(type));
    frame.epoch = epoch;
    frame.sequence = sequence;
    frame.body = std::move(body);
    return frame;
}

}  // namespace moescope::client::test
