#include <algorithm>
#include <new>
#include <stdexcept>

#include "kernels/cuda/float8_products.hpp"
#include "kernels/cuda/sums.hpp"
#include "kernels/float8.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr std::int64_t kTile = kFloat8Tile;
constexpr std::int64_t kLines = 4;  // the library takes numbers of lines that are multiples of it
constexpr unsigned kTileThreads = 128;
constexpr int kTileStride = 129;  // of codes in shared memory

MOESCOPE_HOST_DEVICE constexpr std::int64_t up_to(std::int64_t value, std::int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}
MOESCOPE_HOST_DEVICE constexpr std::int64_t tiles_of(std::int64_t terms) {
    return (terms + kTile - 1) / kTile;
}

// Scales of an expert's rows begin `tiles` x this many floats from the start: on 16 bytes, with room for all of them.
MOESCOPE_HOST_DEVICE constexpr std::int64_t scale_lines_before(std::int64_t first, std::int64_t expert) {
    return up_to(first, kLines) + kLines * expert;
}
// Where sums run over an expert's rows: the tile in which its first row stands, counted so that every expert has all
// of its own and at least one.
MOESCOPE_HOST_DEVICE constexpr std::int64_t tiles_before(std::int64_t first, std::int64_t expert) {
    return first / kTile + expert;
}

/// The expert of a row (or, with `tiles`, of a tile of rows): the last one that does not begin after it.
__device__ std::int64_t expert_of(std::int64_t at, const std::int32_t* offsets_E1, std::int64_t E, bool tiles) {
    std::int64_t expert = 0, end = E;
    while (end - expert > 1) {
        const std::int64_t middle = (expert + end) / 2;
        const std::int64_t begin = tiles ? tiles_before(offsets_E1[middle], middle) : offsets_E1[middle];
        (begin <= at ? expert : end) = middle;
    }
    return expert;
}

/// Where an operand is read: `terms` of the sum from `first` on, of lines that are `stride` apart.
struct Source {
    std::int64_t stride, first, terms;
    std::int64_t depth;  ///< terms filled up to whole tiles
};

/// Rows of experts, a scale per tile of each. A block takes whole rows, a thread one element of each of its tiles.
__global__ void quantise_rows(std::uint8_t* codes, float* scales, const float* from, const std::int32_t* offsets_E1,
                              std::int64_t E, Source n) {
    SIMT_SHARED(float, parts, kMostWarps);
    const std::int64_t tiles = n.depth / kTile, end = offsets_E1[E];
    for (std::int64_t row = blockIdx.x; row < end; row += gridDim.x) {
        const std::int64_t expert = expert_of(row, offsets_E1, E, false), first = offsets_E1[expert];
        const std::int64_t rows = offsets_E1[expert + 1] - first, whole = rows / kLines * kLines, line = row - first;
        float* to = scales + tiles * scale_lines_before(first, expert);
        for (std::int64_t tile = 0; tile < tiles; ++tile) {
            const std::int64_t term = tile * kTile + threadIdx.x;
            const float value = term < n.terms ? from[row * n.stride + n.first + term] : 0.0f;
            const float scale = float8_scale(block_maximum<float>(float8_magnitude(value), parts));
            codes[row * n.depth + term] = float8_code(float8_rounded(value / scale));
            if (threadIdx.x == 0) {
                to[line < whole ? tile * whole + line : tiles * whole + tile * (rows - whole) + line - whole] = scale;
            }
        }
    }
}

/// Matrices of experts [lines, terms], or stored the other way round, a scale per 128 x 128. A block per such.
struct Weights {
    std::int64_t lines, step;  ///< step: from one expert's to the next one's
    bool along;                ///< terms are side by side in memory
};
__global__ void quantise_weights(std::uint8_t* codes, float* scales, const float* from, Weights w, Source n) {
    SIMT_SHARED(float, parts, kMostWarps);
    SIMT_SHARED(std::uint8_t, tile_codes, kTile * kTileStride);
    const std::int64_t tile = blockIdx.x, lines_0 = static_cast<std::int64_t>(blockIdx.y) * kTile, expert = blockIdx.z;
    const std::int64_t terms_0 = tile * kTile, at = threadIdx.x;
    const std::int64_t lines = w.lines - lines_0 < kTile ? w.lines - lines_0 : kTile;
    const std::int64_t left = n.terms - terms_0, terms = left < 0 ? 0 : left < kTile ? left : kTile;
    const float* base = from + expert * w.step +
                        (w.along ? lines_0 * n.stride + n.first + terms_0 : (n.first + terms_0) * n.stride + lines_0);
    const std::int64_t across = w.along ? lines : terms, side = w.along ? terms : lines;
    float most = 0;
    for (std::int64_t i = 0; at < side && i < across; ++i) {
        const float magnitude = float8_magnitude(base[i * n.stride + at]);
        most = magnitude > most ? magnitude : most;
    }
    const float scale = float8_scale(block_maximum<float>(most, parts));
    for (std::int64_t i = 0; i < kTile; ++i) {
        const float value = at < side && i < across ? base[i * n.stride + at] : 0.0f;
        const std::int64_t line = w.along ? i : at, term = w.along ? at : i;
        tile_codes[line * kTileStride + term] = float8_code(float8_rounded(value / scale));
    }
    __syncthreads();
    for (std::int64_t line = 0; line < lines; ++line) {
        codes[(expert * w.lines + lines_0 + line) * n.depth + terms_0 + at] = tile_codes[line * kTileStride + at];
    }
    if (threadIdx.x == 0) {
        const std::int64_t tiles = up_to(n.depth / kTile, kLines), block = blockIdx.y;
        scales[(expert * tiles_of(w.lines) + block) * tiles + tile] = scale;
    }
}

