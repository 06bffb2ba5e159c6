// Grouped products by kernels of CUTLASS 2.x's form (cutlass/gemm/kernel/gemm_grouped.h): one
// launch whose blocks find the groups and their tiles themselves, from sizes that stand on the device. Each tile's sum
// is one block's and taken in order, so that results don't depend on how many blocks there are.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cuda/device.hpp"

namespace moescope::kernels::cuda {

/// Of D[m,n] = A[m,k] B[k,n], as CUTLASS' GemmCoord lies in memory. m or n 0: nothing is done.
struct GroupSize {
    std::int32_t m, n, k;
};

/// How A and B lie; D is row-major always.
enum class GroupedForm {
    rows_times,         ///< A and B row-major
    rows_times_turned,  ///< A row-major, B column-major
    gradients,          ///< A column-major, B row-major
};

/// `count` products; the arrays stand in device memory. k is not 0 where m and n aren't.
/// Rounded: A and B are bfloat16, their addresses multiples of 16 bytes and their strides of 8, and so is k wherever
/// terms of a sum lie side by side in one of them (all forms but `gradients`). Where m or n of an operand ends inside
/// 16 bytes, the rest of those is read, whatever it is, and not used. D's addresses are multiples of 16 bytes, n and
/// its strides of 4. Not rounded: all are floats and may stand anywhere.
struct GroupedArguments {
    bool rounded = false;
    std::int64_t count = 0;
    const GroupSize* sizes = nullptr;
    const std::int64_t *lda = nullptr, *ldb = nullptr, *ldd = nullptr;
    const void* const* a = nullptr;
    const void* const* b = nullptr;
    float* const* d = nullptr;
    float beta = 0;  ///< 0: the old D is not read
};

class GroupedKernels {
 public:
    virtual ~GroupedKernels() = default;
    /// False: this device has no room for the kernel's blocks, and nothing was done; answered alike every time. Throws
    /// std::runtime_error.
    virtual bool start(GroupedForm form, const GroupedArguments& arguments) = 0;
};

/// CUTLASS's, compiled for compute capability 8.0 and as PTX that drivers of later GPUs compile (cutlass/).
std::unique_ptr<GroupedKernels> cutlass_kernels(Device& device);

}  // namespace moescope::kernels::cuda
