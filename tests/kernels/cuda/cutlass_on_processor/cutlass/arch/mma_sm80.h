// In the place of CUTLASS' header of this name: mma.m16n8k16 of bfloat16 (PTX ISA 9.7.14) by exchanges of a warp.
#pragma once

#include "cutlass/arch/mma.h"
#include "cutlass/bfloat16.h"
#include "cutlass/gemm/gemm.h"
#include "cutlass/layout/matrix.h"
#include "kernels/cuda/emulation.hpp"

namespace cutlass::arch {

unsigned LaneId();  // of kernels that are not made here

template <>
struct Mma<gemm::GemmShape<16, 8, 16>, 32, bfloat16_t, layout::RowMajor, bfloat16_t, layout::ColumnMajor, float,
           layout::RowMajor, OpMultiplyAdd> {
    using Shape = gemm::GemmShape<16, 8, 16>;
    using ElementA = bfloat16_t;
    using LayoutA = layout::RowMajor;
    using FragmentA = Array<bfloat16_t, 8>;
    using ElementB = bfloat16_t;
    using LayoutB = layout::ColumnMajor;
    using FragmentB = Array<bfloat16_t, 4>;
    using ElementC = float;
    using LayoutC = layout::RowMajor;
    using FragmentC = Array<float, 4>;
    using Operator = OpMultiplyAdd;
    using ArchTag = arch::Sm80;

    void operator()(FragmentC& d, const FragmentA& a, const FragmentB& b, const FragmentC& c) const {
        struct Operands {
            const FragmentA* a;
            const FragmentB* b;
        };
        const Operands own{&a, &b};
        const FragmentC before = c;
        simt::detail::exchange(0xffffffffu, simt::detail::packed(&own), false, simt::Place::current());
        const unsigned lane = simt::detail::lane(), group = lane / 4, pair = lane % 4 * 2;
        const auto of = [](unsigned from) {
            return simt::detail::unpacked<const Operands*>(simt::detail::brought_by(from));
        };
        FragmentC sums;
        for (unsigned i = 0; i < 4; ++i) {
            const unsigned row = group + i / 2 * 8, column = pair + i % 2;
            float sum = before[static_cast<int>(i)];
            for (unsigned k = 0; k < 16; ++k) {
                const auto at_a = static_cast<int>(k % 2 + row / 8 * 2 + k / 8 * 4);
                const auto at_b = static_cast<int>(k % 2 + k / 8 * 2);
                sum += float((*of(row % 8 * 4 + k % 8 / 2)->a)[at_a]) * float((*of(column * 4 + k % 8 / 2)->b)[at_b]);
            }
            sums[static_cast<int>(i)] = sum;
        }
        __syncwarp();  // the others have read
        d = sums;
    }
};

}  // namespace cutlass::arch
