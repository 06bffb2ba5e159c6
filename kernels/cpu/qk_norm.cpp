#include "kernels/cpu/qk_norm.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/linear.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::kernels {

namespace reference {
namespace {

/// The other element of c's pair, and whether c is the first of the two. c counts from the start of the turned part.
struct Pair {
    std::int64_t index, other;
    bool first;
};
Pair pair_of(std::int64_t c, std::int64_t rope, RopeOrder order) {
    const std::int64_t half = rope / 2;
    if (order == RopeOrder::half) {
        return {c % half, c < half ? c + half : c - half, c < half};
    }
    return {c / 2, c % 2 == 0 ? c + 1 : c - 1, c % 2 == 0};
}

double inverse_root(const float* x, std::int64_t n, double epsilon) {
    double squares = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        squares += static_cast<double>(x[i]) * x[i];
    }
    return 1.0 / std::sqrt(squares / static_cast<double>(n) + epsilon);
}

}  // namespace

void qk_norm_forward(float* y_BNSC, float* rstd_out, const float* x, const float* w, double theta,
                     const HeadShape& shape) {
    const std::int64_t S = shape.S, N = shape.N, C = shape.C, plain = C - shape.rope;
    std::vector<double> normed(static_cast<std::size_t>(C));
    for (std::int64_t row = 0; row < shape.B * N * S; ++row) {
        const std::int64_t b = row / (N * S), n = row / S % N, s = row % S, t = b * S + s;
        const float *token = x + t * shape.R, *in = token + n * C;
        double rstd = 1.0;
        if (shape.norm == QkNorm::head) {
            rstd = inverse_root(in, C, shape.epsilon);
            rstd_out[row] = static_cast<float>(rstd);
        } else if (shape.norm == QkNorm::full) {
            rstd = inverse_root(token, N * C, shape.epsilon);
            rstd_out[t] = static_cast<float>(rstd);
        }
        for (std::int64_t c = 0; c < C; ++c) {
            const double weight = shape.norm == QkNorm::none ? 1.0 : w[shape.norm == QkNorm::full ? n * C + c : c];
            normed[static_cast<std::size_t>(c)] = in[c] * rstd * weight;
        }
        for (std::int64_t c = 0; c < C; ++c) {
            double value = normed[static_cast<std::size_t>(c)];
            if (c >= plain) {
                const Pair pair = pair_of(c - plain, shape.rope, shape.order);
                const double other = normed[static_cast<std::size_t>(plain + pair.other)];
                const double exponent = -2.0 * static_cast<double>(pair.index) / static_cast<double>(shape.rope);
                const double angle = static_cast<double>(s) * std::pow(theta, exponent);
                value = value * std::cos(angle) + (pair.first ? -other : other) * std::sin(angle);
            }
            y_BNSC[row * C + c] = static_cast<float>(value);
        }
    }
}

}  // namespace reference

