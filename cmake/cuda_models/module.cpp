// What the module says of itself, before anything of ggml in it is called.
#include <cuda_runtime_api.h>

#include "kernels/ggml_module.hpp"

namespace {

std::int32_t driver() {
    int version = 0;
    return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

constexpr moescope::kernels::GgmlModule kModule{moescope::kernels::kGgmlModuleVersion,
                                                MOESCOPE_GGML_PIN,
                                                "CUDA",
                                                MOESCOPE_GGML_CAPABILITIES,
                                                CUDART_VERSION,
                                                driver};

}  // namespace

extern "C" __attribute__((visibility("default"))) const moescope::kernels::GgmlModule* moescope_ggml_module();
const moescope::kernels::GgmlModule* moescope_ggml_module() {
    return &kModule;
}
