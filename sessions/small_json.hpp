// Small JSON files and record bodies of a session, which may come from anywhere: limited in size and depth.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

namespace moescope::sessions {

/// The object in `text`; nothing when it is longer than `limit`, invalid, no object, or nested deeper than 16 levels.
inline std::optional<nlohmann::json> parse_object(std::string_view text, std::size_t limit) {
    if (text.size() > limit)
        return std::nullopt;
    bool too_deep = false;
    const auto guard = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
        too_deep = too_deep || depth > 16;
        return !too_deep;  // what is discarded is never stored, so depth can't exhaust the stack
    };
    auto value = nlohmann::json::parse(text.begin(), text.end(), guard, false);
    if (too_deep || value.is_discarded() || !value.is_object())
        return std::nullopt;
    return value;
}

}  // namespace moescope::sessions
