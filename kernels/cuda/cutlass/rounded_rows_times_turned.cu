#include "kernels/cuda/cutlass/instance.cuh"

namespace moescope::kernels::cuda {
namespace {

/// A type of its own, so that the kernel has a name.
struct RoundedRowsTimesTurned : GroupedGemm<Rounded, cutlass::layout::RowMajor, cutlass::layout::ColumnMajor> {};

}  // namespace

GroupedKernel rounded_rows_times_turned() {
    return instance<Rounded, RoundedRowsTimesTurned>();
}

}  // namespace moescope::kernels::cuda
