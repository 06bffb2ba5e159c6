// Layout 1 of the binary records, which programs up to 2026-11 wrote: fixed fields in a fixed order. Read only.
#pragma once

#include <optional>
#include <span>

#include "nodes/protocol/records.hpp"

namespace moescope::protocol {

std::optional<StepRecord> decode_step_1(std::span<const std::byte> body);
std::optional<TokenBatch> decode_tokens_1(std::span<const std::byte> body);

}  // namespace moescope::protocol
