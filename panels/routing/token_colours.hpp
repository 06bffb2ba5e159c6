// How the tokens of a trace are coloured: by the expert that was chosen, or tinted by a number of the decision. Pure.
#pragma once

#include <cmath>
#include <cstdint>
#include <imgui.h>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "panels/ui/theme.hpp"
#include "routing/chunk.hpp"

namespace moescope::panels {

enum class TokenColour : std::uint8_t { expert, weight, margin, entropy, log_probability };
inline constexpr int kTokenColours = 5;
/// "expert", "weight", "margin", "entropy", "log_probability": in links and as the end of language keys.
const char* token_colour_name(TokenColour colour);
std::optional<TokenColour> token_colour_named(std::string_view name);

/// The look of an expert, the same wherever it is shown: one of the eight colours of experts, and of those that share a
/// colour every other one underlined and every other two fainter. 32 looks; the number is always shown beside it.
struct ExpertLook {
    std::size_t hue = 0;  ///< index into ui::Theme::series
    bool underlined = false, faint = false;
    bool operator==(const ExpertLook&) const = default;
};
ExpertLook expert_look(int expert);

/// How one token is drawn.
struct TokenLook {
    ImU32 ground = 0;     ///< 0: none
    ImU32 underline = 0;  ///< 0: none
};
TokenLook look_of_expert(const ui::Theme& theme, int expert);
/// `strength` from 0 (no ground) to 1; NaN: not known, no ground.
TokenLook look_of_strength(const ui::Theme& theme, double strength);
/// The colour of an expert's mark beside its number.
ImU32 expert_colour(const ui::Theme& theme, int expert);

/// Between which values tints go from none to the strongest; see scale_of().
struct TintScale {
    double low = 0, high = 1;
};
/// What a colouring is made of: the layer and the rank that a person has chosen, and how values become tints.
struct Colouring {
    TokenColour colour = TokenColour::expert;
    std::size_t place = 0;  ///< of the layer among the routed ones
    std::size_t rank = 0;
    TintScale scale{};
    bool same_but_scale(const Colouring& other) const {
        return colour == other.colour && place == other.place && rank == other.rank;
    }
};
/// What tints are relative to, told by the tokens that are shown: from the 5th to the 95th percentile of their weights,
/// entropies or surprises (-log p), so that those that are shown can be told from each other; of margins 0 and their
/// mean. Values that are not known are left out; 0 and 1 without any.
TintScale scale_of(TokenColour colour, std::vector<double> values);
/// The number that the tint is made of, NaN where it is not known; `own` is the token's own log-probability.
double tinted_value(const Colouring& colouring, const routing::Chunk& chunk, std::size_t at, float own);
/// 0 to 1: large weights, large entropies, small margins (as exp(-margin / mean)) and improbable tokens are strong; 0.5
/// where the ends of the scale are the same.
double strength(const Colouring& colouring, double value);
/// The expert of a rank; nothing where so many were not chosen.
std::optional<int> expert_at(const routing::Chunk& chunk, std::size_t place, std::size_t at, std::size_t rank);
bool chooses(const routing::Chunk& chunk, std::size_t place, std::size_t at, int expert);

}  // namespace moescope::panels
