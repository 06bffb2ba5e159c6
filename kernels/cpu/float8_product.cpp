#include "kernels/cpu/float8_product.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

constexpr std::int64_t kTile = kFloat8Tile;
static_assert(2 * kTile * kFloat8Depth * sizeof(float) == kOperandRoom * sizeof(std::uint16_t));

/// An operand as it is stored: lines of `length`, `stride` apart. Sums run along the lines or across them.
struct Stored {
    const float* x;
    std::int64_t stride;
    bool along;
    Float8Tiles tiles;

    const float* at(std::int64_t row, std::int64_t term) const {
        return along ? x + row * stride + term : x + term * stride + row;
    }
};

/// The scale of each of at most kTile rows, over `terms` of the sum from `x` on.
void scales_of(float* scales, const Stored& from, const float* x, std::int64_t rows, std::int64_t terms) {
    std::fill_n(scales, rows, 0.0f);
    const std::int64_t lines = from.along ? rows : terms, length = from.along ? terms : rows;
    for (std::int64_t line = 0; line < lines; ++line) {
        const float* values = x + line * from.stride;
        if (from.along) {
            float most = 0;
            for (std::int64_t i = 0; i < length; ++i) {
                most = std::max(most, float8_magnitude(values[i]));
            }
            scales[line] = most;
        } else {
            for (std::int64_t i = 0; i < length; ++i) {
                scales[i] = std::max(scales[i], float8_magnitude(values[i]));
            }
        }
    }
    if (from.tiles == Float8Tiles::blocks) {
        std::fill_n(scales, rows, *std::max_element(scales, scales + rows));
    }
    std::transform(scales, scales + rows, scales, float8_scale);
}

/// Rows and terms from (row, term) on, each element rounded, in the order in which they are stored and without gaps.
/// `row` and `term` begin tiles; at most kTile rows.
void round_operand(float* copy, const Stored& from, std::int64_t row, std::int64_t rows, std::int64_t term,
                   std::int64_t terms) {
    float scales[kTile];
    const std::int64_t stride = from.along ? terms : rows;
    for (std::int64_t first = 0; first < terms; first += kTile) {
        const std::int64_t count = std::min(kTile, terms - first);
        const float* x = from.at(row, term + first);
        scales_of(scales, from, x, rows, count);
        float* to = copy + (from.along ? first : first * stride);
        for (std::int64_t line = 0; line < (from.along ? rows : count); ++line) {
            const float* values = x + line * from.stride;
            float* out = to + line * stride;
            if (from.along) {
                const float scale = scales[line];
                for (std::int64_t i = 0; i < count; ++i) {
                    out[i] = float8_rounded(values[i] / scale) * scale;
                }
            } else {
                for (std::int64_t i = 0; i < rows; ++i) {
                    out[i] = float8_rounded(values[i] / scales[i]) * scales[i];
                }
            }
        }
    }
}

}  // namespace

namespace reference {

void float8_operand(float* out, const float* x, std::int64_t row_stride, std::int64_t term_stride, std::int64_t rows,
                    std::int64_t depth, Float8Tiles tiles) {
    const std::int64_t height = tiles == Float8Tiles::blocks ? kTile : 1;
    for (std::int64_t row = 0; row < rows; row += height) {
        for (std::int64_t term = 0; term < depth; term += kTile) {
            const std::int64_t rows_end = std::min(rows, row + height), terms_end = std::min(depth, term + kTile);
            float most = 0;
            for (std::int64_t r = row; r < rows_end; ++r) {
                for (std::int64_t t = term; t < terms_end; ++t) {
                    const float value = x[r * row_stride + t * term_stride];
                    most = std::isfinite(value) ? std::max(most, std::abs(value)) : most;
                }
            }
            const float scale = float8_scale(most);
            for (std::int64_t r = row; r < rows_end; ++r) {
                for (std::int64_t t = term; t < terms_end; ++t) {
                    const float value = x[r * row_stride + t * term_stride];
                    out[r * depth + t] = float8_value(float8_code(float8_rounded(value / scale))) * scale;
                }
            }
        }
    }
}

void float8_gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                 std::int64_t lda, Float8Tiles tiles_a, const float* b, std::int64_t ldb, Float8Tiles tiles_b,
                 float beta, float* c, std::int64_t ldc) {
    std::vector<float> x(static_cast<std::size_t>(m * k)), y(static_cast<std::size_t>(n * k));
    const bool turned_a = op_a == Transpose::yes, turned_b = op_b == Transpose::yes;
    float8_operand(x.data(), a, turned_a ? 1 : lda, turned_a ? lda : 1, m, k, tiles_a);
    float8_operand(y.data(), b, turned_b ? ldb : 1, turned_b ? 1 : ldb, n, k, tiles_b);
    reference::gemm(Transpose::no, Transpose::yes, m, n, k, x.data(), k, y.data(), k, beta, c, ldc);
}

}  // namespace reference

void float8_gemm(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                 std::int64_t lda, Float8Tiles tiles_a, const float* b, std::int64_t ldb, Float8Tiles tiles_b,
                 float beta, float* c, std::int64_t ldc) {
    const OperandMode mode = operand_mode();
    const OperandsScope plain(Operands::f32);
    if (k <= 0) {
        gemm(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    const Stored from_a{a, lda, op_a == Transpose::no, tiles_a}, from_b{b, ldb, op_b == Transpose::yes, tiles_b};
    const std::int64_t depth = std::min(k, kFloat8Depth);
    std::vector<float> own;
    auto* room = reinterpret_cast<float*>(mode.room);
    if (room == nullptr) {
        own.resize(static_cast<std::size_t>(2 * kTile * depth));
        room = own.data();
    }
    for (std::int64_t l = 0; l < k; l += depth) {
        const std::int64_t kc = std::min(depth, k - l);
        for (std::int64_t i = 0; i < m; i += kTile) {
            const std::int64_t mc = std::min(kTile, m - i);
            float *x = room, *y = room + kTile * depth;
            round_operand(x, from_a, i, mc, l, kc);
            for (std::int64_t j = 0; j < n; j += kTile) {
                const std::int64_t nc = std::min(kTile, n - j);
                round_operand(y, from_b, j, nc, l, kc);
                gemm(op_a, op_b, mc, nc, kc, x, from_a.along ? kc : mc, y, from_b.along ? kc : nc, l == 0 ? beta : 1.0f,
                     c + i * ldc + j, ldc);
            }
        }
    }
}

}  // namespace moescope::kernels
