#include "kernels/cpu/few_rows.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/lanes.hpp"

namespace moescope::kernels {
namespace {

using lanes::kWidth;
using lanes::Lanes;

// Up to so many rows these loops were faster than the library with weights that are not in a cache. Measured with
// AVX-512; the sums of a tile would not fit into the registers of less.
#ifdef __AVX512F__
constexpr std::int64_t kMostRows = 32, kMostTurnedRows = 40;  // b as it stands, b transposed
#else
constexpr std::int64_t kMostRows = 0, kMostTurnedRows = 0;
#endif

// c = a b: rows of b are read in lanes, elements of a are spread over all lanes.

constexpr int kTileRows = 6, kTileLanes = 4;  // 24 sums in registers
constexpr std::int64_t kDepth = 64;           // rows of b per pass, so that they stay in the cache for all rows of a

/// c [M, V lanes] (+)= a [M, k] b [k, V lanes].
template <int M, int V>
void tile(float* c, std::int64_t ldc, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
          std::int64_t k, bool add) {
    Lanes sum[M][V] = {};
    for (int i = 0; add && i < M; ++i) {
        for (int v = 0; v < V; ++v) {
            lanes::load(sum[i][v], c + i * ldc + v * kWidth);
        }
    }
    for (std::int64_t l = 0; l < k; ++l) {
        Lanes row[V];
        for (int v = 0; v < V; ++v) {
            __builtin_prefetch(b + (l + kDepth) * ldb + v * kWidth);
            lanes::load(row[v], b + l * ldb + v * kWidth);
        }
        for (int i = 0; i < M; ++i) {
            for (int v = 0; v < V; ++v) {
                sum[i][v] += a[i * lda + l] * row[v];
            }
        }
    }
    for (int i = 0; i < M; ++i) {
        for (int v = 0; v < V; ++v) {
            lanes::store(c + i * ldc + v * kWidth, sum[i][v]);
        }
    }
}

/// M rows; the columns that do not fill all lanes are done one by one.
template <int M>
void tile_row(float* c, std::int64_t ldc, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
              std::int64_t n, std::int64_t k, bool add) {
    std::int64_t j = 0;
    for (; j + kTileLanes * kWidth <= n; j += kTileLanes * kWidth) {
        tile<M, kTileLanes>(c + j, ldc, a, lda, b + j, ldb, k, add);
    }
    for (; j + kWidth <= n; j += kWidth) {
        tile<M, 1>(c + j, ldc, a, lda, b + j, ldb, k, add);
    }
    for (; j < n; ++j) {
        for (int i = 0; i < M; ++i) {
            float sum = add ? c[i * ldc + j] : 0.0f;
            for (std::int64_t l = 0; l < k; ++l) {
                sum += a[i * lda + l] * b[l * ldb + j];
            }
            c[i * ldc + j] = sum;
        }
    }
}

void product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b,
             std::int64_t ldb, bool add, float* c, std::int64_t ldc) {
    constexpr decltype(&tile_row<1>) kBySize[kTileRows] = {tile_row<1>, tile_row<2>, tile_row<3>,
                                                           tile_row<4>, tile_row<5>, tile_row<6>};
    for (std::int64_t l = 0; l < k; l += kDepth) {
        for (std::int64_t i = 0, tiles = (m + kTileRows - 1) / kTileRows; tiles > 0; --tiles) {
            const std::int64_t rows = (m - i + tiles - 1) / tiles;  // as even as they can be
            kBySize[rows - 1](c + i * ldc, ldc, a + i * lda + l, lda, b + l * ldb, ldb, n, std::min(kDepth, k - l),
                              add || l > 0);
            i += rows;
        }
    }
}

// c = a b^T: rows of a, turned over, are read in lanes, elements of b are spread over all lanes. The result stands on
// its side and is turned in registers.

constexpr std::int64_t kEight = 8;
constexpr int kGroup = 2;  // rows of a, in eights: 16 sums in registers
using Eight = float __attribute__((vector_size(32)));
constexpr std::int64_t kTurnedDepth = 256;  // columns of a per pass

/// Turns an 8 x 8 matrix over.
void turn(Eight (&x)[8]) {
    Eight y[8];
    for (int i = 0; i < 8; i += 2) {
        y[i] = __builtin_shufflevector(x[i], x[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        y[i + 1] = __builtin_shufflevector(x[i], x[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (const int i : {0, 1, 4, 5}) {
        x[i] = __builtin_shufflevector(y[i], y[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        x[i + 2] = __builtin_shufflevector(y[i], y[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    for (int i = 0; i < 4; ++i) {
        y[i] = __builtin_shufflevector(x[i], x[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        y[i + 4] = __builtin_shufflevector(x[i], x[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
    std::copy(y, y + 8, x);
}

/// c [rows, 8] (+)= a b^T for at most 8 V rows. turned [k][stride] is a turned over, b [8, k].
template <int V>
void turned_tile(float* c, std::int64_t ldc, std::int64_t rows, const float* turned, std::int64_t stride,
                 const float* b, std::int64_t ldb, std::int64_t k, bool add) {
    Eight sum[V][8] = {};
    for (std::int64_t l = 0; l < k; ++l) {
        for (int j = 0; l % kWidth == 0 && j < 8; ++j) {
            __builtin_prefetch(b + (j + kEight) * ldb + l);
        }
        Eight column[V];
        std::memcpy(column, turned + l * stride, sizeof(column));
        for (int j = 0; j < 8; ++j) {
            for (int v = 0; v < V; ++v) {
                sum[v][j] += b[j * ldb + l] * column[v];
            }
        }
    }
    for (int v = 0; v < V; ++v) {
        turn(sum[v]);
        for (std::int64_t i = 0; i < std::min(kEight, rows - v * kEight); ++i) {
            float* to = c + (v * kEight + i) * ldc;
            if (add) {
                Eight old;
                std::memcpy(&old, to, sizeof(old));
                sum[v][i] += old;
            }
            std::memcpy(to, &sum[v][i], sizeof(Eight));
        }
    }
}

/// 8 columns of c, all rows in groups of 8 kGroup and a last one of 8.
void turned_column(float* c, std::int64_t ldc, std::int64_t m, const float* turned, std::int64_t stride, const float* b,
                   std::int64_t ldb, std::int64_t k, bool add) {
    std::int64_t i = 0;
    for (; m - i > (kGroup - 1) * kEight; i += kGroup * kEight) {
        turned_tile<kGroup>(c + i * ldc, ldc, m - i, turned + i, stride, b, ldb, k, add);
    }
    if (i < m) {
        turned_tile<1>(c + i * ldc, ldc, m - i, turned + i, stride, b, ldb, k, add);
    }
}

void turned_product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b,
                    std::int64_t ldb, bool add, float* c, std::int64_t ldc) {
    alignas(64) float turned[kTurnedDepth * std::max<std::int64_t>(1, kMostTurnedRows)];
    const std::int64_t stride = (m + kEight - 1) / kEight * kEight, whole = n / kEight * kEight;
    for (std::int64_t first = 0; first < k; first += kTurnedDepth) {
        const std::int64_t depth = std::min(kTurnedDepth, k - first);
        for (std::int64_t l = 0; l < depth; ++l) {
            for (std::int64_t i = 0; i < stride; ++i) {
                turned[l * stride + i] = i < m ? a[i * lda + first + l] : 0.0f;
            }
        }
        for (std::int64_t j = 0; j < whole; j += kEight) {
            turned_column(c + j, ldc, m, turned, stride, b + j * ldb + first, ldb, depth, add || first > 0);
        }
    }
    gemm(Transpose::no, Transpose::yes, m, n - whole, k, a, lda, b + whole * ldb, ldb, add ? 1.0f : 0.0f, c + whole,
         ldc);
}

// c = a b^T with up to four rows: b is read once, in its order. Memory is the limit; four rows of b at a time took
// twice as long.

constexpr std::int64_t kMostDotRows = 4;
constexpr std::int64_t kAhead = 512;  // floats of b

/// Every sum in the order of lanes::dot.
template <int M>
void dot_product(std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
                 bool add, float* c, std::int64_t ldc) {
    for (std::int64_t j = 0; j < n; ++j, b += ldb) {
        Lanes sum[M] = {};
        std::int64_t l = 0;
        for (; l + kWidth <= k; l += kWidth) {
            __builtin_prefetch(b + l + kAhead);
            Lanes y;
            lanes::load(y, b + l);
            for (int i = 0; i < M; ++i) {
                Lanes x;
                lanes::load(x, a + i * lda + l);
                sum[i] += x * y;
            }
        }
        for (int i = 0; i < M; ++i) {
            float total = lanes::add_up(sum[i]);
            for (std::int64_t rest = l; rest < k; ++rest) {
                total += a[i * lda + rest] * b[rest];
            }
            c[i * ldc + j] = add ? c[i * ldc + j] + total : total;
        }
    }
}

}  // namespace

void few_rows_gemm(Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda,
                   const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
    const bool turned = op_b == Transpose::yes;
    if (turned && m > 0 && m <= kMostDotRows && k > 0) {
        constexpr decltype(&dot_product<1>) kBySize[kMostDotRows] = {dot_product<1>, dot_product<2>, dot_product<3>,
                                                                     dot_product<4>};
        kBySize[m - 1](n, k, a, lda, b, ldb, beta != 0.0f, c, ldc);
    } else if (m > (turned ? kMostTurnedRows : kMostRows) || m <= 0 || k <= 0) {
        gemm(Transpose::no, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
    } else {
        (turned ? turned_product : product)(m, n, k, a, lda, b, ldb, beta != 0.0f, c, ldc);
    }
}

}  // namespace moescope::kernels
