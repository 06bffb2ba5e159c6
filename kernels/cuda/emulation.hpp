// The other compiler of simt.hpp: runs a grid on the CPU, one block after the other, each thread of a block on a fiber.
//
// It is made to find faults, not to be fast. Blocks run in random order; so do the threads of a block between two
// barriers. Shared memory is 0xff bytes (NaN) when a block begins, and each of its elements knows who read and wrote it
// since which barrier, so an access that no barrier orders is a Fault even where the numbers happen to come out right.
// A barrier or a warp operation that not all its threads reach, at the same line, is a Fault, as is an index outside a
// shared array. Device memory is ordinary memory: AddressSanitizer watches it.
// A Fault names the kernel, the place and the seed; with the same seed it comes again.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// The words of CUDA. NOLINTBEGIN
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define threadIdx (::simt::thread_index())
#define blockIdx (::simt::block_index())
#define blockDim (::simt::block_size())
#define gridDim (::simt::grid_size())
#define SIMT_UNROLL
#define SIMT_SHARED(type, name, count) const auto name = ::simt::shared_array<type>(#name, count)
#define SIMT_DYNAMIC_SHARED(type, name) const auto name = ::simt::dynamic_shared<type>(#name)
#define SIMT_LAUNCH(kernel, ...) ::simt::launch(#kernel, kernel, __VA_ARGS__)
// NOLINTEND

namespace simt {

using Place = std::source_location;

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
    constexpr Dim3(unsigned width = 1, unsigned height = 1, unsigned depth = 1) : x(width), y(height), z(depth) {}
    std::uint64_t size() const { return std::uint64_t{x} * y * z; }
};

/// A kernel did what CUDA forbids or leaves open.
class Fault : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// In the emulation everything happens at once, in the order of the calls.
struct Stream {};

/// Of the calling thread: the order of the launches that follow. Each launch takes the next random numbers.
void set_seed(std::uint64_t seed);
std::uint64_t seed();

Dim3 thread_index();
Dim3 block_index();
Dim3 block_size();
Dim3 grid_size();

inline constexpr unsigned kWarp = 32;

namespace detail {

/// Who touched one element of shared memory since when. Only what the next access must be compared with.
struct Access {
    static constexpr std::uint32_t kNobody = 0xffffffff, kMany = 0xfffffffe;
    std::uint32_t thread = kNobody;  ///< kMany: several threads of different warps
    std::uint32_t warp = kNobody;    ///< of all of them, when it is one
    std::uint64_t block_epoch = 0, warp_epoch = 0;
};
struct Element {
    Access read, write, atomic;
};
/// One array of the block in progress.
struct Array {
    std::byte* bytes = nullptr;
    Element* elements = nullptr;
    std::size_t count = 0, size = 0;  ///< elements, bytes of each
    const char* name = nullptr;
};

/// Finds the array of this name and place in the block, or makes it.
Array& array_of(const char* name, const Place& place, std::size_t count, std::size_t size);
Array& dynamic_array(const char* name, const Place& place, std::size_t size);
/// Throws Fault when the index is outside or another thread's access is not ordered with this one.
void check_access(Array& array, std::ptrdiff_t index, bool write);
void check_atomic(Array& array, std::ptrdiff_t index);

/// Waits until all threads of the warp that `mask` names are at the same operation. `orders`: memory too, which only
/// __syncwarp does.
void exchange(unsigned mask, std::uint64_t value, bool orders, const Place& place);
/// Value that a lane brought to the exchange that the caller has just left. Fault when the mask did not name it.
std::uint64_t brought_by(unsigned lane);
unsigned lane();
/// Of the operation just left, without lanes that the block has not.
unsigned mask();

using Body = void (*)(void* arguments);
void run(const char* kernel, const Dim3& grid, const Dim3& block, std::size_t shared_bytes, Body body, void* arguments);

template <class Value>
std::uint64_t packed(Value value) {
    static_assert(sizeof(Value) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<Value>);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
}
template <class Value>
Value unpacked(std::uint64_t bits) {
    Value value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace detail

/// One element of shared memory: reads and writes are seen.
template <class Value>
class SharedElement {
 public:
    SharedElement(detail::Array& array, std::ptrdiff_t index) : array_(array), index_(index) {}
    SharedElement(const SharedElement&) = default;
    operator Value() const {
        detail::check_access(array_, index_, false);
        Value value;
        std::memcpy(&value, array_.bytes + index_ * static_cast<std::ptrdiff_t>(sizeof(Value)), sizeof value);
        return value;
    }
    const SharedElement& operator=(Value value) const {
        detail::check_access(array_, index_, true);
        std::memcpy(array_.bytes + index_ * static_cast<std::ptrdiff_t>(sizeof(Value)), &value, sizeof value);
        return *this;
    }
    const SharedElement& operator=(const SharedElement& other) const { return *this = static_cast<Value>(other); }
    const SharedElement& operator+=(Value value) const { return *this = static_cast<Value>(*this) + value; }
    const SharedElement& operator-=(Value value) const { return *this = static_cast<Value>(*this) - value; }
    const SharedElement& operator*=(Value value) const { return *this = static_cast<Value>(*this) * value; }

 private:
    detail::Array& array_;
    std::ptrdiff_t index_;
};

/// Where an element of shared memory stands.
template <class Value>
class SharedPointer {
 public:
    explicit SharedPointer(detail::Array& array, std::ptrdiff_t at = 0) : array_(&array), at_(at) {}
    SharedElement<Value> operator[](std::ptrdiff_t index) const { return {*array_, at_ + index}; }
    SharedElement<Value> operator*() const { return {*array_, at_}; }
    SharedPointer operator+(std::ptrdiff_t count) const { return SharedPointer(*array_, at_ + count); }

    /// Adds as one step, whoever else does.
    Value atomic_add(Value value) const {
        static_assert(std::is_integral_v<Value>, "sums of floats depend on their order");
        detail::check_atomic(*array_, at_);
        Value before;
        std::byte* const place = array_->bytes + at_ * static_cast<std::ptrdiff_t>(sizeof(Value));
        std::memcpy(&before, place, sizeof before);
        const Value after = before + value;
        std::memcpy(place, &after, sizeof after);
        return before;
    }

 private:
    detail::Array* array_;
    std::ptrdiff_t at_;
};

template <class Value>
SharedPointer<Value> shared_array(const char* name, std::size_t count, Place place = Place::current()) {
    return SharedPointer<Value>(detail::array_of(name, place, count, sizeof(Value)));
}
template <class Value>
SharedPointer<Value> dynamic_shared(const char* name, Place place = Place::current()) {
    return SharedPointer<Value>(detail::dynamic_array(name, place, sizeof(Value)));
}

/// What a thread has started while it captured, with all arguments as they were then: a CUDA graph.
using Captured = std::vector<std::function<void()>>;
/// Of the calling thread: what is started from now on is kept there and not done; null: it is done.
void capture(Captured* into);
/// Does it, or keeps it while the thread captures.
void submit(std::function<void()> work);
/// What the calling thread has started so far, one by one; what it captured does not count.
std::uint64_t submitted();

/// Runs the kernel to its end. Throws Fault.
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), Dim3 grid, Dim3 block, std::size_t shared_bytes,
            Stream /*stream*/, Arguments... arguments) {
    submit([=] {
        auto call = [&] { kernel(arguments...); };
        detail::run(
            name, grid, block, shared_bytes, [](void* self) { (*static_cast<decltype(call)*>(self))(); }, &call);
    });
}

}  // namespace simt

