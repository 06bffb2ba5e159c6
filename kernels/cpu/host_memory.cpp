#include "kernels/cpu/host_memory.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

namespace moescope::kernels {
namespace {

constexpr std::uint64_t kAlign = 64;
constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;
constexpr std::uint64_t kPiece = std::uint64_t{16} << 20;

}  // namespace

DeviceMemory host_memory(std::uint64_t bytes, const std::function<void()>& check) {
    const bool large = bytes >= kPiece;
    void* memory = nullptr;
    if (::posix_memalign(&memory, large ? kHugePage : kAlign, bytes) != 0) {
        return nullptr;
    }
    DeviceMemory block(static_cast<std::byte*>(memory), [](std::byte* p) { std::free(p); });
#ifdef MADV_HUGEPAGE
    if (large) {  // a wish: without it the system takes pages of 4 KiB, and finding them costs time
        ::madvise(block.get(), bytes, MADV_HUGEPAGE);
    }
#endif
    for (std::uint64_t at = 0; at < bytes; at += kPiece) {
        if (check) {
            check();
        }
        std::memset(block.get() + at, 0, std::min(kPiece, bytes - at));
    }
    return block;
}

void copy_bytes(void* to, const void* from, std::uint64_t bytes) {
    if (bytes > 0) {
        std::memcpy(to, from, bytes);
    }
}

void zero_bytes(void* at, std::uint64_t bytes) {
    if (bytes > 0) {
        std::memset(at, 0, bytes);
    }
}

}  // namespace moescope::kernels
