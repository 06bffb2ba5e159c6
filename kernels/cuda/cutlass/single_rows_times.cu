#include "kernels/cuda/cutlass/instance.cuh"

namespace moescope::kernels::cuda {
namespace {

/// A type of its own, so that the kernel has a name.
struct SingleRowsTimes : GroupedGemm<Single, cutlass::layout::RowMajor, cutlass::layout::RowMajor> {};

}  // namespace

GroupedKernel single_rows_times() {
    return instance<Single, SingleRowsTimes>();
}

}  // namespace moescope::kernels::cuda
