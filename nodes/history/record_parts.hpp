// What a journal that packs its records has to know of them (sessions::Journal::pack_with).
#pragma once

#include <cstdint>
#include <span>

#include "sessions/journal.hpp"

namespace moescope::history {

sessions::RecordParts record_parts(std::uint16_t type, std::span<const std::byte> body);

}  // namespace moescope::history