namespace {

constexpr std::int64_t kPositions = 128;  // of one head per task
constexpr std::int64_t kTokens = 64;      // per task where a task takes whole tokens

std::int64_t blocks_of(std::int64_t count, std::int64_t block) {
    return (count + block - 1) / block;
}

/// One loop for everything that works on single heads: body(task, b, n, first position, end).
template <class Body>
void for_heads(const HeadShape& shape, const Body& body) {
    const std::int64_t blocks = blocks_of(shape.S, kPositions);
    parallel_for(shape.B * shape.N * blocks, [&](std::int64_t task, int) {
        const std::int64_t index = task / blocks, first = task % blocks * kPositions;
        body(task, index / shape.N, index % shape.N, first, std::min(first + kPositions, shape.S));
    });
}

/// Turns the last `rope` elements of a head by the table row of position s.
void turn(float* head_C, const float* cos_SP, const float* sin_SP, std::int64_t s, const HeadShape& shape) {
    const std::int64_t half = shape.rope / 2;
    rope_rotate(head_C + shape.C - shape.rope, cos_SP + s * half, sin_SP + s * half, shape.rope, shape.order);
}

void turn_back(float* head_C, const float* cos_SP, const float* sin_SP, std::int64_t s, const HeadShape& shape) {
    const std::int64_t half = shape.rope / 2;
    rope_rotate_back(head_C + shape.C - shape.rope, cos_SP + s * half, sin_SP + s * half, shape.rope, shape.order);
}

float inverse_root(const float* x, std::int64_t n, double epsilon) {
    const double mean = lanes::dot(x, x, n) / static_cast<double>(n);
    return static_cast<float>(1.0 / std::sqrt(mean + epsilon));
}

/// QkNorm::head and QkNorm::none.
void single_forward(float* y_BNSC, float* rstd_BNS, const float* x, const float* w_C, const float* cos_SP,
                    const float* sin_SP, const HeadShape& shape) {
    const std::int64_t S = shape.S, N = shape.N, C = shape.C;
    for_heads(shape, [&](std::int64_t, std::int64_t b, std::int64_t n, std::int64_t first, std::int64_t end) {
        for (std::int64_t s = first; s < end; ++s) {
            const float* in = x + (b * S + s) * shape.R + n * C;
            const std::int64_t row = (b * N + n) * S + s;
            float* out = y_BNSC + row * C;
            if (shape.norm == QkNorm::none) {
                std::copy(in, in + C, out);
            } else {
                const float rstd = inverse_root(in, C, shape.epsilon);
                rstd_BNS[row] = rstd;
                for (std::int64_t c = 0; c < C; ++c) {
                    out[c] = in[c] * rstd * w_C[c];
                }
            }
            turn(out, cos_SP, sin_SP, s, shape);
        }
    });
}

/// With n = x rstd: dx = rstd (dy w - n mean(dy w n)), dw = sum over positions and heads of dy n.
void single_backward(float* dx, float* partial, const float* dy_BNSC, const float* x, const float* rstd_BNS,
                     const float* w_C, const float* cos_SP, const float* sin_SP, const HeadShape& shape) {
    const std::int64_t S = shape.S, N = shape.N, C = shape.C;
    for_heads(shape, [&](std::int64_t task, std::int64_t b, std::int64_t n, std::int64_t first, std::int64_t end) {
        float dw[kMaxHeadWidth] = {};
        float dy[kMaxHeadWidth];
        for (std::int64_t s = first; s < end; ++s) {
            const std::int64_t at = (b * S + s) * shape.R + n * C, row = (b * N + n) * S + s;
            std::copy(dy_BNSC + row * C, dy_BNSC + (row + 1) * C, dy);
            turn_back(dy, cos_SP, sin_SP, s, shape);
            if (shape.norm == QkNorm::none) {
                std::copy(dy, dy + C, dx + at);
                continue;
            }
            const float rstd = rstd_BNS[row];
            const float shared = lanes::dot3(dy, w_C, x + at, C) * rstd * rstd * rstd / static_cast<float>(C);
            for (std::int64_t c = 0; c < C; ++c) {
                dw[c] += dy[c] * x[at + c] * rstd;
                dx[at + c] = rstd * dy[c] * w_C[c] - shared * x[at + c];
            }
        }
        if (shape.norm == QkNorm::head) {
            std::copy(dw, dw + C, partial + task * C);
        }
    });
}

/// QkNorm::full.
void full_forward(float* y_BNSC, float* rstd_T, const float* x, const float* w_NC, const float* cos_SP,
                  const float* sin_SP, const HeadShape& shape) {
    const std::int64_t S = shape.S, N = shape.N, C = shape.C;
    parallel_blocks(shape.B * S, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            const float* in = x + t * shape.R;
            const float rstd = inverse_root(in, N * C, shape.epsilon);
            rstd_T[t] = rstd;
            for (std::int64_t n = 0; n < N; ++n) {
                float* out = y_BNSC + ((t / S * N + n) * S + t % S) * C;
                for (std::int64_t c = 0; c < C; ++c) {
                    out[c] = in[n * C + c] * rstd * w_NC[n * C + c];
                }
                turn(out, cos_SP, sin_SP, t % S, shape);
            }
        }
    });
}

