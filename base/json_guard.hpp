// JSON from outside: parsed through a handler that stops at a depth, so that no nesting can exhaust the stack, and
// refuses what is too long.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace moescope::base {

inline constexpr int kJsonDepth = 16;

/// The value, or nothing when it is longer than `limit` bytes, no valid JSON (UTF-8 included), or nested deeper than
/// kJsonDepth.
std::optional<nlohmann::json> parse_json(std::span<const std::byte> text, std::size_t limit);
/// The same for text that has to be an object.
std::optional<nlohmann::json> parse_object(std::span<const std::byte> text, std::size_t limit);
inline std::optional<nlohmann::json> parse_object(std::string_view text, std::size_t limit) {
    return parse_object(std::as_bytes(std::span(text)), limit);
}
/// UTF-8 text; invalid bytes in strings become U+FFFD.
std::string dump_json(const nlohmann::json& value);

}  // namespace moescope::base
