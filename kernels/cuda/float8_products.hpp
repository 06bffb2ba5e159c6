// The experts' grouped products with operands in eight bits (kernels/float8.hpp): kernels write codes and scales in the
// forms that cuBLASLt wants them in, and its grouped product, where there is one, computes from those; what it refuses
// an own kernel computes from the same codes. Nothing is known to the host: rows of experts stand on the device.
//
// Forms (cuBLAS, "128-element 1D and 128x128 2D block scaling"): each operand lies with the terms of its sum side by
// side, filled up with zeros to whole tiles. Scales per line: [tiles][lines], so lines are side by side; scales per
// block: [blocks of lines][tiles, filled up to a multiple of 4]. The library takes numbers of lines that are multiples
// of 4 only, so the last rows of an expert, at most three, are the own kernel's.
#pragma once

#include <cstdint>

#include "kernels/cuda/device.hpp"
#include "kernels/cuda/group_table.hpp"
#include "kernels/cuda/library_products.hpp"
#include "kernels/cuda/products.hpp"

namespace moescope::kernels::cuda {

class Float8Products {
 public:
    /// `library` may be null; both outlive this. The first product takes device memory for the description of groups.
    Float8Products(Device& device, Library* library);
    ~Float8Products();
    Float8Products(const Float8Products&) = delete;
    Float8Products& operator=(const Float8Products&) = delete;

    /// Room for codes and scales, aligned to 16 bytes. What needs more is computed in pieces. Without it, `bytes` of
    /// its own are taken with the first product.
    void place(void* scratch, std::int64_t bytes);
    /// As Products has them; offsets are not null. Throws std::runtime_error when not even a piece finds room,
    /// std::bad_alloc.
    void rows_times(const GroupedRows& rows, Transpose op_b, std::int64_t n, std::int64_t k, const float* a,
                    const float* b, float* c);
    void gradients(const GroupedRows& rows, std::int64_t m, std::int64_t n, const float* a, const float* b, float* c);

 private:
    std::byte* room();
    bool to_library(const GroupedRows& rows, bool gradients, std::int64_t n, std::int64_t columns, std::int64_t depth,
                    float beta);

    Device& device_;
    Library* library_;
    std::byte* placed_ = nullptr;
    std::byte* own_ = nullptr;
    std::int64_t bytes_ = std::int64_t{64} << 20;
    GroupTable table_;
};

}  // namespace moescope::kernels::cuda
