// The checksum of event files: a CRC-32C that was turned and shifted, so that the checksum of what holds checksums is
// no regular one.
#pragma once

#include <cstdint>

namespace moescope::curves {

constexpr std::uint32_t masked(std::uint32_t crc) {
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

}  // namespace moescope::curves
