// The operations on a GPU, or emulated.
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/attention_library.hpp"
#include "kernels/cuda/device.hpp"
#include "kernels/cuda/products.hpp"
#include "kernels/ops.hpp"

namespace moescope::kernels::cuda {

/// `attention` may be null: own kernels take its place, and `why_no_attention` says in English why.
std::unique_ptr<Ops> cuda_ops(std::unique_ptr<Device> device, std::unique_ptr<Products> products,
                              std::unique_ptr<AttentionLibrary> attention, std::string why_no_attention);

}  // namespace moescope::kernels::cuda
