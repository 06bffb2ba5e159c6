// Products by a library, in its terms: column-major, operands in single precision or rounded to bfloat16 beforehand,
// groups described by arrays on the device. What the library refuses, the tiled kernel computes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/device.hpp"
#include "kernels/cuda/products.hpp"

namespace moescope::kernels::cuda {

/// D[rows, columns] = op(A)[rows, depth] op(B)[depth, columns] + beta D, column-major; beta 0 or 1. With beta 0 the old
/// D is not read.
struct LibraryProduct {
    bool rounded = false;  ///< A and B are bfloat16, else float
    bool transpose_a = false, transpose_b = false;
    std::int64_t rows = 0, columns = 0, depth = 0, lda = 0, ldb = 0, ldd = 0;
    float beta = 0;
};

/// `count` such products of single precision, bfloat16, or eight-bit floats (e4m3) with scales. Everything but `count`
/// and what the library chooses by stands in device memory and may be written by operations before this one. Groups may
/// be empty, in any of their three sizes.
struct LibraryGroups {
    Operands operands = Operands::bf16;
    bool transpose_a = false, transpose_b = false;
    std::int64_t count = 0;
    std::int64_t average_rows = 0, average_columns = 0, average_depth = 0;
    bool even_depths = false;  ///< all depths are multiples of 8
    const std::int32_t *rows = nullptr, *columns = nullptr, *depths = nullptr, *ldas = nullptr, *ldbs = nullptr,
                       *ldds = nullptr;
    /// Addresses; except with single precision those of A, B and D are multiples of 16 bytes, as are the strides of
    /// their columns, of which A's and B's are there whole.
    const void* const* a = nullptr;
    const void* const* b = nullptr;
    float* const* d = nullptr;
    float beta = 0;
    // Eight bits: A is transposed and B is not, D's rows and columns are multiples of 4, depths of 128. Addresses of
    // scales, multiples of 16 bytes. B has one per column and 128 terms, [terms / 128][columns]; A the same for its
    // rows or, with blocks_a, one per 128 rows and 128 terms, [rows / 128][terms / 128, filled up to a multiple of 4].
    bool blocks_a = false;
    const float* const* a_scales = nullptr;
    const float* const* b_scales = nullptr;
};

class Library {
 public:
    virtual ~Library() = default;
    /// False: it refuses this shape, and nothing was done. The same shape is always answered alike.
    virtual bool multiply(const LibraryProduct& product, const void* a, const void* b, float* d) = 0;
    /// D of a group without depth may be left as it is.
    virtual bool multiply_groups(const LibraryGroups& groups) = 0;
};

/// Asks one after the other; the first that takes a product computes it.
std::unique_ptr<Library> first_of(std::vector<std::unique_ptr<Library>> libraries);

/// `room`: elements of two bytes for rounded operands (operand_scratch()). A product whose operands need more is
/// computed in pieces; before place_operands() rounded ones are left to the tiled kernel.
/// Takes device memory for the description of groups. Throws std::bad_alloc.
std::unique_ptr<Products> library_products(Device& device, std::unique_ptr<Library> library, std::int64_t room);

}  // namespace moescope::kernels::cuda
