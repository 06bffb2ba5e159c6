// Where the description of a product's groups (LibraryGroups) stands in device memory: kernels write it, products by a
// library read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "kernels/cpu/router.hpp"
#include "kernels/cuda/device.hpp"
#include "kernels/cuda/library_products.hpp"

namespace moescope::kernels::cuda {

/// One element per group, kMaxExperts at most; names as in LibraryGroups.
struct GroupArrays {
    const void **a, **b;
    const float **a_scales, **b_scales;
    float** d;
    std::int32_t *rows, *columns, *depths, *ldas, *ldbs, *ldds;
};

class GroupTable {
 public:
    explicit GroupTable(Device& device) : device_(device) {}
    ~GroupTable() { device_.free(memory_); }
    GroupTable(const GroupTable&) = delete;
    GroupTable& operator=(const GroupTable&) = delete;

    /// Taken with the first call, which throws std::bad_alloc.
    const GroupArrays& arrays() {
        if (memory_ == nullptr) {
            constexpr std::size_t kBytes = kMaxExperts * (5 * sizeof(void*) + 6 * sizeof(std::int32_t));
            memory_ = device_.allocate(kBytes);
            if (memory_ == nullptr) {
                throw std::bad_alloc();
            }
            auto* at = static_cast<std::byte*>(memory_);
            place(at, arrays_.a, arrays_.b, arrays_.a_scales, arrays_.b_scales, arrays_.d);
            place(at, arrays_.rows, arrays_.columns, arrays_.depths, arrays_.ldas, arrays_.ldbs, arrays_.ldds);
        }
        return arrays_;
    }
    /// `count` groups that stand here, without what the library chooses by.
    LibraryGroups groups(std::int64_t count) {
        const GroupArrays& from = arrays();
        LibraryGroups groups;
        groups.count = count;
        groups.rows = from.rows;
        groups.columns = from.columns;
        groups.depths = from.depths;
        groups.ldas = from.ldas;
        groups.ldbs = from.ldbs;
        groups.ldds = from.ldds;
        groups.a = from.a;
        groups.b = from.b;
        groups.a_scales = from.a_scales;
        groups.b_scales = from.b_scales;
        groups.d = from.d;
        return groups;
    }

 private:
    template <class... Elements>
    static void place(std::byte*& at, Elements*&... arrays) {
        ((arrays = reinterpret_cast<Elements*>(at), at += kMaxExperts * sizeof(Elements)), ...);
    }

    Device& device_;
    void* memory_ = nullptr;
    GroupArrays arrays_{};
};

}  // namespace moescope::kernels::cuda
