// Attention by a library that takes and gives bfloat16, as cuDNN does, or what stands in its place. Formulas and the
// legend of shapes: kernels/cpu/attention.hpp; of R, stride and rounded nothing is read. Values stand token by token:
// v_TGC [B S, G, Cv].
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/cpu/attention.hpp"

namespace moescope::kernels::cuda {

struct AttentionInputs {
    const std::uint16_t *q_BHSC, *k_BGSC, *v_TGC;
};
struct AttentionGradients {
    std::uint16_t *dq_BHSC, *dk_BGSC, *dv_TGC;
};

/// One stream, one thread at a time. Arrays and the workspace stand in device memory, on multiples of 256 bytes but for
/// those of floats. Results are the same bytes each time. Errors throw std::runtime_error.
class AttentionLibrary {
 public:
    virtual ~AttentionLibrary() = default;
    /// "cuDNN 9.27.0".
    virtual std::string name() const = 0;
    /// Why it doesn't compute this shape in both directions, in English; empty: it does. A shape is always answered
    /// alike; the first time takes seconds, and must not be while operations are captured.
    virtual std::string why_not(const AttentionShape& shape) = 0;
    /// Bytes that forward and backward of a shape that it takes need.
    virtual std::uint64_t workspace(const AttentionShape& shape) = 0;
    /// sinks_H is null exactly where shape.sinks is false.
    virtual void forward(std::uint16_t* o_THC, float* lse_BHS, const AttentionInputs& in, const float* sinks_H,
                         void* workspace, const AttentionShape& shape) = 0;
    /// What sinks take is in lse; their own gradient is not the library's.
    virtual void backward(const AttentionGradients& out, const std::uint16_t* do_THC, const std::uint16_t* o_THC,
                          const AttentionInputs& in, const float* lse_BHS, void* workspace,
                          const AttentionShape& shape) = 0;
};

struct LoadedAttention {
    std::unique_ptr<AttentionLibrary> library;  ///< null: see why_none
    std::string why_none;                       ///< in English
};
/// Called once, when a library is first of use: opening one takes time and memory of the device. The device that it is
/// for is current then.
using AttentionLoader = std::function<LoadedAttention()>;

}  // namespace moescope::kernels::cuda
