// Where a node is, as people write it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nodes/security/pairing.hpp"

namespace moescope::transport {

struct NodeAddress {
    enum class Kind {
        socket,  ///< "unix:PATH": a node of this user on this machine
        ssh,     ///< "ssh://[USER@]HOST[:PORT][/SESSION]": started over the system's ssh
        tls,     ///< "tls://HOST:PORT", with "#KEY.SECRET" when it is an invitation
    };
    Kind kind = Kind::socket;
    std::string path;        ///< socket: the file; ssh: the session there, empty for the usual one
    std::string user, host;  ///< user: empty for the usual one; IPv6 without brackets
    std::uint16_t port = 0;  ///< 0: the usual one (ssh)
    std::optional<security::Invitation> invitation{};

    bool operator==(const NodeAddress& other) const {
        return kind == other.kind && path == other.path && user == other.user && host == other.host &&
               port == other.port;
    }
};

/// Throws base::Error, a sentence that says what is wrong and how an address looks.
NodeAddress parse_node_address(std::string_view text);
/// The address without its secret: what is shown and remembered.
std::string to_text(const NodeAddress& address);

/// "HOST:PORT" of a listener, "[::1]:7443" among them. Throws base::Error.
struct ListenAddress {
    std::string host;
    std::uint16_t port = 0;  ///< 0: any that is free
};
ListenAddress parse_listen_address(std::string_view text);

}  // namespace moescope::transport
