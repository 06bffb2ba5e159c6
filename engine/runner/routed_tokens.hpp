// A text as a watched model reads it, token by token: what route(), answer_routed() and the effect of a change have in
// common.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/runner/language_model.hpp"
#include "engine/runner/routed_model.hpp"

namespace moescope::engine {

/// What is known of a token before its successor is, whose `logits` [V] these are.
routing::TokenDecisions described(const LanguageModel& model, int position, std::int32_t token,
                                  std::vector<routing::LayerDecision>&& layers, std::span<const float> logits);
/// The successor, by the same logits.
void put_next(routing::TokenDecisions& decisions, std::int32_t next, std::span<const float> logits);

/// Throws Error: no tokens, more than the context holds, or one that the vocabulary does not have. `next`: see
/// RouteRequest.
void check_text(const RoutedModel& model, std::span<const std::int32_t> tokens, std::optional<std::int32_t> next);

/// Reads a text that was checked: look(decisions, logits [V]) for every token, in order. False when `cancel` turned
/// true meanwhile. Throws Error.
bool read_decisions(const LanguageModel& model, RoutedModel& routed, std::span<const std::int32_t> tokens,
                    std::optional<std::int32_t> next, const std::atomic<bool>& cancel,
                    const std::function<void(routing::TokenDecisions&, std::span<const float>)>& look);

}  // namespace moescope::engine
