#include <algorithm>

#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/bfloat16.hpp"
#include "kernels/cuda/rounded_attention.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr std::int64_t kMostRows = 32768;     // of blocks
constexpr std::uint64_t kAligned = 256;       // bytes
constexpr std::int64_t kLibraryMultiple = 8;  // of widths: 16 bytes, which its loads are wide

/// Rows of `width` numbers in parts of `part`: number i of row r stands at r stride + i / part * apart + i % part. One
/// after the other is one part a row.
struct Rows {
    std::int64_t rows, width, part, stride, apart;
};
__device__ std::int64_t place(const Rows& n, std::int64_t row, std::int64_t i) {
    return n.part == n.width ? row * n.stride + i : row * n.stride + i / n.part * n.apart + i % n.part;
}
__device__ float bfloat16_value(std::uint16_t bits) {
    return __uint_as_float(static_cast<unsigned>(bits) << 16);
}

// On one side numbers stand one after the other, on the other as Rows says.
__global__ void rows_to_bits(std::uint16_t* to, const float* from, Rows n) {
    for (std::int64_t row = blockIdx.y; row < n.rows; row += gridDim.y) {
        for (std::int64_t i = stride_begin(); i < n.width; i += stride_step()) {
            to[row * n.width + i] = bfloat16_bits(from[place(n, row, i)]);
        }
    }
}
__global__ void bits_to_rows(float* to, const std::uint16_t* from, Rows n) {
    for (std::int64_t row = blockIdx.y; row < n.rows; row += gridDim.y) {
        for (std::int64_t i = stride_begin(); i < n.width; i += stride_step()) {
            to[place(n, row, i)] = bfloat16_value(from[row * n.width + i]);
        }
    }
}
__global__ void round_from_rows(float* to, const float* from, Rows n) {
    for (std::int64_t row = blockIdx.y; row < n.rows; row += gridDim.y) {
        for (std::int64_t i = stride_begin(); i < n.width; i += stride_step()) {
            to[row * n.width + i] = bfloat16_rounded(from[place(n, row, i)]);
        }
    }
}
/// `to` may be `from` where both are the same.
__global__ void round_to_rows(float* to, const float* from, Rows n) {
    for (std::int64_t row = blockIdx.y; row < n.rows; row += gridDim.y) {
        for (std::int64_t i = stride_begin(); i < n.width; i += stride_step()) {
            to[place(n, row, i)] = bfloat16_rounded(from[row * n.width + i]);
        }
    }
}

