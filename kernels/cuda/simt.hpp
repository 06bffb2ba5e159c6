// What a kernel's source needs to be compiled twice: by nvcc for a GPU, and by the C++ compiler for tests without one,
// where emulation.hpp runs the threads of a block on fibers. Sources without kernels that belong to a GPU are compiled
// by the C++ compiler with MOESCOPE_CUDA_RUNTIME. Kernels are written for both:
//   SIMT_SHARED(float, part, 32);            an array in shared memory, 32 elements
//   SIMT_DYNAMIC_SHARED(float, row);         the launch's bytes, at most one per kernel
//   __syncthreads(), __syncwarp(), __shfl_xor_sync(...), __ballot_sync(...) as CUDA has them
//   SIMT_UNROLL                              before a loop whose arrays are to stay in registers
//   SIMT_LAUNCH(kernel, grid, block, bytes, stream, arguments...)
// Shared arrays are indexed and offset (part[i], part + i), nothing else: in the emulation they are no pointers. There
// is no atomicAdd of floats, because its order, and so its sum, would change from run to run.
#pragma once

#include <cstdint>

#if defined(__CUDACC__) || defined(MOESCOPE_CUDA_RUNTIME)

#include <cuda_runtime.h>
#include <stdexcept>
#include <string>

#define SIMT_SHARED(type, name, count) __shared__ type name[count]
#define SIMT_DYNAMIC_SHARED(type, name)                                  \
    extern __shared__ __align__(16) unsigned char simt_dynamic_shared[]; \
    type* const name = reinterpret_cast<type*>(simt_dynamic_shared)
#define SIMT_UNROLL _Pragma("unroll")
#define SIMT_LAUNCH(kernel, ...) ::simt::launch(#kernel, kernel, __VA_ARGS__)

namespace simt {

using Stream = cudaStream_t;
template <class Value>
using SharedPointer = Value*;

#ifdef __CUDACC__
/// Starts a kernel; what fails later is seen when the stream is waited for. A grid without blocks is no work, though
/// CUDA refuses it. Throws std::runtime_error.
template <class Kernel, class... Arguments>
void launch(const char* name, Kernel kernel, dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            Arguments... arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) {
        return;
    }
    kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
    const cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) {
        throw std::runtime_error(std::string("starting kernel ") + name + ": " + cudaGetErrorName(error) + ", " +
                                 cudaGetErrorString(error));
    }
}
#endif

}  // namespace simt

#else

#include "kernels/cuda/emulation.hpp"

#endif
