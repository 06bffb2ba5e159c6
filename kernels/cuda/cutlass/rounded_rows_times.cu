#include "kernels/cuda/cutlass/instance.cuh"

namespace moescope::kernels::cuda {
namespace {

/// A type of its own, so that the kernel has a name.
struct RoundedRowsTimes : GroupedGemm<Rounded, cutlass::layout::RowMajor, cutlass::layout::RowMajor> {};

}  // namespace

GroupedKernel rounded_rows_times() {
    return instance<Rounded, RoundedRowsTimes>();
}

}  // namespace moescope::kernels::cuda
