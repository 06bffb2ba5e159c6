// Takes the place of ggml's fattn.cu and its 82 instances, which are half of what a module takes to compile: no fused
// attention on a GPU. libllama asks for it, is told that there is none, and computes attention from its parts.
#include "fattn.cuh"

void ggml_cuda_flash_attn_ext(ggml_backend_cuda_context& context, ggml_tensor* result) {
    GGML_UNUSED(context);
    GGML_ABORT("%s: this module was built without flash attention", result->name);
}

bool ggml_cuda_flash_attn_ext_supported(int device, const ggml_tensor* result) {
    GGML_UNUSED_VARS(device, result);
    return false;
}

size_t ggml_cuda_flash_attn_ext_get_alloc_size(int device, const ggml_tensor* result) {
    GGML_UNUSED(device);
    return ggml_nbytes(result);
}
