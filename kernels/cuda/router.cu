// Router: scores, and the backward; choice, capacity and losses stand in router_*.cu.
#include "kernels/cuda/router.hpp"
#include "kernels/cuda/router_parts.hpp"

namespace moescope::kernels::cuda {
namespace router {
namespace {

__device__ float sigmoid_of(float z) {
    const float u = expf(-fabsf(z));
    return (z < 0.0f ? u : 1.0f) / (1.0f + u);
}

/// Score of one logit and its logarithm; softmax kinds are made of the row's sum instead.
struct Score {
    float s, log_s;
};
__device__ Score score_of(float z, Scoring scoring) {
    const float u = expf(-fabsf(z));
    switch (scoring) {
        case Scoring::sigmoid:
            return {sigmoid_of(z), (z < 0.0f ? z : 0.0f) - log1pf(u)};
        case Scoring::sqrt_softplus: {
            const float softplus = (z < 0.0f ? 0.0f : z) + log1pf(u);
            return {sqrtf(softplus), 0.5f * logf(softplus)};
        }
        case Scoring::softmax:
        case Scoring::softmax_after_top_k:
            break;
    }
    return {0.0f, 0.0f};
}
/// ds / dz of the same.
__device__ float slope_of(float z, float s, Scoring scoring) {
    switch (scoring) {
        case Scoring::sigmoid:
            return s * (1.0f - s);
        case Scoring::sqrt_softplus:
            return sigmoid_of(z) / (2.0f * s);
        case Scoring::softmax:
        case Scoring::softmax_after_top_k:
            break;
    }
    return 0.0f;
}

/// One block per token.
__global__ void token_scores(float* s_TE, float* lse_T, double* z_T, double* entropy_T, double* q_of_s_T,
                             const float* z_TE, std::int64_t E, Scoring scoring, bool softmax) {
    SIMT_SHARED(float, parts, kMostWarps);
    const float* z = z_TE + blockIdx.x * E;
    float* s = s_TE + blockIdx.x * E;
    float top = -INFINITY;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        top = z[e] > top ? z[e] : top;
    }
    top = block_maximum<float>(top, parts);
    float sum = 0;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        sum += expf(z[e] - top);
    }
    sum = block_sum<float>(sum, parts);
    const float lse = top + logf(sum);
    float scores = 0, products = 0;  // sums of s, and of s z or s log s
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        Score score{expf(z[e] - top) / sum, z[e]};
        if (!softmax) {
            score = score_of(z[e], scoring);
        }
        s[e] = score.s;
        scores += score.s;
        products += score.s * score.log_s;
    }
    scores = block_sum<float>(scores, parts);
    products = block_sum<float>(products, parts);
    if (threadIdx.x == 0) {
        const double inverse = 1.0 / (static_cast<double>(scores) + kSumFloor);
        lse_T[blockIdx.x] = lse;
        z_T[blockIdx.x] = static_cast<double>(lse) * lse;
        entropy_T[blockIdx.x] = softmax ? static_cast<double>(lse) - products : -log(inverse) - products * inverse;
        q_of_s_T[blockIdx.x] = softmax ? 1.0 : inverse;
    }
}

/// One block per expert sums q over the tokens; two more sum z and entropy.
__global__ void batch_sums(double* sums, double* q_sums_E, const float* s_TE, const double* z_T,
                           const double* entropy_T, const double* q_of_s_T, std::int64_t T, std::int64_t E) {
    SIMT_SHARED(double, parts, kMostWarps);
    const std::int64_t e = blockIdx.x;
    double sum = 0;
    for (std::int64_t t = threadIdx.x; t < T; t += blockDim.x) {
        sum += e < E ? s_TE[t * E + e] * q_of_s_T[t] : e == E ? z_T[t] : entropy_T[t];
    }
    sum = block_sum<double>(sum, parts);
    if (threadIdx.x == 0) {
        sums[e] = sum;
        if (q_sums_E != nullptr && e < E) {
            q_sums_E[e] = sum;
        }
    }
}

/// What the backward of a token needs beside arrays.
struct BackwardFactors {
    std::int64_t T, E, J, S;
    Scoring scoring;
    bool softmax, of_chosen, divide, batch, sequence;
    float scale, sequence_scale;
    double batch_factor, z_factor;  ///< z_factor: 2 z_scale / T
};

/// out_E = s (ds - s . ds + z_term): the gradient of a softmax and of z. out_E may be ds_E. By a whole block.
template <class Out>
__device__ void softmax_gradient(const Out& out_E, simt::SharedPointer<float> ds_E, const float* s_E, float z_term,
                                 std::int64_t E, simt::SharedPointer<float> parts_W) {
    float mean = 0;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        mean += s_E[e] * ds_E[e];
    }
    mean = block_sum<float>(mean, parts_W);
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        out_E[e] = s_E[e] * (ds_E[e] - mean + z_term);
    }
}

