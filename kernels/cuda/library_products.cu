#include <algorithm>
#include <cstddef>
#include <stdexcept>

#include "kernels/cpu/router.hpp"
#include "kernels/cuda/bfloat16.hpp"
#include "kernels/cuda/float8_products.hpp"
#include "kernels/cuda/group_table.hpp"
#include "kernels/cuda/library_products.hpp"
#include "kernels/cuda/sums.hpp"
#include "kernels/cuda/tiled_products.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr std::int64_t kAligned = 8;  // elements of two bytes in the 16 bytes that libraries want rows to begin at
constexpr std::int64_t kLeastDepth =
    1024;  // of a piece: with fewer terms of a sum, D would be read and written too often
constexpr std::int64_t kLeastPiece = 64;  // of columns of groups

/// Rows of floats that are rounded: row r stands at from + (r / block * block_step + r % block) stride. `end` (may be
/// null): rows from *end on hold nothing.
struct RowsToRound {
    std::int64_t rows, columns, stride, block, block_step, to_stride;
};
__global__ void round_rows(std::uint16_t* to, const float* from, const std::int32_t* end, RowsToRound n) {
    const std::int64_t rows = end == nullptr ? n.rows : static_cast<std::int64_t>(*end);
    for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        const float* in = from + (row / n.block * n.block_step + row % n.block) * n.stride;
        std::uint16_t* out = to + row * n.to_stride;
        for (std::int64_t i = threadIdx.x; i < n.columns; i += blockDim.x) {
            out[i] = bfloat16_bits(in[i]);
        }
    }
}

/// Where the operands of the groups stand: expert e's begin at base + e step, or at base + (its first row) step.
struct Operand {
    std::int64_t step;
    std::int32_t stride;
    bool by_row;
};
/// kRows: of the expert.
constexpr std::int32_t kRows = -1;
struct GroupShape {
    std::int32_t rows, columns, depth;
    Operand a, b, d;
};
/// `bytes`: of an element of A and B.
__global__ void describe_groups(GroupArrays out, const std::byte* a, const std::byte* b, float* d, std::int64_t bytes,
                                const std::int32_t* offsets_E1, std::int64_t E, GroupShape shape) {
    for (std::int64_t e = stride_begin(); e < E; e += stride_step()) {
        const std::int64_t first = offsets_E1[e];
        const std::int32_t rows = offsets_E1[e + 1] - offsets_E1[e];
        out.rows[e] = shape.rows == kRows ? rows : shape.rows;
        out.columns[e] = shape.columns == kRows ? rows : shape.columns;
        out.depths[e] = shape.depth == kRows ? rows : shape.depth;
        out.ldas[e] = shape.a.stride;
        out.ldbs[e] = shape.b.stride;
        out.ldds[e] = shape.d.stride;
        out.a[e] = a + (shape.a.by_row ? first : e) * shape.a.step * bytes;
        out.b[e] = b + (shape.b.by_row ? first : e) * shape.b.step * bytes;
        out.d[e] = d + (shape.d.by_row ? first : e) * shape.d.step;
    }
}

/// What a library may leave: gradients of experts without rows are zero. One row of blocks per expert.
__global__ void clear_without_rows(float* c_EN, const std::int32_t* offsets_E1, std::int64_t N) {
    const std::int64_t e = blockIdx.y;
    if (offsets_E1[e] != offsets_E1[e + 1]) {
        return;
    }
    for (std::int64_t i = stride_begin(); i < N; i += stride_step()) {
        c_EN[e * N + i] = 0.0f;
    }
}

std::int64_t aligned(std::int64_t columns) {
    return (columns + kAligned - 1) / kAligned * kAligned;
}

/// The most columns, a part of `all` that cuts it evenly and on 16 bytes, of which `room` takes `of_each` elements
/// each. 0: none worth it.
std::int64_t piece_of(std::int64_t all, std::int64_t of_each, std::int64_t room) {
    const std::int64_t most = room / std::max<std::int64_t>(of_each, 1);
    if (aligned(all) <= most) {
        return all;
    }
    for (std::int64_t piece = most / kAligned * kAligned; piece >= kLeastPiece; piece -= kAligned) {
        if (all % piece == 0) {
            return piece;
        }
    }
    return 0;
}

class FirstOf final : public Library {
 public:
    explicit FirstOf(std::vector<std::unique_ptr<Library>> libraries) : libraries_(std::move(libraries)) {}

    bool multiply(const LibraryProduct& product, const void* a, const void* b, float* d) override {
        return std::any_of(libraries_.begin(), libraries_.end(),
                           [&](const auto& library) { return library->multiply(product, a, b, d); });
    }
    bool multiply_groups(const LibraryGroups& groups) override {
        return std::any_of(libraries_.begin(), libraries_.end(),
                           [&](const auto& library) { return library->multiply_groups(groups); });
    }

