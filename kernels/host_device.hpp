// Functions that kernels of a GPU and the host both call.
#pragma once

#ifdef __CUDACC__
#define MOESCOPE_HOST_DEVICE __host__ __device__
#else
#define MOESCOPE_HOST_DEVICE
#endif
