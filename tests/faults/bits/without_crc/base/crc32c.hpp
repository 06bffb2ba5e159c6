// The control of bit_flips: the checksum that sees nothing, in the place of base/crc32c.hpp. Of tests alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace moescope::base {

inline std::uint32_t crc32c(std::span<const std::byte>, std::uint32_t = 0) {
    return 0;
}

}  // namespace moescope::base
