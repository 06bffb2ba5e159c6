// In the place of CUTLASS' header of this name: its accesses are PTX, these are plain ones, of whole and aligned units.
#pragma once

#include <cstdint>

#include "cutlass/arch/cache_operation.h"
#include "cutlass/cutlass.h"

namespace cutlass::arch {

void require_aligned(const void* at, int bytes);

template <typename AccessType, int LoadBytes, CacheOperation::Kind cache_op = CacheOperation::Always>
struct global_load {
    global_load(AccessType& to, const void* from, bool guard) {
        if (guard) {
            require_aligned(from, LoadBytes);
            to = *static_cast<const AccessType*>(from);
        }
    }
};
template <typename AccessType, int StoreBytes>
struct global_store {
    global_store(const AccessType& from, void* to, bool guard) {
        if (guard) {
            require_aligned(to, StoreBytes);
            *static_cast<AccessType*>(to) = from;
        }
    }
};

}  // namespace cutlass::arch

#include "cutlass/arch/memory_sm75.h"
#include "cutlass/arch/memory_sm80.h"
