// What a viewer may ask of a node, and how one that comes over a network proves that it was invited.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moescope::protocol {

/// Each may do what those before it may.
enum class Right : std::uint8_t {
    viewer = 1,     ///< see what there is
    operator_ = 2,  ///< start, change and stop work
    admin = 3,      ///< add and remove models, end the node
};

inline bool covers(Right has, Right needed) {
    return static_cast<std::uint8_t>(has) >= static_cast<std::uint8_t>(needed);
}
const char* name_of(Right right);  ///< "viewer", "operator", "admin"
std::optional<Right> right_named(std::string_view name);

/// The body of AUTH: that the viewer knows the secret of an invitation. HMAC-SHA256 with the secret as the key over
/// "moescope viewer" and the 32 bytes that both ends of the TLS connection export (RFC 5705, label kExporterLabel): the
/// secret itself is never sent, and a proof is worth nothing on another connection.
struct Auth {
    std::array<std::uint8_t, 32> proof{};
    std::string name;  ///< of the viewer's machine, for the list of those who were let in; at most 100 bytes

    bool operator==(const Auth&) const = default;
};
inline constexpr std::string_view kExporterLabel = "EXPORTER-moescope-pairing";

std::vector<std::byte> encode_auth(const Auth& auth);
std::optional<Auth> decode_auth(std::span<const std::byte> body);

}  // namespace moescope::protocol