/// Columns of experts' rows, whose sums run over the rows: a scale per 128 rows of each. `width` of them from `first`
/// on. A block per tile of rows and 128 columns, a thread per column.
__global__ void quantise_columns(std::uint8_t* codes, float* scales, const float* from, const std::int32_t* offsets_E1,
                                 std::int64_t E, std::int64_t stride, std::int64_t first, std::int64_t width) {
    SIMT_SHARED(std::uint8_t, tile_codes, kTile * kTileStride);
    const std::int64_t index = blockIdx.y, expert = expert_of(index, offsets_E1, E, true);
    const std::int64_t row_0 = offsets_E1[expert], rows = offsets_E1[expert + 1] - row_0;
    const std::int64_t before = tiles_before(row_0, expert), tile = index - before, left = rows - tile * kTile;
    if (left <= 0) {
        return;  // the whole block: nothing stands in this tile
    }
    const std::int64_t columns_0 = static_cast<std::int64_t>(blockIdx.x) * kTile, column = columns_0 + threadIdx.x;
    const float* base = from + (row_0 + tile * kTile) * stride + first + column;
    const std::int64_t count = left < kTile ? left : kTile;
    float most = 0;
    for (std::int64_t i = 0; column < width && i < count; ++i) {
        const float magnitude = float8_magnitude(base[i * stride]);
        most = magnitude > most ? magnitude : most;
    }
    const float scale = float8_scale(most);
    for (std::int64_t i = 0; i < kTile; ++i) {
        const float value = column < width && i < count ? base[i * stride] : 0.0f;
        tile_codes[static_cast<int>(threadIdx.x) * kTileStride + i] = float8_code(float8_rounded(value / scale));
    }
    if (column < width) {
        scales[(before + tile) * width + column] = scale;
    }
    __syncthreads();
    const std::int64_t depth = up_to(rows, kTile);
    for (std::int64_t i = 0; i < kTile && columns_0 + i < width; ++i) {
        codes[before * kTile * width + (columns_0 + i) * depth + tile * kTile + threadIdx.x] =
            tile_codes[i * kTileStride + static_cast<std::int64_t>(threadIdx.x)];
    }
}

/// A grouped product: the operand of C's rows (x) and that of its columns (y), codes and scales as above.
struct Product {
    const std::uint8_t *x, *y;
    const float *x_scales, *y_scales;
    const std::int32_t* offsets_E1;
    std::int64_t E, n;   ///< n: columns of C
    std::int64_t m;      ///< rows of C; 0: those of the expert
    std::int64_t depth;  ///< where sums do not run over the expert's rows
    std::int64_t c_step, ldc;
    float beta;
};

