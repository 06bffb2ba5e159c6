// Muon on a GPU; see kernels/cpu/muon.hpp. The matrices one after the other, their products the library's.
#pragma once

#include <cstdint>

#include "kernels/cpu/muon_factors.hpp"
#include "kernels/cuda/products.hpp"
#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

/// Floats of scratch.
std::int64_t muon_scratch(std::int64_t rows, std::int64_t columns);
void muon(simt::Stream stream, Products& products, float* p, float* m, const float* gradient, std::int64_t count,
          std::int64_t rows, std::int64_t columns, float* scratch, const MuonFactors* factors);

}  // namespace moescope::kernels::cuda
