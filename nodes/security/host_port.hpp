// "HOST:PORT" as people write it: one reader for addresses of nodes, places to listen at and invitations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moescope::security {

struct HostPort {
    std::string host;  ///< a name or an address; IPv6 without its brackets
    std::optional<std::uint16_t> port;
};

/// "HOST", "HOST:PORT", "[IPV6]", "[IPV6]:PORT". Nothing when it is none of these.
std::optional<HostPort> host_port_from(std::string_view text);
/// The host as it stands before a port: IPv6 in brackets.
std::string bracketed(const std::string& host);
/// No letter that a program to which it is handed could take for anything else; no option of it either.
bool is_plain_name(std::string_view name);

}  // namespace moescope::security
