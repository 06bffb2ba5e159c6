// How precisely a trace keeps the numbers of a decision. Ids and token ids are kept exactly.
//
// Weights: logarithmically, 64 steps an octave, so that a weight that is read back is off by 0.54 % of itself at most.
// That is about the rounding of bfloat16 (0.39 %), in which the routers of most open models are computed, and far less
// than what 8-bit quantisation of a model does to them; a finer step would cost a byte for every eighth of it. Equal
// steps of the logarithm (and not of the weight) because weights of routers without normalisation go down to 1e-4.
// Zero is exact; what has no logarithm (negative, not finite) is kept as the float it is.
// Margins: 16 steps an octave, 2.2 % at most: they are looked at by their size. Zero is exact.
// Entropies: steps of 1/4096 nat.
// Whoever shows them or writes a table prints no more digits than that gives; a trace as text (trace_lines.hpp), which
// is read again, keeps the floats.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace moescope::routing {

inline constexpr int kWeightSteps = 64, kMarginSteps = 16, kEntropySteps = 4096;
inline constexpr int kWeightDigits = 3, kMarginDigits = 2, kEntropyDigits = 4;  ///< significant ones

inline constexpr std::int16_t kZeroWeight = std::numeric_limits<std::int16_t>::min();
inline constexpr std::int16_t kRawWeight = kZeroWeight + 1;  ///< the float stands elsewhere

inline std::int16_t weight_code(float weight) {
    if (weight == 0) {
        return kZeroWeight;
    }
    if (!(weight > 0) || !std::isfinite(weight)) {
        return kRawWeight;
    }
    return static_cast<std::int16_t>(std::lround(kWeightSteps * std::log2(weight)));  // |log2| <= 149 for floats
}

/// Of every code but kRawWeight.
inline float weight_of_code(std::int16_t code) {
    constexpr int kLeast = -160 * kWeightSteps, kMost = 130 * kWeightSteps;
    static const std::vector<float> kTable = [] {
        std::vector<float> table;
        for (int i = kLeast; i <= kMost; ++i) {
            table.push_back(static_cast<float>(std::exp2(static_cast<double>(i) / kWeightSteps)));
        }
        return table;
    }();
    return code < kLeast || code > kMost ? 0.0f : kTable[static_cast<std::size_t>(code - kLeast)];
}

inline constexpr std::uint16_t kUnknownCode = 0xffff;

/// Sign, then 1 + steps above 2^-64; 0 is zero.
inline std::uint16_t margin_code(float margin) {
    if (std::isnan(margin)) {
        return kUnknownCode;
    }
    if (margin == 0) {
        return 0;
    }
    const float steps = kMarginSteps * (std::log2(std::abs(margin)) + 64);
    const auto code = static_cast<std::uint16_t>(1 + std::lround(std::clamp(steps, 0.0f, 32000.0f)));
    return static_cast<std::uint16_t>(code | (margin < 0 ? 0x8000u : 0u));
}
inline float margin_of_code(std::uint16_t code) {
    if (code == kUnknownCode) {
        return std::numeric_limits<float>::quiet_NaN();
    }
    const int steps = code & 0x7fff;
    const float size = steps == 0 ? 0.0f : std::exp2(static_cast<float>(steps - 1) / kMarginSteps - 64);
    return (code & 0x8000) != 0 ? -size : size;
}

inline std::uint16_t entropy_code(float entropy) {
    if (!(entropy >= 0)) {
        return kUnknownCode;
    }
    return static_cast<std::uint16_t>(std::min(65534.0f, std::round(entropy * kEntropySteps)));
}
inline float entropy_of_code(std::uint16_t code) {
    return code == kUnknownCode ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(code) / kEntropySteps;
}

}  // namespace moescope::routing
