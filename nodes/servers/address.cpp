#include "nodes/servers/address.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <fmt/format.h>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/text.hpp"

namespace moescope::servers {

using base::Error;
using base::say;

namespace {

constexpr std::string_view kPlain = "http://", kSecure = "https://";
constexpr std::size_t kLongestHost = 253, kLongestPrefix = 200;
constexpr std::uint16_t kPlainPort = 80, kSecurePort = 443;

bool begins_with(std::string_view text, std::string_view beginning) {
    return text.size() >= beginning.size() && std::equal(beginning.begin(), beginning.end(), text.begin(),
                                                         [](char a, char b) { return a == base::lower(b); });
}

bool is_letter_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_host_name(std::string_view host) {
    return !host.empty() && host.size() <= kLongestHost && host.front() != '.' && host.front() != '-' &&
           std::all_of(host.begin(), host.end(),
                       [](char c) { return is_letter_or_digit(c) || c == '.' || c == '-' || c == '_'; });
}

bool is_ipv6(const std::string& host) {
    in6_addr address{};
    return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

std::uint16_t port_of(std::string_view text, std::string_view whole) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0) {
        throw Error(say("'{}' has the port '{}'; a port is a number from 1 to 65535", base::one_line(whole),
                        base::one_line(text)));
    }
    return port;
}

/// "HOST", "HOST:PORT", "[IPV6]" or "[IPV6]:PORT".
void take_authority(std::string_view text, std::string_view whole, Address& address) {
    std::string_view port;
    if (text.starts_with('[')) {
        const std::size_t close = std::min(text.find(']'), text.size());
        address.host = base::lower(std::string(text.substr(1, close == 0 ? 0 : close - 1)));
        std::string_view rest = text.substr(std::min(close + 1, text.size()));
        if (close == text.size() || !is_ipv6(address.host) || (!rest.empty() && rest.front() != ':')) {
            throw Error(say("'{}' names no server: in brackets stands an IPv6 address", base::one_line(whole)));
        }
        port = rest;
    } else {
        const std::size_t colon = std::min(text.find(':'), text.size());
        address.host = base::lower(std::string(text.substr(0, colon)));
        if (!is_host_name(address.host)) {
            throw Error(say("'{}' names no server; write http://HOST:PORT/v1#NAME", base::one_line(whole)));
        }
        port = text.substr(colon);
    }
    if (!port.empty()) {
        address.port = port_of(port.substr(1), whole);
    }
}

void take_prefix(std::string_view path, std::string_view whole, Address& address) {
    while (path.ends_with('/')) {
        path.remove_suffix(1);
    }
    if (path.empty()) {
        address.prefix = "/v1";
        return;
    }
    const bool good = path.size() <= kLongestPrefix && path.find("//") == std::string_view::npos &&
                      path.find("..") == std::string_view::npos && std::all_of(path.begin(), path.end(), [](char c) {
                          return is_letter_or_digit(c) || std::string_view("/-._~").find(c) != std::string_view::npos;
                      });
    if (!good) {
        throw Error(say("'{}' has a path that is none of a server; mostly it is /v1", base::one_line(whole)));
    }
    address.prefix = path;
}

void take_model(std::string_view name, std::string_view whole, Address& address) {
    if (!is_model_name(name)) {
        throw Error(say("'{}' ends with no name of a model: it has 1 to {} bytes and neither control characters nor |",
                        base::one_line(whole), kLongestModel));
    }
    address.model = name;
}

}  // namespace

std::string Address::authority() const {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

std::string Address::server() const {
    return std::string(tls ? kSecure : kPlain) + authority() + prefix;
}

std::string Address::text() const {
    return model.empty() ? server() : server() + "#" + model;
}

bool is_model_name(std::string_view name) {
    // What could not be shown as it is (control characters, marks that turn the direction) is no name, either.
    return !name.empty() && name.size() <= kLongestModel && name.find('|') == std::string_view::npos &&
           base::shown_name(name) == name;
}

bool is_address(std::string_view text) {
    return begins_with(text, kPlain) || begins_with(text, kSecure);
}

Address parse_address(std::string_view text) {
    Address address;
    address.tls = begins_with(text, kSecure);
    if (!is_address(text)) {
        throw Error(say("'{}' names no server; write http://HOST:PORT/v1#NAME", base::one_line(text)));
    }
    std::string_view rest = text.substr(address.tls ? kSecure.size() : kPlain.size());
    if (rest.substr(0, rest.find_first_of("/?#")).find('@') != std::string_view::npos) {
        // Not repeated: what stands before the @ is a secret.
        throw Error(say("the address has a user or a password in it; a key belongs in a variable of the environment"));
    }
    if (rest.substr(0, rest.find('#')).find('?') != std::string_view::npos) {
        throw Error(
            say("the address has a query in it, which no server of models needs; a key belongs in a variable "
                "of the environment"));
    }
    if (const std::size_t hash = rest.find('#'); hash != std::string_view::npos) {
        take_model(rest.substr(hash + 1), text, address);
        rest = rest.substr(0, hash);
    }
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    address.port = address.tls ? kSecurePort : kPlainPort;
    take_authority(rest.substr(0, slash), text, address);
    take_prefix(rest.substr(slash), text, address);
    return address;
}

bool names_this_machine(const Address& address) {
    in_addr four{};
    in6_addr six{};
    if (inet_pton(AF_INET, address.host.c_str(), &four) == 1) {
        return (ntohl(four.s_addr) >> 24) == 127;
    }
    if (inet_pton(AF_INET6, address.host.c_str(), &six) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
    }
    return address.host == "localhost";
}

}  // namespace moescope::servers
