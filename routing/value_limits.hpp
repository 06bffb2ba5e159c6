// What the numbers of a decision can be at all. A trace from outside that says something else was not made by a router,
// and figures over it would show nonsense: text is refused, a piece in columns counts as damaged.
//
// Entropies lie between 0 and ln E. Log-probabilities are not above 0. Weights are scores times the scale, and the
// scores of every known scoring lie from 0 on (softmax and sigmoid: up to 1); those of a scoring that nobody knows may
// be raw logits, of either sign. A margin below 0 is possible: it says that the executed ids are not those that the
// scores give (routing/choice.hpp, Agreement). Its size is bounded where the choice is by shares of 1 alone: a softmax
// without a bias, unchanged. With a sigmoid it is not: libllama lets Llama 4 choose by logits.
#pragma once

#include <limits>

#include "routing/chunk.hpp"
#include "routing/decision.hpp"

namespace moescope::routing {

struct ValueLimits {
    float entropy = std::numeric_limits<float>::infinity();  ///< from 0
    float margin = std::numeric_limits<float>::infinity();   ///< of its size
    float least_score = -std::numeric_limits<float>::infinity(), most_score = std::numeric_limits<float>::infinity();
    float least_weight = -std::numeric_limits<float>::infinity();
};

/// Of a spec that was checked. `changed`: its choice was intervened in, or may have been.
ValueLimits limits_of(const RouterSpec& spec, bool changed);

/// Throws Error, a sentence without a subject. What is NaN is not known, and possible.
void check(const LayerDecision& decision, const ValueLimits& limits);
void check_log_probability(float value);
/// The same of all numbers of a piece, those columns that it has.
bool possible(const Chunk& chunk, const ValueLimits& limits);

}  // namespace moescope::routing
