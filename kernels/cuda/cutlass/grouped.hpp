// One grouped kernel of CUTLASS per form and kind of operands. Each has a source of its own: they are what takes
// longest to compile.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/grouped_kernels.hpp"

namespace moescope::kernels::cuda {

struct GroupedKernel {
    /// As many as the current device holds at a time, and room for them is made; 0: none.
    int (*blocks)();
    /// Throws std::runtime_error.
    void (*start)(const GroupedArguments& arguments, int blocks, cudaStream_t stream);
};
GroupedKernel rounded_rows_times();
GroupedKernel rounded_rows_times_turned();
GroupedKernel rounded_gradients();
GroupedKernel single_rows_times();
GroupedKernel single_rows_times_turned();
GroupedKernel single_gradients();

}  // namespace moescope::kernels::cuda
