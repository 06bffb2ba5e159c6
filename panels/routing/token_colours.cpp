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

TintScale scale_of(TokenColour colour, std::vector<double> values) {
    values.erase(std::remove_if(values.begin(), values.end(), [](double value) { return !std::isfinite(value); }),
                 values.end());
    if (values.empty()) {
        return {};
    }
    if (colour == TokenColour::margin) {
        double sum = 0;
        for (const double value : values) {
            sum += std::abs(value);
        }
        return {0, sum > 0 ? sum / static_cast<double>(values.size()) : 1};
    }
    if (colour == TokenColour::log_probability) {
        std::transform(values.begin(), values.end(), values.begin(), [](double log) { return -log; });
    }
    std::sort(values.begin(), values.end());
    const double last = static_cast<double>(values.size() - 1);
    return {values[static_cast<std::size_t>(std::floor(0.05 * last))],
            values[static_cast<std::size_t>(std::ceil(0.95 * last))]};
}

double strength(const Colouring& colouring, double value) {
    if (std::isnan(value)) {
        return kNone;
    }
    const TintScale& scale = colouring.scale;
    const auto place = [&](double at) {
        return scale.high > scale.low ? std::clamp((at - scale.low) / (scale.high - scale.low), 0.0, 1.0) : 0.5;
    };
    switch (colouring.colour) {
        case TokenColour::weight:
        case TokenColour::entropy:
            return place(value);
        case TokenColour::margin:
            return std::exp(-std::max(value, 0.0) / (scale.high > 0 ? scale.high : 1));
        case TokenColour::log_probability:
            return place(-value);
        case TokenColour::expert:
            break;
    }
    return kNone;
}

}  // namespace moescope::panels