/// One block per token. ds_E: gradient by the scores (or by the logits where weights are a softmax of the chosen).
__global__ void token_backward(float* dz_TE, const float* dw_TJ, RouterOutput out, const float* z_TE,
                               const std::uint64_t* earlier_choices_E, const float* f_SE, BackwardFactors f) {
    SIMT_SHARED(float, parts, kMostWarps);
    SIMT_DYNAMIC_SHARED(float, ds_E);
    const std::int64_t t = blockIdx.x, E = f.E;
    const float* s = out.s_TE + t * E;
    float products = 0, scores = 0;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        float dq = 0;
        if (f.batch) {
            const double earlier = earlier_choices_E == nullptr ? 0.0 : static_cast<double>(earlier_choices_E[e]);
            dq = static_cast<float>(f.batch_factor * (out.choices_E[e] + earlier));
        } else if (f.sequence) {
            dq = f.sequence_scale * f_SE[t / f.S * E + e];
        }
        ds_E[e] = dq;
        products += s[e] * dq;
        scores += s[e];
    }
    if (!f.softmax) {  // from q = s / sum s to s
        products = block_sum<float>(products, parts);
        scores = block_sum<float>(scores, parts);
        const float inverse = 1.0f / (scores + kSumFloor), mean = products * inverse;
        for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
            ds_E[e] = (ds_E[e] - mean) * inverse;
        }
    }
    __syncthreads();
    const float z_term = static_cast<float>(f.z_factor * out.lse_T[t]), lse = out.lse_T[t];
    if (f.of_chosen) {  // first through the softmax, then the weights' part, which is one by the logits
        softmax_gradient(ds_E, ds_E, s, z_term, E, parts);
        __syncthreads();
    }
    const std::int32_t* ids = out.ids_TJ + t * f.J;
    const std::uint8_t* kept = out.kept_TJ + t * f.J;
    float chosen = 0, shared = 0;
    for (std::int64_t j = threadIdx.x; j < f.J; j += blockDim.x) {
        chosen += ids[j] >= 0 ? s[ids[j]] : 0.0f;
        shared += kept[j] != 0 ? dw_TJ[t * f.J + j] * out.w_TJ[t * f.J + j] : 0.0f;
    }
    chosen = block_sum<float>(chosen, parts);
    shared = block_sum<float>(shared, parts);
    for (std::int64_t j = threadIdx.x; j < f.J; j += blockDim.x) {
        if (ids[j] >= 0) {  // no expert stands twice in a token's list
            const float dw = kept[j] != 0 ? dw_TJ[t * f.J + j] * f.scale : 0.0f;
            const float ds = f.divide ? (dw - shared) / (chosen + kSumFloor) : dw;
            ds_E[ids[j]] += f.of_chosen ? ds * s[ids[j]] : ds;
        }
    }
    __syncthreads();
    float* dz = dz_TE + t * E;
    if (f.of_chosen) {
        for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
            dz[e] = ds_E[e];
        }
    } else if (f.softmax) {
        softmax_gradient(dz, ds_E, s, z_term, E, parts);
    } else {
        for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
            const float z = z_TE[t * E + e];
            dz[e] = ds_E[e] * slope_of(z, s[e], f.scoring) + z_term * expf(z - lse);
        }
    }
}

/// One block.
__global__ void move_bias(float* bias_E, const std::uint64_t* loads_E, const std::uint8_t* disabled_E, std::int64_t E,
                          double speed) {
    SIMT_SHARED(double, parts, kMostWarps);
    double total = 0, count = 0;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        total += enabled(disabled_E, e) ? static_cast<double>(loads_E[e]) : 0.0;
        count += enabled(disabled_E, e) ? 1.0 : 0.0;
    }
    total = block_sum<double>(total, parts);
    count = block_sum<double>(count, parts);
    const double mean = total / count;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        if (enabled(disabled_E, e)) {
            const double load = static_cast<double>(loads_E[e]);
            const double sign = load < mean ? 1.0 : load > mean ? -1.0 : 0.0;
            bias_E[e] = static_cast<float>(bias_E[e] + speed * sign);
        }
    }
}

__global__ void hash_tokens(std::int32_t* ids_TK, const std::int32_t* tokens_T, std::int64_t T, std::int64_t E,
                            std::int64_t K, std::uint64_t seed) {
    for (std::int64_t t = stride_begin(); t < T; t += stride_step()) {
        hash_token(ids_TK + t * K, tokens_T[t], E, K, seed);
    }
}

