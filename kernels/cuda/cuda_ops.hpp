// The operations on a GPU, or emulated.
#pragma once

#include <memory>

#include "kernels/cuda/attention_library.hpp"
#include "kernels/cuda/device.hpp"
#include "kernels/cuda/products.hpp"
#include "kernels/ops.hpp"

namespace moescope::kernels::cuda {

std::unique_ptr<Ops> cuda_ops(std::unique_ptr<Device> device, std::unique_ptr<Products> products,
                              AttentionLoader attention);

}  // namespace moescope::kernels::cuda
