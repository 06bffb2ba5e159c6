#include "nodes/transport/node_address.hpp"

#include <algorithm>
#include <charconv>

#include "base/error.hpp"
#include "base/text.hpp"

namespace moescope::transport {

using base::Error;
using base::say;

namespace {

constexpr std::size_t kLongestName = 253, kLongestPath = 4096;

Error no_address(std::string_view text) {
    return Error(
        say("'{}' is no address of a node; write ssh://[user@]host[:port] or tls://host:port, or paste what "
            "`moescope-node pair` printed",
            std::string(text.substr(0, 200))));
}

/// No letter that a program to which it is handed could take for anything else; no option of it either.
bool is_name(std::string_view name, bool with_colons) {
    return !name.empty() && name.size() <= kLongestName && name.front() != '-' &&
           std::all_of(name.begin(), name.end(), [&](unsigned char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                      c == '-' || c == '_' || (with_colons && (c == ':' || c == '%'));
           });
}

std::optional<std::uint16_t> port_of(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    return error == std::errc() && end == text.data() + text.size() && !text.empty() ? std::optional(port)
                                                                                     : std::nullopt;
}

struct Place {
    std::string host;
    std::optional<std::uint16_t> port;
};

/// "HOST", "HOST:PORT", "[IPV6]", "[IPV6]:PORT".
std::optional<Place> place_of(std::string_view text) {
    Place place;
    std::string_view rest;
    if (text.starts_with("[")) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) {
            return std::nullopt;
        }
        place.host = text.substr(1, end - 1);
        rest = text.substr(end + 1);
        if (place.host.find(':') == std::string::npos) {
            return std::nullopt;
        }
    } else {
        const auto colon = text.find(':');
        place.host = text.substr(0, colon);
        rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
    }
    if (!rest.empty()) {
        place.port = rest.front() == ':' ? port_of(rest.substr(1)) : std::nullopt;
        if (!place.port) {
            return std::nullopt;
        }
    }
    return is_name(place.host, true) ? std::optional(place) : std::nullopt;
}

std::string written(const std::string& host) {
    return host.find(':') == std::string::npos ? host : "[" + host + "]";
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
        const auto place = place_of(rest);
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
        if (!is_name(address.user, false)) {
            throw no_address(text);
        }
    }
    const auto place = place_of(rest);
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
            return "unix:" + address.path;
        case NodeAddress::Kind::ssh:
            return "ssh://" + (address.user.empty() ? "" : address.user + "@") + written(address.host) +
                   (address.port == 0 ? "" : ":" + std::to_string(address.port)) + address.path;
        case NodeAddress::Kind::tls:
            return "tls://" + written(address.host) + ":" + std::to_string(address.port);
    }
    return {};
}

ListenAddress parse_listen_address(std::string_view given) {
    const std::string_view text = base::trimmed(given);
    const auto place = place_of(text);
    if (!place || !place->port) {
        throw Error(say("'{}' is no address to listen at; write HOST:PORT, for example 127.0.0.1:7443 or [::]:7443",
                        std::string(text.substr(0, 200))));
    }
    return {place->host, *place->port};
}

}  // namespace moescope::transport
