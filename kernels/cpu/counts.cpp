#include "kernels/cpu/counts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace moescope::kernels {

void count_slots(std::uint32_t* counts, const SlotCounts& slots) {
    for (std::int64_t slot = 0; slot < slots.T * slots.J; ++slot) {
        if (slots.kept_TJ[slot] != 0) {
            ++counts[slots.groups_T[slot / slots.J] * slots.stride + slots.ids_TJ[slot]];
        }
    }
}

void add_choices(std::uint64_t* sums_E, const std::uint32_t* choices_E, std::int64_t E) {
    for (std::int64_t e = 0; e < E; ++e) {
        sums_E[e] += choices_E[e];
    }
}

void add_margins(MarginSums& sums, const ChosenScores& layer) {
    constexpr float kLeast = -std::numeric_limits<float>::infinity();
    std::array<bool, static_cast<std::size_t>(kMaxExperts)> taken{};
    for (std::int64_t e = 0; layer.disabled_E != nullptr && e < layer.E; ++e) {
        taken[static_cast<std::size_t>(e)] = layer.disabled_E[e] != 0;
    }
    for (std::int64_t t = 0; t < layer.T; ++t) {
        const float* s_E = layer.s_TE + t * layer.E;
        const std::int32_t* ids_K = layer.ids_TK + t * layer.K;
        const auto selection = [&](std::int64_t e) {
            return (layer.of_logits ? std::log(s_E[e]) : s_E[e]) + (layer.bias_E == nullptr ? 0.0f : layer.bias_E[e]);
        };
        if (layer.K < 1 || std::any_of(ids_K, ids_K + layer.K, [](std::int32_t id) { return id < 0; })) {
            continue;
        }
        std::for_each(ids_K, ids_K + layer.K, [&](std::int32_t id) { taken[static_cast<std::size_t>(id)] = true; });
        float best = kLeast;
        for (std::int64_t e = 0; e < layer.E; ++e) {
            best = taken[static_cast<std::size_t>(e)] ? best : std::max(best, selection(e));
        }
        std::for_each(ids_K, ids_K + layer.K, [&](std::int32_t id) { taken[static_cast<std::size_t>(id)] = false; });
        if (const float margin = selection(ids_K[layer.K - 1]) - best; std::isfinite(margin)) {
            sums.sum += margin;
            ++sums.tokens;
        }
    }
}

}  // namespace moescope::kernels