/// A warp per query: delta = sum over c of do o.
__global__ void output_products(float* delta_BHS, const std::uint16_t* do_THC, const std::uint16_t* o_THC,
                                AttentionShape n) {
    const std::int64_t row = (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kLanes;
    if (row >= n.B * n.H * n.S) {
        return;  // the whole warp
    }
    const std::int64_t b = row / (n.H * n.S), h = row / n.S % n.H, s = row % n.S;
    const std::int64_t first = ((b * n.S + s) * n.H + h) * n.Cv;
    float sum = 0;
    for (std::int64_t c = threadIdx.x % kLanes; c < n.Cv; c += kLanes) {
        sum += bfloat16_value(do_THC[first + c]) * bfloat16_value(o_THC[first + c]);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % kLanes == 0) {
        delta_BHS[row] = sum;
    }
}

Rows dense(std::int64_t count) {
    return {1, count, count, count, 0};
}
Rows values_of(const AttentionShape& n) {
    return {n.B * n.S, n.G * n.Cv, n.Cv, n.R, n.stride};
}
dim3 blocks_for(const Rows& n) {
    return dim3(stride_blocks(n.width, kThreads), static_cast<unsigned>(std::min(n.rows, kMostRows)));
}

std::int64_t queries(const AttentionShape& n) {
    return n.B * n.H * n.S * n.C;
}
std::int64_t keys(const AttentionShape& n) {
    return n.B * n.G * n.S * n.C;
}
std::int64_t values(const AttentionShape& n) {
    return n.B * n.S * n.G * n.Cv;
}
std::int64_t outputs(const AttentionShape& n) {
    return n.B * n.S * n.H * n.Cv;
}
AttentionShape dense_values(const AttentionShape& shape) {
    AttentionShape of_copies = shape;
    of_copies.R = shape.G * shape.Cv;
    of_copies.stride = shape.Cv;
    return of_copies;
}

/// Arrays one after the other, each on a multiple of kAligned bytes; without memory it only counts.
class Places {
 public:
    explicit Places(void* memory) {
        const auto at = reinterpret_cast<std::uintptr_t>(memory);
        begin_ = (at + kAligned - 1) / kAligned * kAligned;
        at_ = begin_;
    }
    template <class Value>
    Value* take(std::int64_t count) {
        auto* place = reinterpret_cast<Value*>(at_);
        const std::uint64_t bytes = static_cast<std::uint64_t>(count) * sizeof(Value);
        at_ += (bytes + kAligned - 1) / kAligned * kAligned;
        return place;
    }
    /// That hold all that was taken, wherever memory begins.
    std::int64_t floats() const { return static_cast<std::int64_t>((at_ - begin_ + kAligned) / sizeof(float)); }

 private:
    std::uintptr_t begin_ = 0, at_ = 0;
};

struct LibraryPlaces {
    std::uint16_t *q, *k, *v, *o, *dout, *dq, *dk, *dv;
    float* delta;
    void* workspace;
    LibraryPlaces(Places& places, const AttentionShape& n, std::uint64_t bytes)
        : q(places.take<std::uint16_t>(queries(n))),
          k(places.take<std::uint16_t>(keys(n))),
          v(places.take<std::uint16_t>(values(n))),
          o(places.take<std::uint16_t>(outputs(n))),
          dout(places.take<std::uint16_t>(outputs(n))),
          dq(places.take<std::uint16_t>(queries(n))),
          dk(places.take<std::uint16_t>(keys(n))),
          dv(places.take<std::uint16_t>(values(n))),
          delta(places.take<float>(n.B * n.H * n.S)),
          workspace(places.take<std::byte>(static_cast<std::int64_t>(bytes))) {}
};
struct OwnPlaces {
    float *q, *k, *v, *dout, *dv, *delta;
    OwnPlaces(Places& places, const AttentionShape& n)
        : q(places.take<float>(queries(n))),
          k(places.take<float>(keys(n))),
          v(places.take<float>(values(n))),
          dout(places.take<float>(outputs(n))),
          dv(places.take<float>(values(n))),
          delta(places.take<float>(n.B * n.H * n.S)) {}
};

void to_bits(simt::Stream stream, std::uint16_t* to, const float* from, const Rows& n) {
    SIMT_LAUNCH(rows_to_bits, blocks_for(n), dim3(kThreads), 0, stream, to, from, n);
}
void from_bits(simt::Stream stream, float* to, const std::uint16_t* from, const Rows& n) {
    SIMT_LAUNCH(bits_to_rows, blocks_for(n), dim3(kThreads), 0, stream, to, from, n);
}
void round_copy(simt::Stream stream, float* to, const float* from, const Rows& n) {
    SIMT_LAUNCH(round_from_rows, blocks_for(n), dim3(kThreads), 0, stream, to, from, n);
}
void round_into(simt::Stream stream, float* to, const float* from, const Rows& n) {
    SIMT_LAUNCH(round_to_rows, blocks_for(n), dim3(kThreads), 0, stream, to, from, n);
}

}  // namespace

RoundedAttention::RoundedAttention(Device& device, AttentionLoader load) : device_(device), load_(std::move(load)) {}

const LoadedAttention& RoundedAttention::loaded() const {
    if (!loaded_) {
        device_.enter();
        loaded_ = load_();
    }
    return *loaded_;
}

/// The one place where it is decided who computes a shape, both ways: empty, the library does.
std::string RoundedAttention::why_not_library(const AttentionShape& shape) const {
    AttentionLibrary* library = loaded().library.get();
    if (library == nullptr) {
        return loaded().why_none;
    }
    if (shape.S == 1) {
        return "sequences of one token are not for " + library->name();
    }
    if (shape.C % kLibraryMultiple != 0 || shape.Cv % kLibraryMultiple != 0) {
        return library->name() + " takes heads whose widths are multiples of " + std::to_string(kLibraryMultiple) +
               ", not " + std::to_string(shape.C) + " and " + std::to_string(shape.Cv);
    }
    const std::string why = library->why_not(shape);
    return why.empty() ? std::string() : library->name() + ": " + why;
}

bool RoundedAttention::library_takes(const AttentionShape& shape) {
    const std::string why = why_not_library(shape);
    if (!why.empty() && why_own_.empty()) {
        why_own_ = why;
    }
    by_library_ = by_library_ || why.empty();
    return why.empty();
}

