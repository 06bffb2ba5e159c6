#include "engine/model/arena.hpp"

#include <string>

#include "engine/error.hpp"
#include "engine/model/machine_memory.hpp"
#include "kernels/cpu/host_memory.hpp"

namespace moescope::engine {
namespace {
constexpr std::uint64_t kLimit = std::uint64_t{1} << 62;
constexpr std::uint64_t kAlign = 64;
constexpr std::uint64_t kLarge = std::uint64_t{16} << 20;
}  // namespace

std::uint64_t checked_product(std::uint64_t a, std::uint64_t b, base::Marked what) {
    if (a != 0 && b > kLimit / a) {
        throw Error(say("the size of {} overflows ({} x {}): choose smaller sizes", what, a, b));
    }
    return a * b;
}

std::uint64_t checked_sum(std::uint64_t a, std::uint64_t b, base::Marked what) {
    if (a > kLimit || b > kLimit - a) {
        throw Error(say("the size of {} overflows ({} + {}): choose smaller sizes", what, a, b));
    }
    return a + b;
}

namespace {

/// The system promises more than it has and ends the process that believes it.
void check_available(std::uint64_t bytes, std::uint64_t available) {
    if (bytes >= kLarge && bytes > available) {
        throw Error(
            say("not enough memory: {} are needed, and {} can be had here; choose a smaller model, batch or "
                "context, or close other programs",
                memory_text(bytes), memory_text(available)));
    }
}

void check_taken(const kernels::DeviceMemory& memory, std::uint64_t bytes) {
    if (memory == nullptr) {
        throw Error(
            say("not enough memory: {} were asked for; choose a smaller model, batch or context", memory_text(bytes)));
    }
}

std::uint64_t rounded_up(std::uint64_t bytes) {
    return checked_sum(bytes, kAlign, marked("memory")) / kAlign * kAlign;
}

}  // namespace

Block::Block(std::uint64_t bytes, const std::function<void()>& check) : size_(rounded_up(bytes)) {
    check_available(size_, available_memory());
    data_ = kernels::host_memory(size_, check);
    check_taken(data_, size_);
}

Block::Block(kernels::Ops& ops, std::uint64_t bytes, const std::function<void()>& check) : size_(rounded_up(bytes)) {
    check_available(size_, ops.host_memory() ? available_memory() : ops.available_memory());
    data_ = ops.allocate(size_, check);
    check_taken(data_, size_);
}

std::uint64_t Arena::advance(std::uint64_t bytes) {
    const std::uint64_t at = used_;
    used_ = checked_sum(used_, checked_sum(bytes, kAlign - 1, marked("the run")) / kAlign * kAlign, marked("the run"));
    return at;
}

}  // namespace moescope::engine
