#include "nodes/history/record_parts.hpp"

#include "nodes/protocol/record_heads.hpp"

namespace moescope::history {

sessions::RecordParts record_parts(std::uint16_t type, std::span<const std::byte> body) {
    const protocol::RecordHead head = protocol::head_of(static_cast<protocol::RecordType>(type), body);
    return {head.bytes, head.run};
}

}  // namespace moescope::history
