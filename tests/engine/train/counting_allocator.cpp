#include "counting_allocator.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <new>

// The allocator of glibc under its own names, which nothing replaces.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* p, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void __libc_free(void* p);
}

namespace moescope::engine::test {
namespace {

constexpr int kAskers = static_cast<int>(Asker::count);

struct Range {
    std::uintptr_t begin = 0, end = 0;
    bool holds(std::uintptr_t at) const { return at >= begin && at < end; }
};

// All of it lives before main and after it, because the C functions are called then too.
struct Counter {
    std::atomic<bool> on{false};
    Range matrices, threads;
    std::atomic<std::uint64_t> calls[kAskers], bytes[kAskers];
    std::atomic<std::int64_t> held[kAskers], most_held[kAskers];
    std::atomic<void*> first{nullptr};
};
constinit Counter counter;

Asker asker_at(void* return_address) {
    const auto at = reinterpret_cast<std::uintptr_t>(return_address);
    return counter.matrices.holds(at) ? Asker::matrices : counter.threads.holds(at) ? Asker::threads : Asker::program;
}

void* took(void* p, void* return_address) {
    if (p == nullptr || !counter.on.load(std::memory_order_relaxed)) {
        return p;
    }
    const Asker asker = asker_at(return_address);
    const auto i = static_cast<std::size_t>(asker);
    const std::size_t bytes = malloc_usable_size(p);
    ++counter.calls[i];
    counter.bytes[i] += bytes;
    const std::int64_t now = counter.held[i] += static_cast<std::int64_t>(bytes);
    std::int64_t most = counter.most_held[i];
    while (now > most && !counter.most_held[i].compare_exchange_weak(most, now)) {
    }
    void* none = nullptr;
    if (asker == Asker::program) {
        counter.first.compare_exchange_strong(none, return_address);
    }
    return p;
}

void gave_back(void* p, void* return_address) {
    if (p != nullptr && counter.on.load(std::memory_order_relaxed)) {
        counter.held[static_cast<std::size_t>(asker_at(return_address))] -=
            static_cast<std::int64_t>(malloc_usable_size(p));
    }
}

int find_libraries(dl_phdr_info* info, std::size_t, void*) {
    Range range{UINTPTR_MAX, 0};
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& part = info->dlpi_phdr[i];
        if (part.p_type == PT_LOAD) {
            range.begin = std::min<std::uintptr_t>(range.begin, info->dlpi_addr + part.p_vaddr);
            range.end = std::max<std::uintptr_t>(range.end, info->dlpi_addr + part.p_vaddr + part.p_memsz);
        }
    }
    if (std::strstr(info->dlpi_name, "libdnnl") != nullptr) {
        counter.matrices = range;
    } else if (std::strstr(info->dlpi_name, "libgomp") != nullptr) {
        counter.threads = range;
    }
    return 0;
}

}  // namespace

void start_counting() {
    dl_iterate_phdr(&find_libraries, nullptr);
    for (int i = 0; i < kAskers; ++i) {
        counter.calls[i] = counter.bytes[i] = 0;
        counter.held[i] = counter.most_held[i] = 0;
    }
    counter.first = nullptr;
    counter.on = true;
}

Allocations stop_counting() {
    counter.on = false;
    Allocations result;
    for (std::size_t i = 0; i < kAskers; ++i) {
        result.by[i] = {counter.calls[i], counter.bytes[i],
                        static_cast<std::uint64_t>(std::max<std::int64_t>(0, counter.most_held[i]))};
    }
    if (void* at = counter.first; at != nullptr) {
        Dl_info info{};
        const bool known = dladdr(at, &info) != 0;
        result.first = known && info.dli_sname != nullptr ? info.dli_sname : "an unnamed function";
        result.first += known && info.dli_fname != nullptr ? std::string(" of ") + info.dli_fname : "";
        result.first += " at +" + std::to_string(reinterpret_cast<std::uintptr_t>(at) -
                                                 reinterpret_cast<std::uintptr_t>(known ? info.dli_fbase : nullptr));
    }
    return result;
}

}  // namespace moescope::engine::test

namespace test = moescope::engine::test;

extern "C" {

void* malloc(std::size_t bytes) {
    return test::took(__libc_malloc(bytes), __builtin_return_address(0));
}
void* calloc(std::size_t count, std::size_t bytes) {
    return test::took(__libc_calloc(count, bytes), __builtin_return_address(0));
}
void* realloc(void* p, std::size_t bytes) {
    test::gave_back(p, __builtin_return_address(0));
    return test::took(__libc_realloc(p, bytes), __builtin_return_address(0));
}
void* memalign(std::size_t alignment, std::size_t bytes) {
    return test::took(__libc_memalign(alignment, bytes), __builtin_return_address(0));
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
    return test::took(__libc_memalign(alignment, bytes), __builtin_return_address(0));
}
int posix_memalign(void** p, std::size_t alignment, std::size_t bytes) {
    *p = test::took(__libc_memalign(alignment, bytes), __builtin_return_address(0));
    return *p == nullptr ? ENOMEM : 0;
}
void free(void* p) {
    test::gave_back(p, __builtin_return_address(0));
    __libc_free(p);
}
}

namespace {

void* new_bytes(std::size_t bytes, std::size_t alignment, void* return_address) {
    void* p = alignment == 0 ? __libc_malloc(std::max<std::size_t>(1, bytes)) : __libc_memalign(alignment, bytes);
    if (p == nullptr) {
        throw std::bad_alloc();
    }
    return test::took(p, return_address);
}

void delete_bytes(void* p, void* return_address) {
    test::gave_back(p, return_address);
    __libc_free(p);
}

}  // namespace

void* operator new(std::size_t bytes) {
    return new_bytes(bytes, 0, __builtin_return_address(0));
}
void* operator new[](std::size_t bytes) {
    return new_bytes(bytes, 0, __builtin_return_address(0));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return new_bytes(bytes, static_cast<std::size_t>(alignment), __builtin_return_address(0));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
    return new_bytes(bytes, static_cast<std::size_t>(alignment), __builtin_return_address(0));
}
void operator delete(void* p) noexcept {
    delete_bytes(p, __builtin_return_address(0));
}
void operator delete[](void* p) noexcept {
    delete_bytes(p, __builtin_return_address(0));
}
void operator delete(void* p, std::size_t) noexcept {
    delete_bytes(p, __builtin_return_address(0));
}
void operator delete[](void* p, std::size_t) noexcept {
    delete_bytes(p, __builtin_return_address(0));
}
void operator delete(void* p, std::align_val_t) noexcept {
    delete_bytes(p, __builtin_return_address(0));
}
void operator delete[](void* p, std::align_val_t) noexcept {
    delete_bytes(p, __builtin_return_address(0));
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
    delete_bytes(p, __builtin_return_address(0));
}
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
    delete_bytes(p, __builtin_return_address(0));
}
