// The part of a record that is wanted of every step of a long session: its head. Of a step everything but what each
// layer and expert did; of any other record all of it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "nodes/protocol/records.hpp"

namespace moescope::protocol {

/// DATA frames whose body is many records of one channel, packed and without their tails
/// (sessions/packed_records.hpp); no record of the journal is of this type. Position and time are those of the last
/// one.
inline constexpr std::uint16_t kPackedHeads = 0x7000;

struct RecordHead {
    std::size_t bytes = 0;  ///< of the body, from its beginning
    std::uint32_t run = 0;  ///< of a record whose head is not all of it
};
RecordHead head_of(RecordType type, std::span<const std::byte> body);

/// A step of which only the head is there: without counts and the routers' entropies. All of it when that is there.
std::optional<StepRecord> decode_step_head(std::span<const std::byte> head);

}  // namespace moescope::protocol
