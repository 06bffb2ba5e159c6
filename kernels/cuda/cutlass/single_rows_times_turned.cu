#include "kernels/cuda/cutlass/instance.cuh"

namespace moescope::kernels::cuda {
namespace {

/// A type of its own, so that the kernel has a name.
struct SingleRowsTimesTurned : GroupedGemm<Single, cutlass::layout::RowMajor, cutlass::layout::ColumnMajor> {};

}  // namespace

GroupedKernel single_rows_times_turned() {
    return instance<Single, SingleRowsTimesTurned>();
}

}  // namespace moescope::kernels::cuda
