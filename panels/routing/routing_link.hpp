// A view of routing as a text that looks like a link: moescope:routing?run=7&token=120&layer=3&expert=5&colour=expert.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "panels/routing/token_colours.hpp"

namespace moescope::panels {

struct RoutingLink {
    std::uint32_t run = 0;                 ///< 0: the newest
    std::optional<std::int64_t> token{};   ///< number in the trace
    std::optional<int> layer{}, expert{};  ///< of the model
    std::optional<TokenColour> colour{};
    std::optional<std::size_t> rank{};
    bool operator==(const RoutingLink&) const = default;
};

std::string to_text(const RoutingLink& link);

/// Why a text is no link: the language key of a sentence, and what stands in it as {what}.
struct LinkProblem {
    const char* key = nullptr;  ///< null: it is one
    std::string what;
};
/// White space around it is left out. Parts that this version does not know, parts that stand twice and values out of
/// range are refused: a view that is not the one meant would be worse than none.
std::optional<RoutingLink> parse_link(std::string_view text, LinkProblem& problem);

}  // namespace moescope::panels
