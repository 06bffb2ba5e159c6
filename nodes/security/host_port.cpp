#include "nodes/security/host_port.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace moescope::security {

namespace {

constexpr std::size_t kLongestName = 253;

bool is_plain(std::string_view name, bool with_colons) {
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

}  // namespace

bool is_plain_name(std::string_view name) {
    return is_plain(name, false);
}

std::optional<HostPort> host_port_from(std::string_view text) {
    HostPort place;
    std::string_view rest;
    const bool six = text.starts_with("[");
    if (six) {
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
    return is_plain(place.host, six) ? std::optional(place) : std::nullopt;
}

std::string bracketed(const std::string& host) {
    return host.find(':') == std::string::npos ? host : fmt::format("[{}]", host);
}

}  // namespace moescope::security