/// One operand of one expert.
struct Side {
    const std::uint8_t* codes;
    const float* scales;
    std::int64_t depth, line_step, tile_step, lines_each;
    __device__ float at(std::int64_t line, std::int64_t term) const {
        return float8_value(codes[line * depth + term]) *
               scales[line / lines_each * line_step + term / kTile * tile_step];
    }
};
struct Group {
    Side x, y;
    float* c;
    std::int64_t rows, depth;
};
/// `rest`: the rows that the library does not take, instead of all others.
__device__ Group group_of(const Product& p, float* c, std::int64_t expert, bool rest) {
    const std::int64_t first = p.offsets_E1[expert], rows = p.offsets_E1[expert + 1] - first;
    Group g;
    if (p.m > 0) {
        const std::int64_t before = tiles_before(first, expert), depth = up_to(rows, kTile);
        g.x = {p.x + before * kTile * p.m, p.x_scales + before * p.m, depth, 1, p.m, 1};
        g.y = {p.y + before * kTile * p.n, p.y_scales + before * p.n, depth, 1, p.n, 1};
        g.c = c + expert * p.c_step;
        g.rows = rest ? 0 : p.m;
        g.depth = depth;
        return g;
    }
    const std::int64_t tiles = p.depth / kTile, whole = rows / kLines * kLines, blocks = tiles_of(p.n);
    const std::int64_t begin = rest ? whole : 0;
    g.rows = rest ? rows - whole : whole;
    const float* scales = p.x_scales + tiles * (scale_lines_before(first, expert) + begin);
    g.x = {p.x + (first + begin) * p.depth, scales, p.depth, 1, g.rows, 1};
    g.y = {p.y + expert * p.n * p.depth,
           p.y_scales + expert * blocks * up_to(tiles, kLines),
           p.depth,
           up_to(tiles, kLines),
           1,
           kTile};
    g.c = c + (first + begin) * p.ldc;
    g.depth = p.depth;
    return g;
}

constexpr int kSide = 32;          // rows and columns of C that a block takes, and terms at a time
constexpr int kRowsOfThreads = 8;  // each thread has kSide / kRowsOfThreads elements of a column
constexpr int kStride = kSide + 1;

__global__ void multiply_codes(float* c, Product p, bool rest) {
    SIMT_SHARED(float, tile_x, kSide* kStride);
    SIMT_SHARED(float, tile_y, kSide* kStride);
    const Group g = group_of(p, c, blockIdx.z, rest);
    const std::int64_t row_0 = static_cast<std::int64_t>(blockIdx.y) * kSide,
                       column_0 = static_cast<std::int64_t>(blockIdx.x) * kSide;
    const int lane = static_cast<int>(threadIdx.x), group = static_cast<int>(threadIdx.y);
    if (row_0 >= g.rows) {
        return;  // the whole block
    }
    float sums[kSide / kRowsOfThreads] = {};
    for (std::int64_t step = 0; step < g.depth; step += kSide) {
        for (int i = group; i < kSide; i += kRowsOfThreads) {
            tile_x[i * kStride + lane] = row_0 + i < g.rows ? g.x.at(row_0 + i, step + lane) : 0.0f;
            tile_y[i * kStride + lane] = column_0 + i < p.n ? g.y.at(column_0 + i, step + lane) : 0.0f;
        }
        __syncthreads();
        for (int k = 0; k < kSide; ++k) {
            const float right = tile_y[lane * kStride + k];
            for (int i = 0; i < kSide / kRowsOfThreads; ++i) {
                sums[i] += tile_x[(group + i * kRowsOfThreads) * kStride + k] * right;
            }
        }
        __syncthreads();
    }
    const std::int64_t column = column_0 + lane;
    for (int i = 0; i < kSide / kRowsOfThreads; ++i) {
        const std::int64_t row = row_0 + group + static_cast<std::int64_t>(i) * kRowsOfThreads;
        if (row < g.rows && column < p.n) {
            float& out = g.c[row * p.ldc + column];
            out = p.beta == 0.0f ? sums[i] : sums[i] + p.beta * out;
        }
    }
}

__global__ void describe_codes(GroupArrays out, float* c, Product p) {
    for (std::int64_t e = stride_begin(); e < p.E; e += stride_step()) {
        const Group g = group_of(p, c, e, false);
        out.rows[e] = static_cast<std::int32_t>(p.n);
        out.columns[e] = static_cast<std::int32_t>(g.rows);
        out.depths[e] = static_cast<std::int32_t>(g.depth);
        out.ldas[e] = out.ldbs[e] = static_cast<std::int32_t>(g.depth > kTile ? g.depth : kTile);
        out.ldds[e] = static_cast<std::int32_t>(p.ldc);
        out.a[e] = g.y.codes;
        out.b[e] = g.x.codes;
        out.a_scales[e] = g.y.scales;
        out.b_scales[e] = g.x.scales;
        out.d[e] = g.c;
    }
}

/// What a library may leave: gradients of experts without rows are zero.
__global__ void clear_empty(float* c, Product p) {
    const std::int64_t expert = blockIdx.y;
    if (p.offsets_E1[expert] != p.offsets_E1[expert + 1]) {
        return;
    }
    for (std::int64_t i = stride_begin(); i < p.m * p.n; i += stride_step()) {
        c[expert * p.c_step + i / p.n * p.ldc + i % p.n] = 0.0f;
    }
}

