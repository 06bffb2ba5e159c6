// In the place of CUTLASS' header of this name: ldmatrix (PTX ISA 9.7.14) by exchanges of a warp.
#pragma once

#include <cstdint>
#include <cstring>

#include "cutlass/array.h"
#include "cutlass/cutlass.h"
#include "cutlass/layout/matrix.h"
#include "kernels/cuda/emulation.hpp"

namespace cutlass::arch {

void require_aligned(const void* at, int bytes);

template <typename AccessType>
void shared_load(AccessType& to, const void* from) {
    require_aligned(from, sizeof(AccessType));
    to = *static_cast<const AccessType*>(from);
}
unsigned cutlass_get_smem_pointer(const void* at);  // of kernels that are not made here

/// Lanes 8 i to 8 i + 7 bring the rows of matrix i, of 8 elements of 16 bits. A lane gets, of each matrix, two elements
/// of row lane / 4, or with a column-major layout of column lane / 4.
template <typename Layout, int MatrixCount>
void ldsm(Array<unsigned, MatrixCount>& to, const void* from) {
    simt::detail::exchange(0xffffffffu, simt::detail::packed(from), false, simt::Place::current());
    const unsigned lane = simt::detail::lane(), line = lane / 4, pair = lane % 4 * 2;
    const auto element = [](unsigned matrix, unsigned row, unsigned column) {
        const auto* at = simt::detail::unpacked<const std::uint16_t*>(simt::detail::brought_by(matrix * 8 + row));
        return std::uint32_t{at[column]};
    };
    for (unsigned i = 0; i < MatrixCount; ++i) {
        constexpr bool kTurned = std::is_same_v<Layout, layout::ColumnMajor>;
        const std::uint32_t low = kTurned ? element(i, pair, line) : element(i, line, pair),
                            high = kTurned ? element(i, pair + 1, line) : element(i, line, pair + 1);
        to[static_cast<int>(i)] = low | high << 16;
    }
}

}  // namespace cutlass::arch
