#include "kernels/cuda/cutlass/instance.cuh"

namespace moescope::kernels::cuda {
namespace {

/// A type of its own, so that the kernel has a name.
struct SingleGradients : GroupedGemm<Single, cutlass::layout::ColumnMajor, cutlass::layout::RowMajor> {};

}  // namespace

GroupedKernel single_gradients() {
    return instance<Single, SingleGradients>();
}

}  // namespace moescope::kernels::cuda
