// All memory of a training run, placed by one function that serves both the plan and the run.
#pragma once

#include <cstdint>

#include "engine/generate/decoder.hpp"
#include "engine/model/arena.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "engine/model/transformer.hpp"

namespace moescope::engine {

struct RunBuffers {
    static RunBuffers place(Arena& arena, const RunConfig& config, const ParameterLayout& layout);

    float *parameters = nullptr, *gradients = nullptr, *first_moment = nullptr,
          *second_moment = nullptr;  ///< [layout.floats]
    double* square_sums = nullptr;   ///< scratch of the gradient norm
    std::int32_t *tokens_T = nullptr, *targets_T = nullptr;
    std::uint8_t* languages_T = nullptr;
    ModelState state;
    DecoderState decoder;  ///< for samples
};

/// Threads that the run will use.
int threads_of(const RunConfig& config);

}  // namespace moescope::engine
