// Base64 (RFC 4648, section 4), also from outside.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace moescope::base {

/// Strict: nothing when a character is none of the alphabet, the padding is missing or stands elsewhere than at the
/// end, or the text is longer than 1 GiB.
std::optional<std::string> decode_base64(std::string_view text);
/// At most 1 GiB of bytes; throws std::length_error for more.
std::string encode_base64(std::span<const std::byte> bytes);

}  // namespace moescope::base