using dim3 = simt::Dim3;

// The functions of CUDA, with its names. NOLINTBEGIN
void __syncthreads(simt::Place place = simt::Place::current());
inline void __syncwarp(unsigned mask = 0xffffffffu, simt::Place place = simt::Place::current()) {
    simt::detail::exchange(mask, 0, true, place);
}
template <class Value>
Value __shfl_sync(unsigned mask, Value value, int source, int width = 32, simt::Place place = simt::Place::current()) {
    simt::detail::exchange(mask, simt::detail::packed(value), false, place);
    const unsigned lane = simt::detail::lane(), first = lane / unsigned(width) * unsigned(width);
    const unsigned from = first + unsigned(source) % unsigned(width);
    return simt::detail::unpacked<Value>(simt::detail::brought_by(from));
}
template <class Value>
Value __shfl_xor_sync(unsigned mask, Value value, int bits, int width = 32,
                      simt::Place place = simt::Place::current()) {
    simt::detail::exchange(mask, simt::detail::packed(value), false, place);
    const unsigned lane = simt::detail::lane(), from = lane ^ unsigned(bits);
    if (from / unsigned(width) > lane / unsigned(width)) {
        return value;
    }
    return simt::detail::unpacked<Value>(simt::detail::brought_by(from));
}
template <class Value>
Value __shfl_up_sync(unsigned mask, Value value, unsigned by, int width = 32,
                     simt::Place place = simt::Place::current()) {
    simt::detail::exchange(mask, simt::detail::packed(value), false, place);
    const unsigned lane = simt::detail::lane();
    if (lane % unsigned(width) < by) {
        return value;
    }
    return simt::detail::unpacked<Value>(simt::detail::brought_by(lane - by));
}
unsigned __ballot_sync(unsigned mask, bool value, simt::Place place = simt::Place::current());
inline int __popc(unsigned value) {
    return std::popcount(value);
}
inline unsigned __float_as_uint(float value) {
    return std::bit_cast<unsigned>(value);
}
inline float __uint_as_float(unsigned bits) {
    return std::bit_cast<float>(bits);
}
inline long long __double_as_longlong(double value) {
    return std::bit_cast<long long>(value);
}
inline double __longlong_as_double(long long bits) {
    return std::bit_cast<double>(bits);
}
template <class Value>
Value atomicAdd(Value* at, std::type_identity_t<Value> value) {
    static_assert(std::is_integral_v<Value>, "sums of floats depend on their order");
    const Value before = *at;
    *at = before + value;
    return before;
}
template <class Value>
Value atomicAdd(simt::SharedPointer<Value> at, std::type_identity_t<Value> value) {
    return at.atomic_add(value);
}
// NOLINTEND
