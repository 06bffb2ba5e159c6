// Building blocks of the fused loops: 16 float lanes, added in a fixed order whatever the vector width of the machine.
// Internal to kernels/cpu; the functions are inline so that they vectorise in their callers.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace moescope::kernels::lanes {

inline constexpr std::int64_t kWidth = 16;

#ifdef __AVX512F__
using Lanes = float __attribute__((vector_size(64)));
#else
// Two vectors of 8: GCC keeps one of 16 on the stack where the machine has no register for it, which took four times as
// long as reading the weights.
using HalfLanes = float __attribute__((vector_size(32)));
struct Lanes {
    HalfLanes low, high;
    Lanes& operator+=(const Lanes& other) {
        low += other.low;
        high += other.high;
        return *this;
    }
};
inline Lanes operator*(const Lanes& a, const Lanes& b) {
    return {a.low * b.low, a.high * b.high};
}
inline Lanes operator*(float a, const Lanes& b) {
    return {a * b.low, a * b.high};
}
#endif

// By reference: passing long vectors by value warns about the ABI on machines without registers for them.
inline void load(Lanes& lanes, const float* from) {
#ifdef __AVX512F__
    std::memcpy(&lanes, from, sizeof(Lanes));
#else
    std::memcpy(&lanes.low, from, sizeof lanes.low);
    std::memcpy(&lanes.high, from + kWidth / 2, sizeof lanes.high);
#endif
}

inline void store(float* to, const Lanes& lanes) {
#ifdef __AVX512F__
    std::memcpy(to, &lanes, sizeof(Lanes));
#else
    std::memcpy(to, &lanes.low, sizeof lanes.low);
    std::memcpy(to + kWidth / 2, &lanes.high, sizeof lanes.high);
#endif
}

/// Pairwise tree over the lanes, then the tail in order.
inline float add_up(const Lanes& lanes) {
    using Eight = float __attribute__((vector_size(32)));
    using Four = float __attribute__((vector_size(16)));
#ifdef __AVX512F__
    const Eight eight = __builtin_shufflevector(lanes, lanes, 0, 1, 2, 3, 4, 5, 6, 7) +
                        __builtin_shufflevector(lanes, lanes, 8, 9, 10, 11, 12, 13, 14, 15);
#else
    const Eight eight = lanes.low + lanes.high;
#endif
    const Four four =
        __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

inline float dot(const float* a, const float* b, std::int64_t n) {
    Lanes sum = {};
    std::int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
        Lanes x, y;
        load(x, a + i);
        load(y, b + i);
        sum += x * y;
    }
    float total = add_up(sum);
    for (; i < n; ++i) {
        total += a[i] * b[i];
    }
    return total;
}

/// Sum of a[i] b[i] c[i].
inline float dot3(const float* a, const float* b, const float* c, std::int64_t n) {
    Lanes sum = {};
    std::int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
        Lanes x, y, z;
        load(x, a + i);
        load(y, b + i);
        load(z, c + i);
        sum += x * y * z;
    }
    float total = add_up(sum);
    for (; i < n; ++i) {
        total += a[i] * b[i] * c[i];
    }
    return total;
}

/// Largest value; a NaN may be skipped, the exponentials of the same row then still carry it. n >= 1.
inline float maximum(const float* a, std::int64_t n) {
    float best[kWidth];
    for (std::int64_t lane = 0; lane < kWidth; ++lane) {
        best[lane] = a[0];
    }
    std::int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
        for (std::int64_t lane = 0; lane < kWidth; ++lane) {
            best[lane] = a[i + lane] > best[lane] ? a[i + lane] : best[lane];
        }
    }
    for (; i < n; ++i) {
        best[0] = a[i] > best[0] ? a[i] : best[0];
    }
    for (std::int64_t lane = 1; lane < kWidth; ++lane) {
        best[0] = best[lane] > best[0] ? best[lane] : best[0];
    }
    return best[0];
}

/// e^x within 2e-7 relative for x in [-87, 88]; smaller arguments give about 1e-38, larger about 2e38, NaN gives NaN.
inline float exponential(float x) {
    constexpr float kLog2e = 1.44269504088896341f;
    constexpr float kLn2High = 0.693145751953125f, kLn2Low = 1.42860682030941723e-6f;
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves round(x) in the low mantissa bits
    x = x > 88.3f ? 88.3f : x;
    x = x < -87.3f ? -87.3f : x;
    const float shifted = x * kLog2e + kRound;
    const float k = shifted - kRound;
    const float r = (x - k * kLn2High) - k * kLn2Low;
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const std::uint32_t scale = (std::bit_cast<std::uint32_t>(shifted) << 23) + (127u << 23);
    return p * std::bit_cast<float>(scale);
}

/// values[i] = e^(scale * values[i] - shift); gives their sum. The sum of n terms >= 0 in 16 lanes.
inline float exponentials(float* values, std::int64_t n, float scale, float shift) {
    for (std::int64_t i = 0; i < n; ++i) {
        values[i] = exponential(scale * values[i] - shift);
    }
    Lanes sum = {};
    std::int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
        Lanes x;
        load(x, values + i);
        sum += x;
    }
    float total = add_up(sum);
    for (; i < n; ++i) {
        total += values[i];
    }
    return total;
}

}  // namespace moescope::kernels::lanes
