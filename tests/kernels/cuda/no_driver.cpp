// Stands in for libcuda.so.1 where cuDNN plans for GPUs that aren't there: it calls the driver when it has compiled a
// kernel, to load it, and asks nothing else of it. Nothing is ever computed through this.
namespace {
constexpr int kSuccess = 0;
int something = 0;  // what handles point at; nobody follows them
int give(void** handle) {
    *handle = &something;
    return kSuccess;
}
}  // namespace

#define MOESCOPE_NOTHING(name) \
    extern "C" int name(...) { \
        return kSuccess;       \
    }
MOESCOPE_NOTHING(cuCtxGetCurrent)
MOESCOPE_NOTHING(cuCtxGetLimit)
MOESCOPE_NOTHING(cuCtxPopCurrent)
MOESCOPE_NOTHING(cuCtxPushCurrent)
MOESCOPE_NOTHING(cuDeviceGet)
MOESCOPE_NOTHING(cuDeviceGetCount)
MOESCOPE_NOTHING(cuGetErrorName)
MOESCOPE_NOTHING(cuGetErrorString)
MOESCOPE_NOTHING(cuKernelSetAttribute)
MOESCOPE_NOTHING(cuLaunchCooperativeKernel)
MOESCOPE_NOTHING(cuLaunchKernel)
MOESCOPE_NOTHING(cuLaunchKernelEx)
MOESCOPE_NOTHING(cuLibraryLoadFromFile)
MOESCOPE_NOTHING(cuLibraryUnload)
MOESCOPE_NOTHING(cuLinkAddData)
MOESCOPE_NOTHING(cuLinkComplete)
MOESCOPE_NOTHING(cuLinkCreate)
MOESCOPE_NOTHING(cuLinkDestroy)
MOESCOPE_NOTHING(cuModuleUnload)
MOESCOPE_NOTHING(cuStreamGetCtx)
MOESCOPE_NOTHING(cuTensorMapEncodeIm2col)
MOESCOPE_NOTHING(cuTensorMapEncodeTiled)

extern "C" int cuDriverGetVersion(int* version) {
    *version = 13050;
    return kSuccess;
}
extern "C" int cuKernelGetAttribute(int* value, ...) {
    *value = 0;
    return kSuccess;
}
extern "C" int cuOccupancyMaxPotentialClusterSize(int* size, ...) {
    *size = 8;
    return kSuccess;
}
extern "C" int cuKernelGetFunction(void** handle, ...) {
    return give(handle);
}
extern "C" int cuLibraryGetKernel(void** handle, ...) {
    return give(handle);
}
extern "C" int cuLibraryLoadData(void** handle, ...) {
    return give(handle);
}
extern "C" int cuModuleGetFunction(void** handle, ...) {
    return give(handle);
}
extern "C" int cuModuleLoadData(void** handle, ...) {
    return give(handle);
}