unsigned u(std::int64_t value) {
    return static_cast<unsigned>(value);
}

/// Parts of the room, one after the other, each on 16 bytes.
class Cut {
 public:
    explicit Cut(std::byte* at) : at_(at) {}
    template <class Value>
    Value* take(std::int64_t count) {
        auto* part = reinterpret_cast<Value*>(at_);
        at_ += up_to(count * static_cast<std::int64_t>(sizeof(Value)), 16);
        return part;
    }

 private:
    std::byte* at_;
};

Product product_of(const std::uint8_t* x, const float* x_scales, const std::uint8_t* y, const float* y_scales,
                   const GroupedRows& rows) {
    Product p{};
    p.x = x;
    p.y = y;
    p.x_scales = x_scales;
    p.y_scales = y_scales;
    p.offsets_E1 = rows.offsets_E1;
    p.E = rows.E;
    return p;
}

[[noreturn]] void refuse(std::int64_t bytes) {
    throw std::runtime_error("a grouped product in eight bits finds no room for its operands in " +
                             std::to_string(bytes >> 20) +
                             " MiB: choose a smaller train.batch, or train.precision bf16");
}

}  // namespace

Float8Products::Float8Products(Device& device, Library* library) : device_(device), library_(library), table_(device) {}

Float8Products::~Float8Products() {
    device_.free(own_);
}

void Float8Products::place(void* scratch, std::int64_t bytes) {
    placed_ = static_cast<std::byte*>(scratch);
    bytes_ = bytes;
}

std::byte* Float8Products::room() {
    if (placed_ != nullptr) {
        return placed_;
    }
    if (own_ == nullptr) {
        own_ = static_cast<std::byte*>(device_.allocate(static_cast<std::uint64_t>(bytes_)));
        if (own_ == nullptr) {
            throw std::bad_alloc();
        }
    }
    return own_;
}

bool Float8Products::to_library(const GroupedRows& rows, bool gradients, std::int64_t n, std::int64_t columns,
                                std::int64_t depth, float beta) {
    LibraryGroups groups = table_.groups(rows.E);
    groups.operands = Operands::fp8;
    groups.blocks_a = !gradients;
    groups.transpose_a = true;
    const std::int64_t average = std::max<std::int64_t>(1, rows.most / rows.E);
    groups.average_rows = n;
    groups.average_columns = gradients ? columns : average;
    groups.average_depth = gradients ? up_to(average, kTile) : depth;
    groups.beta = beta;
    return library_->multiply_groups(groups);
}

void Float8Products::rows_times(const GroupedRows& rows, Transpose op_b, std::int64_t n, std::int64_t k, const float* a,
                                const float* b, float* c) {
    if (rows.most == 0 || n == 0) {
        return;
    }
    const std::int64_t E = rows.E, blocks = tiles_of(n), lines = up_to(rows.most, kLines) + kLines * E;
    const auto bytes_of = [&](std::int64_t tiles) {
        return up_to(rows.most * tiles * kTile, 16) + E * n * tiles * kTile + 4 * lines * tiles +
               4 * E * blocks * up_to(tiles, kLines) + 4 * 16;
    };
    std::int64_t most = std::max<std::int64_t>(1, tiles_of(k));
    std::byte* scratch = room();
    if (bytes_of(most) > bytes_) {
        most = std::max<std::int64_t>(0, most * bytes_ / bytes_of(most));
        while (most > 0 && bytes_of(most) > bytes_) {
            --most;
        }
    }
    if (most == 0) {
        refuse(bytes_);
    }
    const std::int64_t tiles_all = std::max<std::int64_t>(1, tiles_of(k));
    for (std::int64_t tile = 0; tile < tiles_all; tile += most) {
        const std::int64_t tiles = std::min(most, tiles_all - tile), depth = tiles * kTile;
        const Source source{k, tile * kTile, std::min(depth, k - tile * kTile), depth};
        Cut cut(scratch);
        auto* x = cut.take<std::uint8_t>(rows.most * depth);
        auto* y = cut.take<std::uint8_t>(E * n * depth);
        auto* x_scales = cut.take<float>(lines * tiles);
        auto* y_scales = cut.take<float>(E * blocks * up_to(tiles, kLines));
        constexpr std::int64_t kMostBlocks = 4096;
        SIMT_LAUNCH(quantise_rows, dim3(u(std::min(rows.most, kMostBlocks))), dim3(kTileThreads), 0, device_.stream(),
                    x, x_scales, a, rows.offsets_E1, E, source);
        Source of_weights = source;
        of_weights.stride = op_b == Transpose::yes ? k : n;
        SIMT_LAUNCH(quantise_weights, dim3(u(tiles), u(blocks), u(E)), dim3(kTileThreads), 0, device_.stream(), y,
                    y_scales, b, Weights{n, n * k, op_b == Transpose::yes}, of_weights);
        Product p = product_of(x, x_scales, y, y_scales, rows);
        p.n = n;
        p.depth = depth;
        p.ldc = n;
        p.beta = tile == 0 ? 0.0f : 1.0f;
        bool taken = false;
        if (library_ != nullptr && n % kLines == 0 && reinterpret_cast<std::uintptr_t>(c) % 16 == 0) {
            SIMT_LAUNCH(describe_codes, dim3(stride_blocks(E, kTileThreads)), dim3(kTileThreads), 0, device_.stream(),
                        table_.arrays(), c, p);
            taken = to_library(rows, false, n, 0, depth, p.beta);
        }
        const dim3 threads(kSide, kRowsOfThreads);
        const std::int64_t columns = (n + kSide - 1) / kSide;
        if (!taken) {
            SIMT_LAUNCH(multiply_codes, dim3(u(columns), u((rows.most + kSide - 1) / kSide), u(E)), threads, 0,
                        device_.stream(), c, p, false);
        }
        SIMT_LAUNCH(multiply_codes, dim3(u(columns), 1, u(E)), threads, 0, device_.stream(), c, p, true);
    }
}

