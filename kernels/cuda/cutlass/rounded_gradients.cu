#include "kernels/cuda/cutlass/instance.cuh"

namespace moescope::kernels::cuda {
namespace {

/// A type of its own, so that the kernel has a name.
struct RoundedGradients : GroupedGemm<Rounded, cutlass::layout::ColumnMajor, cutlass::layout::RowMajor> {};

}  // namespace

GroupedKernel rounded_gradients() {
    return instance<Rounded, RoundedGradients>();
}

}  // namespace moescope::kernels::cuda
