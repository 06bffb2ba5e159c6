#include "engine/model/arena.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>

#include "engine/error.hpp"
#include "engine/model/machine_memory.hpp"

namespace moescope::engine {
namespace {
constexpr std::uint64_t kLimit = std::uint64_t{1} << 62;
constexpr std::uint64_t kAlign = 64;
constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;
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

void Block::Free::operator()(std::byte* p) const {
    std::free(p);
}

Block::Block(std::uint64_t bytes, const std::function<void()>& check)
    : size_(checked_sum(bytes, kAlign, marked("memory")) / kAlign * kAlign) {
    const bool large = size_ >= kLarge;
    if (large) {  // the system promises more than it has and ends the process that believes it
        if (const std::uint64_t available = available_memory(); size_ > available) {
            throw Error(
                say("not enough memory: {} are needed, and {} can be had here; choose a smaller model, batch or "
                    "context, or close other programs",
                    memory_text(size_), memory_text(available)));
        }
    }
    void* memory = nullptr;
    if (::posix_memalign(&memory, large ? kHugePage : kAlign, size_) != 0) {
        throw Error(
            say("not enough memory: {} were asked for; choose a smaller model, batch or context", memory_text(size_)));
    }
    data_.reset(static_cast<std::byte*>(memory));
#ifdef MADV_HUGEPAGE
    if (large) {  // a wish: without it the system takes pages of 4 KiB, and finding them costs time
        ::madvise(data_.get(), size_, MADV_HUGEPAGE);
    }
#endif
    constexpr std::uint64_t kPiece = std::uint64_t{16} << 20;
    for (std::uint64_t at = 0; at < size_; at += kPiece) {
        if (check) {
            check();
        }
        std::memset(data_.get() + at, 0, std::min(kPiece, size_ - at));
    }
}

std::uint64_t Arena::advance(std::uint64_t bytes) {
    const std::uint64_t at = used_;
    used_ = checked_sum(used_, checked_sum(bytes, kAlign - 1, marked("the run")) / kAlign * kAlign, marked("the run"));
    return at;
}

}  // namespace moescope::engine
