#include "kernels/cpu/rounded_attention.hpp"

#include "base/half_floats.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {
namespace {

constexpr std::int64_t kPiece = 1 << 14;  // values at a time

float rounded(float value) {
    return base::bf16_to_float(base::float_to_bf16(value));
}

/// `to` may be `from`.
void round_array(float* to, const float* from, std::int64_t count) {
    parallel_blocks(count, kPiece, [&](std::int64_t begin, std::int64_t end, int /*worker*/) {
        for (std::int64_t i = begin; i < end; ++i) {
            to[i] = rounded(from[i]);
        }
    });
}

/// The values of all tokens, one after the other: [B S, G, Cv].
AttentionShape dense_values(const AttentionShape& shape) {
    AttentionShape dense = shape;
    dense.R = shape.G * shape.Cv;
    dense.stride = shape.Cv;
    return dense;
}

/// From where one shape has the values to where the other has them.
void round_values(float* to, const AttentionShape& there, const float* from, const AttentionShape& here) {
    constexpr std::int64_t kTokens = 64;
    parallel_blocks(here.B * here.S, kTokens, [&](std::int64_t begin, std::int64_t end, int /*worker*/) {
        for (std::int64_t t = begin; t < end; ++t) {
            for (std::int64_t g = 0; g < here.G; ++g) {
                const float* in = from + t * here.R + g * here.stride;
                float* out = to + t * there.R + g * there.stride;
                for (std::int64_t c = 0; c < here.Cv; ++c) {
                    out[c] = rounded(in[c]);
                }
            }
        }
    });
}

struct Copies {
    float *q, *k, *v, *dout, *dv;
    Copies(float* at, const AttentionShape& n)
        : q(at),
          k(q + n.B * n.H * n.S * n.C),
          v(k + n.B * n.G * n.S * n.C),
          dout(v + n.B * n.S * n.G * n.Cv),
          dv(dout + n.B * n.S * n.H * n.Cv) {}
};

Copies round_operands(float* at, const float* q_BHSC, const float* k_BGSC, const float* v,
                      const AttentionShape& shape) {
    const Copies copies(at, shape);
    round_array(copies.q, q_BHSC, shape.B * shape.H * shape.S * shape.C);
    round_array(copies.k, k_BGSC, shape.B * shape.G * shape.S * shape.C);
    round_values(copies.v, dense_values(shape), v, shape);
    return copies;
}

}  // namespace

std::int64_t rounded_attention_copies(const AttentionShape& shape) {
    return shape.B * shape.S * ((shape.H + shape.G) * shape.C + (shape.H + 2 * shape.G) * shape.Cv);
}

void rounded_attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                               const float* sinks_H, float* scratch, float* copies, const AttentionShape& shape) {
    const Copies in = round_operands(copies, q_BHSC, k_BGSC, v, shape);
    attention_forward(o_THC, lse_BHS, in.q, in.k, in.v, sinks_H, scratch, dense_values(shape));
    round_array(o_THC, o_THC, shape.B * shape.S * shape.H * shape.Cv);
}

void rounded_attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, float* sink_partial,
                                const float* do_THC, const float* q_BHSC, const float* k_BGSC, const float* v,
                                const float* sinks_H, const float* lse_BHS, float* scratch, float* copies,
                                const AttentionShape& shape) {
    const Copies in = round_operands(copies, q_BHSC, k_BGSC, v, shape);
    const AttentionShape dense = dense_values(shape);
    round_array(in.dout, do_THC, shape.B * shape.S * shape.H * shape.Cv);
    attention_backward(dq_BHSC, dk_BGSC, in.dv, dsinks_H, sink_partial, in.dout, in.q, in.k, in.v, sinks_H, lse_BHS,
                       scratch, dense);
    round_array(dq_BHSC, dq_BHSC, shape.B * shape.H * shape.S * shape.C);
    round_array(dk_BGSC, dk_BGSC, shape.B * shape.G * shape.S * shape.C);
    round_values(dv, shape, in.dv, dense);
}

}  // namespace moescope::kernels
