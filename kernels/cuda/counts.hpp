// What a step counts of its routing, on a GPU; see kernels/cpu/counts.hpp.
#pragma once

#include <cstdint>

#include "kernels/cpu/counts.hpp"
#include "kernels/cuda/simt.hpp"

namespace moescope::kernels::cuda {

void add_choices(simt::Stream stream, std::uint64_t* sums_E, const std::uint32_t* choices_E, std::int64_t E);
void count_slots(simt::Stream stream, std::uint32_t* counts, const SlotCounts& slots);
/// `scratch` holds 2 T doubles.
void add_margins(simt::Stream stream, MarginSums* sums, const ChosenScores& layer, double* scratch);

}  // namespace moescope::kernels::cuda
