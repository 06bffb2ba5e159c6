#include "panels/routing/routing_link.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <set>
#include <type_traits>

#include "base/foreign_text.hpp"
#include "base/text.hpp"

namespace moescope::panels {
namespace {

constexpr std::string_view kScheme = "moescope:", kView = "moescope:routing";
constexpr std::size_t kLongest = 500;  ///< bytes
constexpr std::int64_t kMostToken = std::int64_t{1} << 52, kMostNumber = 65534;

std::optional<std::int64_t> number_in(std::string_view text, std::int64_t least, std::int64_t most) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
        return {};
    }
    return value;
}

std::string shown(std::string_view text) {
    return base::one_line(text, 60);
}

/// False when the value is none for this key; `known` false when there is no such key.
bool take(RoutingLink& link, std::string_view key, std::string_view value, bool& known) {
    const auto number = [&](auto& into, std::int64_t least, std::int64_t most) {
        const auto read = number_in(value, least, most);
        if (read) {
            into = static_cast<std::decay_t<decltype(*into)>>(*read);
        }
        return read.has_value();
    };
    known = true;
    if (key == "run") {
        const auto run = number_in(value, 1, 999'999'999);
        link.run = static_cast<std::uint32_t>(run.value_or(0));
        return run.has_value();
    }
    if (key == "token") {
        return number(link.token, 0, kMostToken);
    }
    if (key == "layer") {
        return number(link.layer, 0, kMostNumber);
    }
    if (key == "expert") {
        return number(link.expert, 0, kMostNumber);
    }
    if (key == "rank") {
        return number(link.rank, 0, kMostNumber);
    }
    if (key == "colour") {
        link.colour = token_colour_named(value);
        return link.colour.has_value();
    }
    known = false;
    return false;
}

}  // namespace

std::string to_text(const RoutingLink& link) {
    std::string text(kView);
    const auto put = [&](const char* key, const auto& value) {
        text += fmt::format("{}{}={}", text.size() == kView.size() ? '?' : '&', key, value);
    };
    if (link.run != 0) {
        put("run", link.run);
    }
    if (link.token) {
        put("token", *link.token);
    }
    if (link.layer) {
        put("layer", *link.layer);
    }
    if (link.expert) {
        put("expert", *link.expert);
    }
    if (link.colour) {
        put("colour", token_colour_name(*link.colour));
    }
    if (link.rank) {
        put("rank", *link.rank);
    }
    return text;
}

std::optional<RoutingLink> parse_link(std::string_view text, LinkProblem& problem) {
    problem = {};
    text = base::trimmed(text);
    if (text.size() > kLongest || !text.starts_with(kScheme)) {
        problem = {"routing.link.none", shown(text)};
        return {};
    }
    const std::size_t question = text.find('?');
    if (text.substr(0, question) != kView) {
        problem = {"routing.link.view", shown(text.substr(0, question))};
        return {};
    }
    RoutingLink link;
    std::string_view rest = question == std::string_view::npos ? std::string_view() : text.substr(question + 1);
    std::set<std::string_view> seen;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('&'), rest.size());
        const std::string_view part = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const std::size_t equal = part.find('=');
        const std::string_view key = part.substr(0, equal);
        if (equal == std::string_view::npos || !seen.insert(key).second) {
            problem = {equal == std::string_view::npos ? "routing.link.part" : "routing.link.twice", shown(part)};
            return {};
        }
        bool known = false;
        if (!take(link, key, part.substr(equal + 1), known)) {
            problem = {known ? "routing.link.value" : "routing.link.part", shown(part)};
            return {};
        }
    }
    return link;
}

}  // namespace moescope::panels