void Float8Products::gradients(const GroupedRows& rows, std::int64_t m, std::int64_t n, const float* a, const float* b,
                               float* c) {
    if (m == 0 || n == 0) {
        return;
    }
    const std::int64_t E = rows.E, tiles = rows.most / kTile + E;  // of all experts
    // Columns of an operand that find room in so many bytes: all, or a number that the library takes.
    const auto fitting = [&](std::int64_t columns, std::int64_t bytes) {
        const std::int64_t each = tiles * (kTile + static_cast<std::int64_t>(sizeof(float))), left = bytes - 2 * 16;
        return columns * each <= left ? columns : std::max<std::int64_t>(0, left / each / kLines * kLines);
    };
    std::byte* scratch = room();
    const std::int64_t nc = fitting(n, bytes_ / 2), mc = nc == 0 ? 0 : fitting(m, bytes_ - bytes_ / 2);
    if (mc == 0) {
        refuse(bytes_);
    }
    for (std::int64_t j = 0; j < n; j += nc) {
        const std::int64_t width = std::min(nc, n - j);
        Cut cut(scratch);
        auto* y = cut.take<std::uint8_t>(width * tiles * kTile);
        auto* y_scales = cut.take<float>(width * tiles);
        const auto quantise = [&](std::uint8_t* codes, float* scales, const float* from, std::int64_t stride,
                                  std::int64_t first, std::int64_t columns) {
            SIMT_LAUNCH(quantise_columns, dim3(u(tiles_of(columns)), u(tiles)), dim3(kTileThreads), 0, device_.stream(),
                        codes, scales, from, rows.offsets_E1, E, stride, first, columns);
        };
        quantise(y, y_scales, b, n, j, width);
        for (std::int64_t i = 0; i < m; i += mc) {
            const std::int64_t height = std::min(mc, m - i);
            Cut rest = cut;
            auto* x = rest.take<std::uint8_t>(height * tiles * kTile);
            auto* x_scales = rest.take<float>(height * tiles);
            quantise(x, x_scales, a, m, i, height);
            Product p = product_of(x, x_scales, y, y_scales, rows);
            p.n = width;
            p.m = height;
            p.c_step = m * n;
            p.ldc = n;
            float* to = c + i * n + j;
            bool taken = false;
            if (library_ != nullptr && width % kLines == 0 && height % kLines == 0 && n % kLines == 0 &&
                reinterpret_cast<std::uintptr_t>(to) % 16 == 0) {
                SIMT_LAUNCH(describe_codes, dim3(stride_blocks(E, kTileThreads)), dim3(kTileThreads), 0,
                            device_.stream(), table_.arrays(), to, p);
                taken = to_library(rows, true, width, height, 0, 0.0f);
            }
            if (taken) {
                SIMT_LAUNCH(clear_empty, dim3(stride_blocks(height * width, kTileThreads), u(E)), dim3(kTileThreads), 0,
                            device_.stream(), to, p);
            } else {
                SIMT_LAUNCH(multiply_codes, dim3(u((width + kSide - 1) / kSide), u((height + kSide - 1) / kSide), u(E)),
                            dim3(kSide, kRowsOfThreads), 0, device_.stream(), to, p, false);
            }
        }
    }
}

}  // namespace moescope::kernels::cuda
