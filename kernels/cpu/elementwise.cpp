#include "kernels/cpu/elementwise.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.hpp"
#include "kernels/random.hpp"

namespace moescope::kernels {
namespace {
constexpr std::int64_t kBlock = std::int64_t{1} << 14;
}  // namespace

void add(float* out, const float* a, const float* b, std::int64_t n) {
    parallel_blocks(n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t i = begin; i < end; ++i) {
            out[i] = a[i] + b[i];
        }
    });
}

void add_share(float* sum, const float* x, float share, bool first, std::int64_t n) {
    parallel_blocks(n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t i = begin; i < end; ++i) {
            const float piece = share * x[i];
            sum[i] = first ? piece : sum[i] + piece;
        }
    });
}

void jitter(float* out, const float* x, std::int64_t n, double amount, std::uint64_t seed, std::uint64_t stream,
            std::uint64_t first) {
    parallel_blocks(n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t i = begin; i < end; ++i) {
            const double unit = random_unit(seed, stream, first + static_cast<std::uint64_t>(i));
            out[i] = x[i] * static_cast<float>(1.0 + amount * (2.0 * unit - 1.0));
        }
    });
}

void copy_columns(float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride, std::int64_t rows,
                  std::int64_t width) {
    for (std::int64_t row = 0; row < rows; ++row) {
        std::copy_n(from + row * from_stride, width, to + row * to_stride);
    }
}

void next_targets(std::int32_t* tokens_T, std::int32_t* next_T, const std::int32_t* targets_T, std::int64_t T,
                  std::int64_t length) {
    for (std::int64_t t = 0; t < T; ++t) {
        tokens_T[t] = targets_T[t];
        next_T[t] = t % length + 1 < length ? targets_T[t + 1] : -1;
    }
}

bool all_finite(const float* x, std::int64_t n) {
    return std::all_of(x, x + n, [](float value) { return std::isfinite(value); });
}

}  // namespace moescope::kernels