 private:
    std::vector<std::unique_ptr<Library>> libraries_;
};

class LibraryProducts final : public Products {
 public:
    LibraryProducts(Device& device, std::unique_ptr<Library> library, std::int64_t room)
        : device_(device),
          library_(std::move(library)),
          tiled_(tiled_products(device.stream())),
          float8_(device, library_.get()),
          table_(device),
          room_(room) {
        table_.arrays();
    }
    LibraryProducts(const LibraryProducts&) = delete;
    LibraryProducts& operator=(const LibraryProducts&) = delete;

    void set_operands(Operands operands) override {
        operands_ = operands;
        tiled_->set_operands(operands);
    }
    std::int64_t operand_scratch() const override { return room_; }
    void place_operands(std::uint16_t* scratch) override {
        scratch_ = scratch;
        float8_.place(scratch, room_ * static_cast<std::int64_t>(sizeof *scratch));
    }

    void multiply(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                  std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) override {
        if (m == 0 || n == 0) {
            return;
        }
        const bool plain = operands_ == Operands::f32;
        if (k == 0 || (beta != 0.0f && beta != 1.0f) || (!plain && scratch_ == nullptr)) {
            tiled_->multiply(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
        } else if (plain) {
            if (!library_->multiply(by_columns(false, op_a, op_b, m, n, k, lda, ldb, beta, ldc), b, a, c)) {
                tiled_->multiply(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
            }
        } else {
            multiply_rounded(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
        }
    }

    void rows_times(const GroupedRows& rows, Transpose op_b, std::int64_t n, std::int64_t k, const float* a,
                    const float* b, float* c) override {
        if (rows.offsets_E1 == nullptr) {
            multiply(Transpose::no, op_b, rows.most, n, k, a, k, b, op_b == Transpose::yes ? k : n, 0.0f, c, n);
            return;
        }
        if (operands_ == Operands::fp8) {
            float8_.rows_times(rows, op_b, n, k, a, b, c);
            return;
        }
        if (!groups_taken(rows, c, n) || k == 0 || !rows_times_groups(rows, op_b, n, k, a, b, c)) {
            tiled_->rows_times(rows, op_b, n, k, a, b, c);
        }
    }

    void gradients(const GroupedRows& rows, std::int64_t m, std::int64_t n, const float* a, const float* b,
                   float* c) override {
        if (rows.offsets_E1 == nullptr) {
            multiply(Transpose::yes, Transpose::no, m, n, rows.most, a, m, b, n, 0.0f, c, n);
            return;
        }
        if (operands_ == Operands::fp8) {
            float8_.gradients(rows, m, n, a, b, c);
            return;
        }
        if (!groups_taken(rows, c, n) || !gradients_of_groups(rows, m, n, a, b, c)) {
            tiled_->gradients(rows, m, n, a, b, c);
        }
    }

 private:
    /// A row-major C = op(A) op(B) is the column-major C^T = op(B)^T op(A)^T: the operands change places, and each,
    /// read by columns, is its own transpose.
    static LibraryProduct by_columns(bool rounded, Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n,
                                     std::int64_t k, std::int64_t lda, std::int64_t ldb, float beta, std::int64_t ldc) {
        LibraryProduct product;
        product.rounded = rounded;
        product.transpose_a = op_b == Transpose::yes;
        product.transpose_b = op_a == Transpose::yes;
        product.rows = n;
        product.columns = m;
        product.depth = k;
        product.lda = ldb;
        product.ldb = lda;
        product.ldd = ldc;
        product.beta = beta;
        return product;
    }

    /// `rows` of `columns` floats, dense and aligned in `to`; `block` as in RowsToRound, 0: one after the other.
    void round(std::uint16_t* to, const float* from, const std::int32_t* end, std::int64_t rows, std::int64_t columns,
               std::int64_t stride, std::int64_t block = 0, std::int64_t block_step = 0) {
        const RowsToRound n{rows, columns, stride, block == 0 ? rows : block, block_step, aligned(columns)};
        constexpr std::int64_t kMostBlocks = 4096;
        SIMT_LAUNCH(round_rows, dim3(static_cast<unsigned>(std::min(rows, kMostBlocks))), dim3(kThreads), 0,
                    device_.stream(), to, from, end, n);
    }

    /// In pieces [mc, kc] x [kc, nc] whose rounded copies find room together, cut as the processor cuts them.
    void multiply_rounded(Transpose op_a, Transpose op_b, std::int64_t m, std::int64_t n, std::int64_t k,
                          const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                          std::int64_t ldc) {
        const bool turned_a = op_a == Transpose::yes, turned_b = op_b == Transpose::yes;
        const std::int64_t least = std::min(kLeastDepth, room_ / 64);
        const std::int64_t depth = std::min(k, std::max(least, room_ / (m + n + 2 * kAligned) / kAligned * kAligned));
        const std::int64_t both = room_ / aligned(depth) - 2 * kAligned;  // rows of A and columns of B at a time
        const std::int64_t height = std::min(m, std::max(both - n, both / 2)), width = std::min(n, both - height);
        if (height <= 0 || width <= 0) {
            tiled_->multiply(op_a, op_b, m, n, k, a, lda, b, ldb, beta, c, ldc);
            return;
        }
        for (std::int64_t l = 0; l < k; l += depth) {
            const std::int64_t kc = std::min(depth, k - l);
            const float beta_now = l == 0 ? beta : 1.0f;
            for (std::int64_t i = 0; i < m; i += height) {
                const std::int64_t mc = std::min(height, m - i);
                const std::int64_t rows_a = turned_a ? kc : mc, columns_a = turned_a ? mc : kc;
                const float* from_a = a + (turned_a ? l * lda + i : i * lda + l);
                std::uint16_t *x = scratch_, *y = x + rows_a * aligned(columns_a);
                round(x, from_a, nullptr, rows_a, columns_a, lda);
                for (std::int64_t j = 0; j < n; j += width) {
                    const std::int64_t nc = std::min(width, n - j);
                    const std::int64_t rows_b = turned_b ? nc : kc, columns_b = turned_b ? kc : nc;
                    const float* from_b = b + (turned_b ? j * ldb + l : l * ldb + j);
                    round(y, from_b, nullptr, rows_b, columns_b, ldb);
                    float* to = c + i * ldc + j;
                    if (!library_->multiply(by_columns(true, op_a, op_b, mc, nc, kc, aligned(columns_a),
                                                       aligned(columns_b), beta_now, ldc),
                                            y, x, to)) {
                        tiled_->multiply(op_a, op_b, mc, nc, kc, from_a, lda, from_b, ldb, beta_now, to, ldc);
                    }
                }
            }
        }
    }

    /// Whether groups may go to the library at all.
    bool groups_taken(const GroupedRows& rows, const float* c, std::int64_t n) const {
        if (rows.E > kMaxExperts || rows.most == 0) {
            return false;
        }
        return operands_ == Operands::f32 ||
               (scratch_ != nullptr && n % 4 == 0 && reinterpret_cast<std::uintptr_t>(c) % 16 == 0);
    }

    bool multiply_groups(const GroupedRows& rows, const GroupShape& shape, bool transpose_a, bool transpose_b,
                         const void* a, const void* b, float* d, float beta) {
        const std::int64_t bytes = operands_ == Operands::f32 ? sizeof(float) : sizeof(std::uint16_t);
        SIMT_LAUNCH(describe_groups, dim3(stride_blocks(rows.E, kThreads)), dim3(kThreads), 0, device_.stream(),
                    table_.arrays(), static_cast<const std::byte*>(a), static_cast<const std::byte*>(b), d, bytes,
                    rows.offsets_E1, rows.E, shape);
        const std::int64_t average = std::max<std::int64_t>(1, rows.most / rows.E);
        const auto size = [&](std::int32_t value) { return value == kRows ? average : std::int64_t{value}; };
        LibraryGroups groups = table_.groups(rows.E);
        groups.operands = operands_;
        groups.transpose_a = transpose_a;
        groups.transpose_b = transpose_b;
        groups.average_rows = size(shape.rows);
        groups.average_columns = size(shape.columns);
        groups.average_depth = size(shape.depth);
        groups.even_depths = shape.depth != kRows && shape.depth % kAligned == 0;
        groups.beta = beta;
        return library_->multiply_groups(groups);
    }

    /// C of a piece after the first stands on those before it: one that is refused then is a fault of the library.
    static bool done(bool taken, bool first) {
        if (!taken && !first) {
            throw std::runtime_error("the library refuses a part of a grouped product of which it took others");
        }
        return taken;
    }

    /// In pieces of k that are alike.
    bool rows_times_groups(const GroupedRows& rows, Transpose op_b, std::int64_t n, std::int64_t k, const float* a,
                           const float* b, float* c) {
        const bool turned = op_b == Transpose::yes;
        if (operands_ == Operands::f32) {
            const GroupShape shape{
                static_cast<std::int32_t>(n),
                kRows,
                static_cast<std::int32_t>(k),
                {n * k, static_cast<std::int32_t>(turned ? k : n), false},
                {k, static_cast<std::int32_t>(k), true},
                {n, static_cast<std::int32_t>(n), true},
            };
            return multiply_groups(rows, shape, turned, false, b, a, c, 0.0f);
        }
        const std::int64_t E = rows.E, kc = piece_of(k, rows.most + E * aligned(n), room_);
        if (kc == 0) {
            return false;
        }
        std::uint16_t *x = scratch_, *y = x + rows.most * aligned(kc);
        const std::int64_t stride_b = aligned(turned ? kc : n), rows_b = turned ? n : kc;
        const GroupShape shape{
            static_cast<std::int32_t>(n),
            kRows,
            static_cast<std::int32_t>(kc),
            {rows_b * stride_b, static_cast<std::int32_t>(stride_b), false},
            {aligned(kc), static_cast<std::int32_t>(aligned(kc)), true},
            {n, static_cast<std::int32_t>(n), true},
        };
        for (std::int64_t l = 0; l < k; l += kc) {
            round(x, a + l, rows.offsets_E1 + E, rows.most, kc, k);
            if (turned) {
                round(y, b + l, nullptr, E * n, kc, k);
            } else {
                round(y, b + l * n, nullptr, E * kc, n, n, kc, k);
            }
            if (!done(multiply_groups(rows, shape, turned, false, y, x, c, l == 0 ? 0.0f : 1.0f), l == 0)) {
                return false;
            }
        }
        return true;
    }

    bool gradients_of_groups(const GroupedRows& rows, std::int64_t m, std::int64_t n, const float* a, const float* b,
                             float* c) {
        if (operands_ == Operands::f32) {
            const GroupShape shape{
                static_cast<std::int32_t>(n),
                static_cast<std::int32_t>(m),
                kRows,
                {n, static_cast<std::int32_t>(n), true},
                {m, static_cast<std::int32_t>(m), true},
                {m * n, static_cast<std::int32_t>(n), false},
            };
            if (!multiply_groups(rows, shape, false, true, b, a, c, 0.0f)) {
                return false;
            }
        } else if (!rounded_gradients_of_groups(rows, m, n, a, b, c)) {
            return false;
        }
        const dim3 grid(stride_blocks(m * n, kThreads), static_cast<unsigned>(rows.E));
        SIMT_LAUNCH(clear_without_rows, grid, dim3(kThreads), 0, device_.stream(), c, rows.offsets_E1, m * n);
        return true;
    }

    /// In pieces of m and, where one row of those has no room beside B, of n.
    bool rounded_gradients_of_groups(const GroupedRows& rows, std::int64_t m, std::int64_t n, const float* a,
                                     const float* b, float* c) {
        const std::int64_t nc = piece_of(n, rows.most, room_ / 2);
        const std::int64_t mc = nc == 0 ? 0 : piece_of(m, rows.most, room_ - rows.most * aligned(nc));
        if (mc == 0) {
            return false;
        }
        std::uint16_t *x = scratch_, *y = x + rows.most * aligned(mc);
        const GroupShape shape{
            static_cast<std::int32_t>(nc),
            static_cast<std::int32_t>(mc),
            kRows,
            {aligned(nc), static_cast<std::int32_t>(aligned(nc)), true},
            {aligned(mc), static_cast<std::int32_t>(aligned(mc)), true},
            {m * n, static_cast<std::int32_t>(n), false},
        };
        const std::int32_t* end = rows.offsets_E1 + rows.E;
        for (std::int64_t j = 0; j < n; j += nc) {
            round(y, b + j, end, rows.most, nc, n);
            for (std::int64_t i = 0; i < m; i += mc) {
                round(x, a + i, end, rows.most, mc, m);
                const bool first = i == 0 && j == 0;
                if (!done(multiply_groups(rows, shape, false, true, y, x, c + i * n + j, 0.0f), first)) {
                    return false;
                }
            }
        }
        return true;
    }

    Device& device_;
    std::unique_ptr<Library> library_;
    std::unique_ptr<Products> tiled_;
    Float8Products float8_;
    GroupTable table_;
    const std::int64_t room_;
    Operands operands_ = Operands::f32;
    std::uint16_t* scratch_ = nullptr;
};

}  // namespace

std::unique_ptr<Library> first_of(std::vector<std::unique_ptr<Library>> libraries) {
    return std::make_unique<FirstOf>(std::move(libraries));
}

std::unique_ptr<Products> library_products(Device& device, std::unique_ptr<Library> library, std::int64_t room) {
    return std::make_unique<LibraryProducts>(device, std::move(library), room);
}

}  // namespace moescope::kernels::cuda
