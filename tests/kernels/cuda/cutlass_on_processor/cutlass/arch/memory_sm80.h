// In the place of CUTLASS' header of this name: cp.async, done at once and of aligned units alone.
#pragma once

#include <cstring>

#include "cutlass/arch/cache_operation.h"
#include "cutlass/arch/memory.h"
#include "cutlass/cutlass.h"

namespace cutlass::arch {

template <int SizeInBytes, CacheOperation::Kind cache_op = CacheOperation::Always>
struct cp_async {
    cp_async(void* to, const void* from, bool guard = true) {
        if (guard) {
            require_aligned(from, SizeInBytes);
            require_aligned(to, SizeInBytes);
            std::memcpy(to, from, SizeInBytes);
        }
    }
};
template <int SizeInBytes, CacheOperation::Kind cache_op = CacheOperation::Always>
struct cp_async_zfill {
    cp_async_zfill(void* to, const void* from, bool guard) {
        const cp_async<SizeInBytes, cache_op> copied(to, from, guard);
        if (!guard) {
            require_aligned(to, SizeInBytes);
            std::memset(to, 0, SizeInBytes);
        }
    }
};
inline void cp_async_fence() {}
template <int N>
void cp_async_wait() {}

}  // namespace cutlass::arch
