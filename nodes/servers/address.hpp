// Where another program answers: "http://127.0.0.1:8000/v1#NAME", the name being the model's on that server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace moescope::servers {

struct Address {
    bool tls = false;        ///< https
    std::string host;        ///< a name in lower case, or an IP address without brackets
    std::uint16_t port = 0;  ///< never 0 once it was parsed
    std::string prefix;      ///< what its paths begin with: "/v1"
    std::string model;       ///< its name on the server, as it is; empty: not named

    std::string authority() const;  ///< "127.0.0.1:8000", "[::1]:8000"
    std::string server() const;     ///< "http://127.0.0.1:8000/v1"
    std::string text() const;       ///< with "#NAME" where there is one
    bool operator==(const Address&) const = default;
};

inline constexpr std::size_t kLongestModel = 200;  ///< bytes
/// Whether a model can be asked for by this name: 1 to kLongestModel bytes that can be shown as they are, and no |
/// (which parts a model from a set of changes).
bool is_model_name(std::string_view name);
/// Whether a text is meant as one: it begins with http:// or https://.
bool is_address(std::string_view text);
/// Without a path it is /v1; without a port 80 or 443. Throws Error: no such address, a user or a password in it, a
/// query, a name that is too long or could not be shown as it is.
Address parse_address(std::string_view text);
/// Whether the host, as it is written, is this machine: "localhost" or a loopback address. What a name leads to is
/// looked at when it is resolved (http_client.hpp).
bool names_this_machine(const Address& address);

}  // namespace moescope::servers
