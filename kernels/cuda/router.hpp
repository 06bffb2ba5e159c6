// The router family on a GPU: from logits to "which experts, with what weight", and back. Formulas, choices, order of
// ties and legend: kernels/cpu/router.hpp; the same ids come out wherever the scores are the same. Every choice, drop
// and loss of the CPU is here; nothing waits for the host and no sum depends on the order of threads.
#pragma once

#include <cstdint>

#include "kernels/cpu/router.hpp"
#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

/// Doubles of scratch of forward and backward.
std::int64_t router_scratch(const RouterShape& shape);
/// Writes `out` and *losses.
void router_forward(simt::Stream stream, RouterLosses* losses, const RouterOutput& out, const RouterInput& in,
                    double* scratch, const RouterShape& shape);
void router_backward(simt::Stream stream, float* dz_TE, const float* dw_TJ, const RouterOutput& out,
                     const RouterInput& in, double* scratch, double balance_scale, double z_scale,
                     const RouterShape& shape);
void update_selection_bias(simt::Stream stream, float* bias_E, const std::uint64_t* loads_E,
                           const std::uint8_t* disabled_E, std::int64_t E, double speed);
void hash_choice(simt::Stream stream, std::int32_t* ids_TK, const std::int32_t* tokens_T, std::int64_t T,
                 std::int64_t E, std::int64_t K, std::uint64_t seed);

}  // namespace moescope::kernels::cuda
