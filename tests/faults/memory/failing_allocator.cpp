#include "tests/faults/memory/failing_allocator.hpp"

#include <cstdlib>
#include <new>

namespace moescope::faults {

namespace {

constinit thread_local bool counting = false;
constinit long counted = 0, failing = -1;
constinit bool failing_for_ever = false;

void* take(std::size_t bytes, std::size_t alignment) {
    if (counting) {
        const long call = counted++;
        if (failing >= 0 && (call == failing || (failing_for_ever && call > failing))) {
            throw std::bad_alloc();
        }
    }
    void* memory = alignment > 0 ? std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment)
                                 : std::malloc(bytes > 0 ? bytes : 1);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}

}  // namespace

void fail_allocation(long n, bool for_ever) {
    counted = 0;
    failing = n;
    failing_for_ever = for_ever;
}

void count_allocations(bool on) {
    counting = on;
}

long allocations() {
    return counted;
}

}  // namespace moescope::faults

void* operator new(std::size_t bytes) {
    return moescope::faults::take(bytes, 0);
}
void* operator new[](std::size_t bytes) {
    return moescope::faults::take(bytes, 0);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return moescope::faults::take(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
    return moescope::faults::take(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
