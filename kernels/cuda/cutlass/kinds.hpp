// The kernels that CUTLASS is asked for, and its arguments made of ours. Nothing here starts one.
#pragma once

#include <cstddef>
#include <cutlass/bfloat16.h>
#include <cutlass/epilogue/thread/linear_combination.h>
#include <cutlass/gemm/kernel/default_gemm_grouped.h>
#include <cutlass/layout/matrix.h>

#include "kernels/cuda/grouped_kernels.hpp"

namespace moescope::kernels::cuda {

/// Tensor cores of Ampere: bfloat16 in, single precision in sums and out. Blocks of four warps take tiles of 128 x 128;
/// four stages of 32 terms wait in 64 KB of shared memory, of which the smallest GPUs of 8.x have 99.
struct Rounded {
    using Element = cutlass::bfloat16_t;
    using Class = cutlass::arch::OpClassTensorOp;
    using Block = cutlass::gemm::GemmShape<128, 128, 32>;
    using Warp = cutlass::gemm::GemmShape<64, 64, 32>;
    using Instruction = cutlass::gemm::GemmShape<16, 8, 16>;
    static constexpr int kOperandAlignment = 8, kAlignment = 4, kStages = 4;
};
/// Single precision throughout, without tensor cores: they would round operands (TF32).
struct Single {
    using Element = float;
    using Class = cutlass::arch::OpClassSimt;
    using Block = cutlass::gemm::GemmShape<128, 128, 8>;
    using Warp = cutlass::gemm::GemmShape<32, 64, 8>;
    using Instruction = cutlass::gemm::GemmShape<1, 1, 1>;
    static constexpr int kOperandAlignment = 1, kAlignment = 1, kStages = 4;
};

template <class Kind, class LayoutA, class LayoutB>
using GroupedGemm = typename cutlass::gemm::kernel::DefaultGemmGrouped<
    typename Kind::Element, LayoutA, cutlass::ComplexTransform::kNone, Kind::kOperandAlignment, typename Kind::Element,
    LayoutB, cutlass::ComplexTransform::kNone, Kind::kOperandAlignment, float, cutlass::layout::RowMajor, float,
    typename Kind::Class, cutlass::arch::Sm80, typename Kind::Block, typename Kind::Warp, typename Kind::Instruction,
    cutlass::epilogue::thread::LinearCombination<float, Kind::kAlignment, float, float>,
    cutlass::gemm::threadblock::GemmBatchedIdentityThreadblockSwizzle, Kind::kStages,
    cutlass::gemm::kernel::GroupScheduleMode::kDeviceOnly>::GemmKernel;

/// `Kernel` is a GroupedGemm or made of one.
template <class Kind, class Kernel>
struct KernelArguments {
    using Element = typename Kind::Element;

    // What grouped_kernels.hpp promises of the arguments is what CUTLASS asks for.
    static_assert(sizeof(GroupSize) == sizeof(cutlass::gemm::GemmCoord) &&
                  alignof(GroupSize) == alignof(cutlass::gemm::GemmCoord));
    static_assert(Kernel::kAlignmentA == Kind::kOperandAlignment && Kernel::kAlignmentB == Kind::kOperandAlignment &&
                  Kernel::kAlignmentC == Kind::kAlignment);
    static_assert(!Kernel::ProblemVisitor::kRequiresPrecomputation);  // so it needs no workspace and no host
    static_assert(!Kernel::kTransposed);
    static_assert(sizeof(typename Kernel::SharedStorage) <= std::size_t{99} << 10);

    static typename Kernel::Arguments of(const GroupedArguments& from, int blocks) {
        // CUTLASS writes D alone, though it doesn't say so.
        const auto operands = [](const void* const* at) { return reinterpret_cast<Element**>(const_cast<void**>(at)); };
        const auto strides = [](const std::int64_t* at) { return const_cast<std::int64_t*>(at); };
        auto* const sizes =
            const_cast<cutlass::gemm::GemmCoord*>(reinterpret_cast<const cutlass::gemm::GemmCoord*>(from.sizes));
        auto** const d = const_cast<float**>(from.d);
        return {sizes,
                static_cast<int>(from.count),
                blocks,
                {1.0f, from.beta},
                operands(from.a),
                operands(from.b),
                d,
                d,
                strides(from.lda),
                strides(from.ldb),
                strides(from.ldd),
                strides(from.ldd)};
    }
};

}  // namespace moescope::kernels::cuda
