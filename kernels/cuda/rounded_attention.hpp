// Attention with operands and results of bfloat16 (kernels/cpu/rounded_attention.hpp) on a GPU: by a library where
// there is one that takes the shape, else by the kernels of attention.hpp on rounded copies.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kernels/cuda/attention_library.hpp"
#include "kernels/cuda/device.hpp"

namespace moescope::kernels::cuda {

class RoundedAttention {
 public:
    RoundedAttention(Device& device, AttentionLoader load);

    /// Floats, for this shape and, where it has a window, for the one without.
    std::int64_t scratch(const AttentionShape& shape) const;
    /// As Ops::attention_forward and attention_backward.
    void forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                 const float* sinks_H, float* scratch, const AttentionShape& shape);
    void backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, const float* do_THC, const float* o_THC,
                  const float* q_BHSC, const float* k_BGSC, const float* v, const float* sinks_H, const float* lse_BHS,
                  float* scratch, const AttentionShape& shape);
    /// As Ops::attention_by().
    std::string by() const;

 private:
    const LoadedAttention& loaded() const;
    std::string why_not_library(const AttentionShape& shape) const;
    bool library_takes(const AttentionShape& shape);

    Device& device_;
    const AttentionLoader load_;
    mutable std::optional<LoadedAttention> loaded_;
    bool by_library_ = false;
    std::string why_own_;  ///< of the first shape that was not left to the library
};

}  // namespace moescope::kernels::cuda
