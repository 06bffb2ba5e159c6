#include "kernels/cuda/bfloat16.hpp"
#include "kernels/cuda/sums.hpp"
#include "kernels/cuda/tiled_products.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr int kTile = 32;           // rows and columns of a tile, and steps of k that it takes at a time
constexpr int kRowsOfThreads = 8;   // of a block; each thread has kTile / kRowsOfThreads elements of a column
constexpr int kStride = kTile + 1;  // of a tile in shared memory: columns stand in different banks

/// One product, or one of each expert: then the rows of A and C (m, or k where A is transposed) are the expert's.
struct ProductShape {
    bool transpose_a, transpose_b, rounded;
    std::int64_t m, n, k, lda, ldb, ldc;
    std::int64_t b_stride, c_stride;  ///< from one expert's matrix to the next one's
    float beta;
};

__global__ void multiply_tiles(float* c, const float* a, const float* b, const std::int32_t* offsets_E1,
                               ProductShape shape) {
    SIMT_SHARED(float, tile_a, kTile* kStride);
    SIMT_SHARED(float, tile_b, kTile* kStride);
    const std::int64_t expert = blockIdx.z;
    if (offsets_E1 != nullptr) {
        const std::int64_t first = offsets_E1[expert], rows = offsets_E1[expert + 1] - first;
        a += first * shape.lda;
        if (shape.transpose_a) {
            shape.k = rows;
            b += first * shape.ldb;
            c += expert * shape.c_stride;
        } else {
            shape.m = rows;
            b += expert * shape.b_stride;
            c += first * shape.ldc;
        }
    }
    const std::int64_t row_0 = static_cast<std::int64_t>(blockIdx.y) * kTile;
    const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kTile + threadIdx.x;
    if (row_0 >= shape.m) {
        return;  // the whole block
    }
    float sums[kTile / kRowsOfThreads] = {};
    for (std::int64_t step = 0; step < shape.k; step += kTile) {
        for (int i = static_cast<int>(threadIdx.y); i < kTile; i += kRowsOfThreads) {
            // Neighbours of a warp read neighbours in memory; where that is the other way round, so are the tiles.
            const std::int64_t a_row = row_0 + (shape.transpose_a ? threadIdx.x : static_cast<unsigned>(i));
            const std::int64_t a_k = step + (shape.transpose_a ? static_cast<unsigned>(i) : threadIdx.x);
            float value = 0;
            if (a_row < shape.m && a_k < shape.k) {
                value = shape.transpose_a ? a[a_k * shape.lda + a_row] : a[a_row * shape.lda + a_k];
            }
            tile_a[(a_row - row_0) * kStride + a_k - step] = shape.rounded ? bfloat16_rounded(value) : value;
            const std::int64_t first = column - threadIdx.x;
            const std::int64_t b_column = first + (shape.transpose_b ? static_cast<unsigned>(i) : threadIdx.x);
            const std::int64_t b_k = step + (shape.transpose_b ? threadIdx.x : static_cast<unsigned>(i));
            value = 0;
            if (b_column < shape.n && b_k < shape.k) {
                value = shape.transpose_b ? b[b_column * shape.ldb + b_k] : b[b_k * shape.ldb + b_column];
            }
            tile_b[(b_k - step) * kStride + b_column - first] = shape.rounded ? bfloat16_rounded(value) : value;
        }
        __syncthreads();
        for (int k = 0; k < kTile; ++k) {
            const float right = tile_b[k * kStride + static_cast<int>(threadIdx.x)];
            for (int i = 0; i < kTile / kRowsOfThreads; ++i) {
                sums[i] += tile_a[(static_cast<int>(threadIdx.y) + i * kRowsOfThreads) * kStride + k] * right;
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < kTile / kRowsOfThreads; ++i) {
        const std::int64_t row = row_0 + threadIdx.y + static_cast<std::int64_t>(i) * kRowsOfThreads;
        if (row < shape.m && column < shape.n) {
            float& out = c[row * shape.ldc + column];
            out = shape.beta == 0.0f ? sums[i] : sums[i] + shape.beta * out;
        }
    }
}

class TiledProducts final : public Products {
 public:
    explicit TiledProducts(simt::Stream stream) : stream_(stream) {}

    void set_operands(Operands operands) override { rounded_ = operands != Operands::f32; }

    void multiply(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                  std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) override {
        ProductShape shape{};
        shape.transpose_a = op_a == Transpose::yes;
        shape.transpose_b = op_b == Transpose::yes;
        shape.m = m;
        shape.n = n;
        shape.k = k;
        shape.lda = lda;
        shape.ldb = ldb;
        shape.ldc = ldc;
        shape.beta = beta;
        run(shape, a, b, c, {}, m);
    }

    void rows_times(const GroupedRows& rows, Transpose op_b, std::int64_t n, std::int64_t k, const float* a,
                    const float* b, float* c) override {
        ProductShape shape{};
        shape.transpose_b = op_b == Transpose::yes;
        shape.m = rows.most;
        shape.n = n;
        shape.k = k;
        shape.lda = k;
        shape.ldb = shape.transpose_b ? k : n;
        shape.ldc = n;
        shape.b_stride = n * k;
        run(shape, a, b, c, rows, rows.most);
    }

    void gradients(const GroupedRows& rows, std::int64_t m, std::int64_t n, const float* a, const float* b,
                   float* c) override {
        ProductShape shape{};
        shape.transpose_a = true;
        shape.m = m;
        shape.n = n;
        shape.k = rows.most;
        shape.lda = m;
        shape.ldb = n;
        shape.ldc = n;
        shape.c_stride = m * n;
        run(shape, a, b, c, rows, m);
    }

 private:
    void run(ProductShape shape, const float* a, const float* b, float* c, const GroupedRows& rows,
             std::int64_t most_rows) {
        shape.rounded = rounded_;
        if (most_rows == 0 || shape.n == 0) {
            return;
        }
        const auto tiles = [](std::int64_t n) { return static_cast<unsigned>((n + kTile - 1) / kTile); };
        const dim3 grid(tiles(shape.n), tiles(most_rows),
                        rows.offsets_E1 == nullptr ? 1u : static_cast<unsigned>(rows.E));
        SIMT_LAUNCH(multiply_tiles, grid, dim3(kTile, kRowsOfThreads), 0, stream_, c, a, b, rows.offsets_E1, shape);
    }

    simt::Stream stream_;
    bool rounded_ = false;
};

}  // namespace

std::unique_ptr<Products> tiled_products(simt::Stream stream) {
    return std::make_unique<TiledProducts>(stream);
}

}  // namespace moescope::kernels::cuda