std::int64_t sequence_doubles(const RouterShape& shape) {
    return (sequences_of(shape) * shape.E + 1) / 2;
}

}  // namespace

Scratch scratch_of(double* scratch, const RouterShape& shape) {
    const std::int64_t T = shape.T;
    Scratch parts{};
    parts.sums = scratch;
    parts.z_T = parts.sums + shape.E + 2;
    parts.entropy_T = parts.z_T + T;
    parts.q_of_s_T = parts.entropy_T + T;
    parts.sequences_T = parts.q_of_s_T + T;
    parts.f_SE = reinterpret_cast<float*>(parts.sequences_T + T);
    parts.choice = parts.sequences_T + T + sequence_doubles(shape);
    return parts;
}

}  // namespace router

std::int64_t router_scratch(const RouterShape& shape) {
    return shape.E + 2 + 4 * shape.T + router::sequence_doubles(shape) + router::choice_scratch(shape);
}

void router_forward(simt::Stream stream, RouterLosses* losses, const RouterOutput& out, const RouterInput& in,
                    double* scratch, const RouterShape& shape) {
    const router::Scratch parts = router::scratch_of(scratch, shape);
    SIMT_LAUNCH(router::token_scores, dim3(static_cast<unsigned>(shape.T)), dim3(kRowThreads), 0, stream, out.s_TE,
                out.lse_T, parts.z_T, parts.entropy_T, parts.q_of_s_T, in.z_TE, shape.E, shape.scoring,
                formulas_of(shape.scoring).softmax);
    SIMT_LAUNCH(router::batch_sums, dim3(static_cast<unsigned>(shape.E + 2)), dim3(kRowThreads), 0, stream, parts.sums,
                out.q_sums_E, out.s_TE, parts.z_T, parts.entropy_T, parts.q_of_s_T, shape.T, shape.E);
    router::choose(stream, out, in, parts, shape);
    router::count_and_drop(stream, out, shape);
    router::losses(stream, losses, out, in, parts, shape);
}

void router_backward(simt::Stream stream, float* dz_TE, const float* dw_TJ, const RouterOutput& out,
                     const RouterInput& in, double* scratch, double balance_scale, double z_scale,
                     const RouterShape& shape) {
    const router::Scratch parts = router::scratch_of(scratch, shape);
    const double tokens = static_cast<double>(shape.T), K = static_cast<double>(shape.K);
    const bool earlier = shape.balance == Balance::global && in.earlier_choices_E != nullptr;
    router::BackwardFactors f{};
    f.T = shape.T;
    f.E = shape.E;
    f.J = shape.slots();
    f.S = router::sequence_of(shape);
    f.scoring = shape.scoring;
    f.softmax = formulas_of(shape.scoring).softmax;
    f.of_chosen = router::softmax_of_chosen(shape);
    f.divide = router::divides(shape);
    f.batch = shape.balance == Balance::batch || shape.balance == Balance::global;
    f.sequence = shape.balance == Balance::sequence;
    f.scale = static_cast<float>(shape.scale);
    f.sequence_scale = static_cast<float>(balance_scale);
    const double counted = tokens + (earlier ? static_cast<double>(in.earlier_tokens) : 0.0);
    f.batch_factor = balance_scale * static_cast<double>(shape.E) / (counted * K) / tokens;
    f.z_factor = z_scale * 2.0 / tokens;
    if (f.sequence) {
        router::sequence_factors(stream, parts.f_SE, out.ids_TJ, shape);
    }
    SIMT_LAUNCH(router::token_backward, dim3(static_cast<unsigned>(shape.T)), dim3(kRowThreads),
                static_cast<std::size_t>(shape.E) * sizeof(float), stream, dz_TE, dw_TJ, out, in.z_TE,
                earlier ? in.earlier_choices_E : nullptr, parts.f_SE, f);
}

void update_selection_bias(simt::Stream stream, float* bias_E, const std::uint64_t* loads_E,
                           const std::uint8_t* disabled_E, std::int64_t E, double speed) {
    SIMT_LAUNCH(router::move_bias, dim3(1), dim3(kRowThreads), 0, stream, bias_E, loads_E, disabled_E, E, speed);
}

void hash_choice(simt::Stream stream, std::int32_t* ids_TK, const std::int32_t* tokens_T, std::int64_t T,
                 std::int64_t E, std::int64_t K, std::uint64_t seed) {
    SIMT_LAUNCH(router::hash_tokens, dim3(stride_blocks(T, kRowThreads)), dim3(kRowThreads), 0, stream, ids_TK,
                tokens_T, T, E, K, seed);
}

}  // namespace moescope::kernels::cuda