std::string RoundedAttention::by() const {
    const std::string own = why_own_.empty() ? std::string() : "own kernels (" + why_own_ + ")";
    if (!by_library_) {
        return own;
    }
    const std::string name = loaded().library->name();
    return own.empty() ? name : name + ", and in some layers " + own;
}

std::int64_t RoundedAttention::scratch(const AttentionShape& shape) const {
    device_.enter();  // a library is opened and plans on the current device
    std::int64_t most = 0;
    AttentionShape one = shape;
    for (const std::int64_t window : {std::int64_t{0}, shape.window}) {
        one.window = window;
        Places places(nullptr);
        if (why_not_library(one).empty()) {
            LibraryPlaces(places, one, loaded().library->workspace(one));
        } else {
            OwnPlaces(places, one);
        }
        most = std::max(most, places.floats());
    }
    return most;
}

void RoundedAttention::forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                               const float* sinks_H, float* scratch, const AttentionShape& shape) {
    const simt::Stream stream = device_.stream();
    AttentionShape n = shape;
    n.sinks = sinks_H != nullptr;
    Places places(scratch);
    if (library_takes(n)) {
        const LibraryPlaces at(places, n, 0);
        to_bits(stream, at.q, q_BHSC, dense(queries(n)));
        to_bits(stream, at.k, k_BGSC, dense(keys(n)));
        to_bits(stream, at.v, v, values_of(n));
        loaded().library->forward(at.o, lse_BHS, {at.q, at.k, at.v}, sinks_H, at.workspace, n);
        from_bits(stream, o_THC, at.o, dense(outputs(n)));
        return;
    }
    const OwnPlaces at(places, n);
    round_copy(stream, at.q, q_BHSC, dense(queries(n)));
    round_copy(stream, at.k, k_BGSC, dense(keys(n)));
    round_copy(stream, at.v, v, values_of(n));
    attention_forward(stream, o_THC, lse_BHS, at.q, at.k, at.v, sinks_H, dense_values(n));
    round_into(stream, o_THC, o_THC, dense(outputs(n)));
}

void RoundedAttention::backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, const float* do_THC,
                                const float* o_THC, const float* q_BHSC, const float* k_BGSC, const float* v,
                                const float* sinks_H, const float* lse_BHS, float* scratch,
                                const AttentionShape& shape) {
    const simt::Stream stream = device_.stream();
    AttentionShape n = shape;
    n.sinks = sinks_H != nullptr;
    Places places(scratch);
    if (library_takes(n)) {
        const LibraryPlaces at(places, n, 0);
        to_bits(stream, at.q, q_BHSC, dense(queries(n)));
        to_bits(stream, at.k, k_BGSC, dense(keys(n)));
        to_bits(stream, at.v, v, values_of(n));
        to_bits(stream, at.o, o_THC, dense(outputs(n)));
        to_bits(stream, at.dout, do_THC, dense(outputs(n)));
        loaded().library->backward({at.dq, at.dk, at.dv}, at.dout, at.o, {at.q, at.k, at.v}, lse_BHS, at.workspace, n);
        if (n.sinks && dsinks_H != nullptr) {
            const std::int64_t rows = n.B * n.H * n.S, of_block = kThreads / kLanes;
            SIMT_LAUNCH(output_products, dim3(static_cast<unsigned>((rows + of_block - 1) / of_block)), dim3(kThreads),
                        0, stream, at.delta, at.dout, at.o, n);
            attention_backward_sinks(stream, dsinks_H, sinks_H, at.delta, lse_BHS, n);
        }
        from_bits(stream, dq_BHSC, at.dq, dense(queries(n)));
        from_bits(stream, dk_BGSC, at.dk, dense(keys(n)));
        from_bits(stream, dv, at.dv, values_of(n));
        return;
    }
    const OwnPlaces at(places, n);
    round_copy(stream, at.q, q_BHSC, dense(queries(n)));
    round_copy(stream, at.k, k_BGSC, dense(keys(n)));
    round_copy(stream, at.v, v, values_of(n));
    round_copy(stream, at.dout, do_THC, dense(outputs(n)));
    attention_backward(stream, dq_BHSC, dk_BGSC, at.dv, dsinks_H, at.dout, at.q, at.k, at.v, sinks_H, lse_BHS, at.delta,
                       dense_values(n));
    round_into(stream, dq_BHSC, dq_BHSC, dense(queries(n)));
    round_into(stream, dk_BGSC, dk_BGSC, dense(keys(n)));
    round_into(stream, dv, at.dv, values_of(n));
}

}  // namespace moescope::kernels::cuda
