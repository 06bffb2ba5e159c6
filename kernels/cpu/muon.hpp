// Muon: momentum, then the update made nearly orthogonal by Newton-Schulz iterations. Source: Jordan et al., 2024
// (kellerjordan.github.io/posts/muon), coefficients 3.4445, -4.7750, 2.0315, five iterations, Nesterov momentum; the
// update is scaled by sqrt(max(1, rows / columns)).
#pragma once

#include <cstdint>

namespace moescope::kernels {

struct MuonStep {
    double learning_rate = 0, momentum = 0.95, weight_decay = 0;
    double gradient_scale = 1;  ///< from clipping
};

/// Scratch floats that each worker needs for matrices of this shape.
std::int64_t muon_scratch(std::int64_t rows, std::int64_t columns);

struct MuonFactors;  // muon_factors.hpp

/// `count` matrices [rows, columns] back to back: m = momentum m + g; u = g + momentum m; p -= rate (scale
/// orthogonal(u)
/// + decay p). `scratch` is [workers][muon_scratch(rows, columns)]. Each matrix is one thread's work.
void muon(float* p, float* m, const float* gradient, std::int64_t count, std::int64_t rows, std::int64_t columns,
          float* scratch, const MuonFactors& factors);
void muon(float* p, float* m, const float* gradient, std::int64_t count, std::int64_t rows, std::int64_t columns,
          float* scratch, const MuonStep& step);

/// x [rows, columns] becomes nearly orthogonal, its singular values between about 0.7 and 1.2. For tests, too.
void orthogonalise(float* x, std::int64_t rows, std::int64_t columns, float* scratch);

namespace reference {
/// The same in double, without scratch.
void muon(float* p, float* m, const float* gradient, std::int64_t count, std::int64_t rows, std::int64_t columns,
          const MuonStep& step);
}  // namespace reference

}  // namespace moescope::kernels
