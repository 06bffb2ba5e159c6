#include "panels/routing/token_colours.hpp"

#include <algorithm>
#include <array>

namespace moescope::panels {
namespace {

constexpr std::array<const char*, kTokenColours> kNames = {"expert", "weight", "margin", "entropy", "log_probability"};
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace

const char* token_colour_name(TokenColour colour) {
    return kNames[static_cast<std::size_t>(colour)];
}

std::optional<TokenColour> token_colour_named(std::string_view name) {
    const auto found = std::find(kNames.begin(), kNames.end(), name);
    return found == kNames.end() ? std::nullopt : std::optional(static_cast<TokenColour>(found - kNames.begin()));
}

ExpertLook expert_look(int expert) {
    const auto number = static_cast<std::size_t>(std::max(expert, 0));
    const std::size_t turn = number / 8;
    return {number % 8, turn % 2 == 1, turn / 2 % 2 == 1};
}

ImU32 expert_colour(const ui::Theme& theme, int expert) {
    return ui::packed(theme.series_color(expert_look(expert).hue));
}

TokenLook look_of_expert(const ui::Theme& theme, int expert) {
    const ExpertLook look = expert_look(expert);
    const ImVec4 colour = theme.series_color(look.hue);
    return {ui::packed(colour, look.faint ? 0.18f : 0.34f), look.underlined ? ui::packed(colour) : 0};
}

TokenLook look_of_strength(const ui::Theme& theme, double strength) {
    if (!(strength > 0)) {
        return {};
    }
    const auto alpha = static_cast<float>(0.55 * std::min(strength, 1.0));
    // The strongest are underlined as well.
    return {ui::packed(theme.accent, alpha), strength >= 0.9 ? ui::packed(theme.accent) : 0};
}

std::optional<int> expert_at(const routing::Chunk& chunk, std::size_t place, std::size_t at, std::size_t rank) {
    if (place >= chunk.shape.layers || at >= chunk.tokens || chunk.ids.empty()) {
        return {};
    }
    const auto ids = chunk.ids_of(place, at);
    return rank < ids.size() ? std::optional<int>(ids[rank]) : std::nullopt;
}

bool chooses(const routing::Chunk& chunk, std::size_t place, std::size_t at, int expert) {
    if (expert < 0 || place >= chunk.shape.layers || at >= chunk.tokens || chunk.ids.empty()) {
        return false;
    }
    const auto ids = chunk.ids_of(place, at);
    return std::find(ids.begin(), ids.end(), static_cast<std::uint16_t>(expert)) != ids.end();
}

double tinted_value(const Colouring& colouring, const routing::Chunk& chunk, std::size_t at, float own) {
    const std::size_t place = colouring.place;
    if (colouring.colour == TokenColour::log_probability) {
        return own;
    }
    if (place >= chunk.shape.layers || at >= chunk.tokens || chunk.chosen.empty() ||
        chunk.chosen[chunk.cell(place, at)] == 0) {
        return kNone;
    }
    const auto of = [&](const std::vector<float>& column) {
        return column.empty() ? kNone : static_cast<double>(column[chunk.cell(place, at)]);
    };
    switch (colouring.colour) {
        case TokenColour::weight: {
            const auto weights = chunk.weights_of(place, at);
            return colouring.rank < weights.size() ? static_cast<double>(weights[colouring.rank]) : kNone;
        }
        case TokenColour::margin:
            return of(chunk.margin);
        case TokenColour::entropy:
            return of(chunk.entropy);
        case TokenColour::expert:
        case TokenColour::log_probability:
            break;
    }
    return kNone;
}

double scale_of(const Colouring& colouring, const routing::Chunk& chunk) {
    if (colouring.colour == TokenColour::entropy) {
        return chunk.shape.experts > 1 ? std::log(static_cast<double>(chunk.shape.experts)) : 1;
    }
    double largest = 0, sum = 0;
    std::size_t count = 0;
    for (std::size_t at = 0; at < chunk.tokens; ++at) {
        const double value = tinted_value(colouring, chunk, at, static_cast<float>(kNone));
        if (std::isfinite(value)) {
            largest = std::max(largest, value);
            sum += std::abs(value);
            ++count;
        }
    }
    const double scale =
        colouring.colour == TokenColour::margin && count > 0 ? sum / static_cast<double>(count) : largest;
    return scale > 0 ? scale : 1;
}

double strength(const Colouring& colouring, double value) {
    if (std::isnan(value)) {
        return kNone;
    }
    const double share = colouring.scale > 0 ? std::clamp(value / colouring.scale, 0.0, 1.0) : 0.0;
    switch (colouring.colour) {
        case TokenColour::weight:
        case TokenColour::entropy:
            return share;
        case TokenColour::margin:
            return std::exp(-std::max(value, 0.0) / (colouring.scale > 0 ? colouring.scale : 1));
        case TokenColour::log_probability:
            return 1 - std::exp(std::min(value, 0.0));
        case TokenColour::expert:
            break;
    }
    return kNone;
}

}  // namespace moescope::panels
