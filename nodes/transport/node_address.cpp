#include "nodes/transport/node_address.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "base/error.hpp"
#include "base/text.hpp"
#include "nodes/security/host_port.hpp"

namespace moescope::transport {

using base::Error;
using base::say;

namespace {

constexpr std::size_t kLongestPath = 4096;

Error no_address(std::string_view text) {
    return Error(
        say("'{}' is no address of a node; write ssh://[user@]host[:port] or tls://host:port, or paste what "
            "`moescope-node pair` printed",
            std::string(text.substr(0, 200))));
}

}  // namespace

NodeAddress parse_node_address(std::string_view given) {
    const std::string_view text = base::trimmed(given);
    NodeAddress address;
    if (text.starts_with("unix:")) {
        address.path = text.substr(5);
        if (address.path.empty() || address.path.size() > kLongestPath) {
            throw no_address(text);
        }
        return address;
    }
    if (text.starts_with("tls://")) {
        address.kind = NodeAddress::Kind::tls;
        std::string_view rest = text.substr(6);
        if (rest.find('#') != std::string_view::npos) {
            address.invitation = security::invitation_from(text);
            if (!address.invitation) {
                throw Error(say("this invitation is not whole; paste all that `moescope-node pair` printed"));
            }
            rest = rest.substr(0, rest.find('#'));
        }
        const auto place = security::host_port_from(rest);
        if (!place || !place->port || *place->port == 0) {
            throw no_address(text.substr(0, text.find('#')));
        }
        address.host = place->host;
        address.port = *place->port;
        return address;
    }
    if (!text.starts_with("ssh://")) {
        throw no_address(text.substr(0, text.find('#')));
    }
    address.kind = NodeAddress::Kind::ssh;
    std::string_view rest = text.substr(6);
    if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
        address.path = rest.substr(slash);
        rest = rest.substr(0, slash);
        if (address.path == "/") {
            address.path.clear();
        }
    }
    if (const auto at = rest.find('@'); at != std::string_view::npos) {
        address.user = rest.substr(0, at);
        rest = rest.substr(at + 1);
        if (!security::is_plain_name(address.user)) {
            throw no_address(text);
        }
    }
    const auto place = security::host_port_from(rest);
    const bool path_is_plain =
        std::none_of(address.path.begin(), address.path.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
    if (!place || (place->port && *place->port == 0) || address.path.size() > kLongestPath || !path_is_plain) {
        throw no_address(text);
    }
    address.host = place->host;
    address.port = place->port.value_or(0);
    return address;
}

std::string to_text(const NodeAddress& address) {
    switch (address.kind) {
        case NodeAddress::Kind::socket:
            return fmt::format("unix:{}", address.path);
        case NodeAddress::Kind::ssh:
            return fmt::format("ssh://{}{}{}{}{}{}", address.user, address.user.empty() ? "" : "@",
                               security::bracketed(address.host), address.port == 0 ? "" : ":",
                               address.port == 0 ? std::string() : std::to_string(address.port), address.path);
        case NodeAddress::Kind::tls:
            return fmt::format("tls://{}:{}", security::bracketed(address.host), address.port);
    }
    return {};
}

ListenAddress parse_listen_address(std::string_view given) {
    const std::string_view text = base::trimmed(given);
    const auto place = security::host_port_from(text);
    if (!place || !place->port) {
        throw Error(say("'{}' is no address to listen at; write HOST:PORT, for example 127.0.0.1:7443 or [::]:7443",
                        std::string(text.substr(0, 200))));
    }
    return {place->host, *place->port};
}

}  // namespace moescope::transport
