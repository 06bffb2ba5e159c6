// What a source with one kernel has of it.
#pragma once

#include <cutlass/gemm/device/gemm_grouped.h>

#include "kernels/cuda/cutlass/grouped.hpp"
#include "kernels/cuda/cutlass/kinds.hpp"

namespace moescope::kernels::cuda {

template <class Kind, class Kernel>
GroupedKernel instance() {
    return {[] { return cutlass::gemm::device::GemmGrouped<Kernel>::sufficient(); },
            [](const GroupedArguments& from, int blocks, cudaStream_t stream) {
                const typename Kernel::Params params(KernelArguments<Kind, Kernel>::of(from, blocks));
                simt::launch("of CUTLASS", cutlass::Kernel<Kernel>, dim3(static_cast<unsigned>(blocks)),
                             dim3(Kernel::kThreadCount), sizeof(typename Kernel::SharedStorage), stream, params);
            }};
}

}  // namespace moescope::kernels::cuda