/// partial [blocks of tokens][N C]. The turned-back dy of a token is kept in its place in dx until dx is known.
void full_backward(float* dx, float* partial, const float* dy_BNSC, const float* x, const float* rstd_T,
                   const float* w_NC, const float* cos_SP, const float* sin_SP, const HeadShape& shape) {
    const std::int64_t S = shape.S, N = shape.N, C = shape.C, W = N * C;
    parallel_blocks(shape.B * S, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        float* dw = partial + begin / kTokens * W;
        std::fill(dw, dw + W, 0.0f);
        for (std::int64_t t = begin; t < end; ++t) {
            const float* in = x + t * shape.R;
            float* dy = dx + t * shape.R;
            for (std::int64_t n = 0; n < N; ++n) {
                const float* from = dy_BNSC + ((t / S * N + n) * S + t % S) * C;
                std::copy(from, from + C, dy + n * C);
                turn_back(dy + n * C, cos_SP, sin_SP, t % S, shape);
            }
            const float rstd = rstd_T[t];
            const float shared = lanes::dot3(dy, w_NC, in, W) * rstd * rstd * rstd / static_cast<float>(W);
            for (std::int64_t i = 0; i < W; ++i) {
                dw[i] += dy[i] * in[i] * rstd;
                dy[i] = rstd * dy[i] * w_NC[i] - shared * in[i];
            }
        }
    });
}

}  // namespace

void qk_norm_forward(float* y_BNSC, float* rstd, const float* x, const float* w, const float* cos_SP,
                     const float* sin_SP, const HeadShape& shape) {
    (shape.norm == QkNorm::full ? full_forward : single_forward)(y_BNSC, rstd, x, w, cos_SP, sin_SP, shape);
}

std::int64_t qk_norm_scratch(const HeadShape& shape) {
    switch (shape.norm) {
        case QkNorm::none:
            return 0;
        case QkNorm::head:
            return shape.B * shape.N * blocks_of(shape.S, kPositions) * shape.C;
        case QkNorm::full:
            return blocks_of(shape.B * shape.S, kTokens) * shape.N * shape.C;
    }
    return 0;
}

void qk_norm_backward(float* dx, float* dw, float* scratch, const float* dy_BNSC, const float* x, const float* rstd,
                      const float* w, const float* cos_SP, const float* sin_SP, const HeadShape& shape) {
    const bool full = shape.norm == QkNorm::full;
    (full ? full_backward : single_backward)(dx, scratch, dy_BNSC, x, rstd, w, cos_SP, sin_SP, shape);
    if (shape.norm != QkNorm::none) {
        const std::int64_t width = full ? shape.N * shape.C : shape.C;
        column_sums(dw, scratch, qk_norm_scratch(shape) / width, width, width, Write::assign);
    }
}

void latent_key_forward(float* k_BNSC, const float* x_nope, const float* x_rope, const float* cos_SP,
                        const float* sin_SP, const LatentKeyShape& shape) {
    const std::int64_t S = shape.S, N = shape.N, nope = shape.nope, rope = shape.rope, C = nope + rope, half = rope / 2;
    parallel_blocks(shape.B * S, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            const std::int64_t s = t % S;
            // The shared part is turned once, in the key of head 0.
            float* first = k_BNSC + (t / S * N * S + s) * C;
            std::copy(x_rope + t * shape.R_rope, x_rope + t * shape.R_rope + rope, first + nope);
            rope_rotate(first + nope, cos_SP + s * half, sin_SP + s * half, rope, shape.order);
            for (std::int64_t n = 0; n < N; ++n) {
                float* key = first + n * S * C;
                const float* own = x_nope + t * shape.R + n * shape.stride;
                std::copy(own, own + nope, key);
                if (n > 0) {
                    std::copy(first + nope, first + C, key + nope);
                }
            }
        }
    });
}

void latent_key_backward(float* dx_nope, float* dx_rope, const float* dk_BNSC, const float* cos_SP, const float* sin_SP,
                         const LatentKeyShape& shape) {
    const std::int64_t S = shape.S, N = shape.N, nope = shape.nope, rope = shape.rope, C = nope + rope, half = rope / 2;
    parallel_blocks(shape.B * S, kTokens, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
            const std::int64_t s = t % S;
            float* shared = dx_rope + t * shape.R_rope;
            std::fill(shared, shared + rope, 0.0f);
            for (std::int64_t n = 0; n < N; ++n) {
                const float* dk = dk_BNSC + ((t / S * N + n) * S + s) * C;
                std::copy(dk, dk + nope, dx_nope + t * shape.R + n * shape.stride);
                for (std::int64_t i = 0; i < rope; ++i) {
                    shared[i] += dk[nope + i];
                }
            }
            rope_rotate_back(shared, cos_SP + s * half, sin_SP + s * half, rope, shape.order);
        }
    });
}

}  // namespace moescope::kernels
