// Router: which experts. Per token (with group limits), or over the whole batch (expert, sinkhorn, quantile).
#include "kernels/cuda/router_parts.hpp"

namespace moescope::kernels::cuda::router {
namespace {

constexpr unsigned kBatchThreads = 256;
constexpr std::int64_t kTokens = 64;  // whose columns one block adds up
constexpr double kLowest = -1.7976931348623157e308;

/// What a token is chosen by, beside arrays.
struct ChoiceFactors {
    std::int64_t E, K, groups, groups_kept;
    GroupScore group_score;
    Choice choice;
    bool by_logits, of_chosen, divide;
    float scale;
};

/// Takes the `count` largest of keys_n, best first, -1 where none is left; spends the keys. By one warp.
__device__ void take_largest(std::int32_t* ids, simt::SharedPointer<Key> keys_n, std::int64_t n, std::int64_t count) {
    for (std::int64_t k = 0; k < count; ++k) {
        const Key best = largest(keys_n, n);
        if (threadIdx.x == 0) {
            ids[k] = best == kNever ? -1 : index_of(best);
            if (best != kNever) {
                keys_n[index_of(best)] = kNever;
            }
        }
        __syncwarp();
    }
}

/// Takes the experts of all but the best groups out of keys_E; groups_2G: a key per group, then how many experts of it
/// may be chosen (afterwards 1 where the group stays). By one warp.
__device__ void limit_groups(simt::SharedPointer<Key> keys_E, simt::SharedPointer<Key> groups_2G,
                             simt::SharedPointer<float> c_E, const ChoiceFactors& f) {
    const std::int64_t G = f.groups, width = f.E / G;
    const auto left = groups_2G + G;
    for (std::int64_t g = threadIdx.x; g < G; g += kLanes) {
        Key best = kNever, second = kNever, count = 0;
        for (std::int64_t e = g * width; e < (g + 1) * width; ++e) {
            const Key key = keys_E[e], lesser = key < best ? key : best;
            second = lesser > second ? lesser : second;
            best = key > best ? key : best;
            count += key != kNever ? 1 : 0;
        }
        float value = 0;
        if (count > 0) {
            value = c_E[index_of(best)];
            if (f.group_score == GroupScore::top2 && second != kNever) {
                value += c_E[index_of(second)];
            }
        }
        groups_2G[g] = count > 0 ? key_of(value, g) : kNever;
        left[g] = count;
    }
    __syncwarp();
    Key experts = 0;
    for (std::int64_t i = 0; i < G && (i < f.groups_kept || experts < f.K); ++i) {
        const Key best = largest(groups_2G, G);
        if (best == kNever) {
            break;  // all lanes know the same
        }
        const std::int32_t g = index_of(best);
        experts += left[g];
        __syncwarp();
        if (threadIdx.x == 0) {
            groups_2G[g] = kNever;
            left[g] = Key{-1};  // stays
        }
        __syncwarp();
    }
    for (std::int64_t e = threadIdx.x; e < f.E; e += kLanes) {
        if (left[e / width] != Key{-1}) {
            keys_E[e] = kNever;
        }
    }
    __syncwarp();
}

/// One warp per token. `batch_TE` (may be null): sinkhorn's matrix; per_E: its factors, or quantile's biases.
__global__ void choose_tokens(RouterOutput out, RouterInput in, const double* batch_TE, const double* per_E,
                              ChoiceFactors f) {
    SIMT_DYNAMIC_SHARED(Key, keys_E);
    SIMT_SHARED(float, c_E, kMaxExperts);
    const std::int64_t t = blockIdx.x, E = f.E, K = f.K;
    const float *s = out.s_TE + t * E, *z = in.z_TE + t * E;
    std::int32_t* ids = out.ids_TJ + t * K;
    if (f.choice == Choice::hash) {
        for (std::int64_t k = threadIdx.x; k < K; k += kLanes) {
            const std::int32_t id = in.given_TK[t * K + k];
            ids[k] = id >= 0 && id < E && enabled(in.disabled_E, id) ? id : -1;
        }
    } else {
        for (std::int64_t e = threadIdx.x; e < E; e += kLanes) {
            float c = f.by_logits ? z[e] : s[e];
            if (f.choice == Choice::sinkhorn) {
                c = static_cast<float>(batch_TE[t * E + e] * per_E[e]);
            } else if (f.choice == Choice::quantile) {
                c = static_cast<float>(s[e] - per_E[e]);
            } else if (in.selection_bias_E != nullptr) {
                c += in.selection_bias_E[e];
            }
            c_E[e] = c;
            keys_E[e] = enabled(in.disabled_E, e) ? key_of(c, e) : kNever;
        }
        __syncwarp();
        if (f.groups > 1 && f.groups_kept < f.groups) {
            limit_groups(keys_E, keys_E + E, c_E, f);
        }
        take_largest(ids, keys_E, E, K);
    }
    __syncwarp();
    if (threadIdx.x == 0) {
        weigh_slots(out.w_TJ + t * K, out.kept_TJ + t * K, ids, s, z, K, f.of_chosen, f.divide, f.scale);
    }
}

/// One block per expert: it takes the tokens of its `capacity` largest scores.
__global__ void experts_take(std::uint8_t* kept_TE, const float* s_TE, const std::uint8_t* disabled_E, std::int64_t T,
                             std::int64_t E, std::int64_t capacity) {
    SIMT_SHARED(unsigned, counts, 256);
    SIMT_SHARED(unsigned long long, found, 2);
    const std::int64_t e = blockIdx.x;
    const auto bits = [&](std::int64_t t) { return ordered_bits(key_of(s_TE[t * E + e], t)); };
    unsigned long long least = 0;
    const bool takes = enabled(disabled_E, e);
    if (takes) {
        least = select_rank(
            T, capacity - 1, [](std::int64_t) { return true; }, bits, counts, found);
    }
    for (std::int64_t t = threadIdx.x; t < T; t += blockDim.x) {
        kept_TE[t * E + e] = takes && bits(t) >= least ? 1 : 0;
    }
}

/// One warp per token lists the experts that took it, best first.
__global__ void list_takers(RouterOutput out, const float* z_TE, ChoiceFactors f) {
    SIMT_DYNAMIC_SHARED(Key, keys_E);
    const std::int64_t t = blockIdx.x, E = f.E;
    for (std::int64_t e = threadIdx.x; e < E; e += kLanes) {
        keys_E[e] = out.kept_TJ[t * E + e] != 0 ? key_of(out.s_TE[t * E + e], e) : kNever;
    }
    __syncwarp();
    take_largest(out.ids_TJ + t * E, keys_E, E, E);
    if (threadIdx.x == 0) {
        weigh_slots(out.w_TJ + t * E, out.kept_TJ + t * E, out.ids_TJ + t * E, out.s_TE + t * E, z_TE + t * E, E,
                    f.of_chosen, f.divide, f.scale);
    }
}

/// M_TE = e^z up to a factor per row, 0 for disabled experts. One block per token.
__global__ void sinkhorn_matrix(double* M_TE, const float* z_TE, const std::uint8_t* disabled_E, std::int64_t E) {
    SIMT_SHARED(float, parts, kMostWarps);
    const float* z = z_TE + blockIdx.x * E;
    float top = -INFINITY;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        top = enabled(disabled_E, e) && z[e] > top ? z[e] : top;
    }
    top = block_maximum<float>(top, parts);
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        M_TE[blockIdx.x * E + e] = enabled(disabled_E, e) ? exp(static_cast<double>(z[e]) - top) : 0.0;
    }
}

/// d1 starts at 1 (enabled); one block. *going: rounds go on.
__global__ void sinkhorn_start(double* d1_E, double* going, const std::uint8_t* disabled_E, std::int64_t E) {
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        d1_E[e] = enabled(disabled_E, e) ? 1.0 : 0.0;
    }
    if (threadIdx.x == 0) {
        *going = 1.0;
    }
}

/// Column sums of d0 M over kTokens tokens; one block of those.
__global__ void sinkhorn_columns(double* sums_BE, const double* d1_E, const double* M_TE, const double* going,
                                 std::int64_t T, std::int64_t E) {
    SIMT_SHARED(double, parts, kMostWarps);
    if (*going == 0.0) {
        return;
    }
    const std::int64_t begin = blockIdx.x * kTokens, end = begin + kTokens < T ? begin + kTokens : T;
    double* sums = sums_BE + blockIdx.x * E;
    for (std::int64_t t = begin; t < end; ++t) {
        const double* M = M_TE + t * E;
        double row = 0;
        for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
            row += d1_E[e] * M[e];
        }
        row = block_sum<double>(row, parts);
        const double d0 = 1.0 / (static_cast<double>(T) * (row > kTiny ? row : kTiny));
        for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
            sums[e] = (t == begin ? 0.0 : sums[e]) + d0 * M[e];
        }
    }
}

/// The new d1, and whether it still changes; one block.
__global__ void sinkhorn_round(double* d1_E, double* going, const double* sums_BE, const std::uint8_t* disabled_E,
                               std::int64_t blocks, std::int64_t E) {
    SIMT_SHARED(double, parts, kMostWarps);
    if (*going == 0.0) {
        return;
    }
    double count = 0, change = 0;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        count += enabled(disabled_E, e) ? 1.0 : 0.0;
    }
    count = block_sum<double>(count, parts);
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        double sum = 0;
        for (std::int64_t block = 0; block < blocks; ++block) {
            sum += sums_BE[block * E + e];
        }
        if (enabled(disabled_E, e)) {
            const double d1 = 1.0 / (count * (sum > kTiny ? sum : kTiny));
            change += fabs(d1 - d1_E[e]) / count;
            d1_E[e] = d1;
        }
    }
    change = block_sum<double>(change, parts);
    if (threadIdx.x == 0 && !(change >= kSinkhornTolerance)) {
        *going = 0.0;
    }
}

/// b starts at 0. *share: how many tokens an expert is to take, 0 where there is nothing to balance; it depends on the
/// number of enabled experts, which only the device knows. One block.
__global__ void quantile_start(double* b_E, std::int64_t* share, const std::uint8_t* disabled_E, std::int64_t T,
                               std::int64_t E, std::int64_t K) {
    SIMT_SHARED(unsigned, parts, kMostWarps);
    unsigned enabled_ones = 0;
    for (std::int64_t e = threadIdx.x; e < E; e += blockDim.x) {
        b_E[e] = 0.0;
        enabled_ones += enabled(disabled_E, e) ? 1u : 0u;
    }
    const std::int64_t count = block_sum<unsigned>(enabled_ones, parts);
    if (threadIdx.x == 0) {
        *share = quantile_share(T, K, count);
    }
}

/// Halfway between the K-th and the next largest of s - b; one warp per token.
__global__ void token_thresholds(double* alpha_T, const float* s_TE, const double* b_E, const std::int64_t* share,
                                 const std::uint8_t* disabled_E, std::int64_t E, std::int64_t K) {
    SIMT_DYNAMIC_SHARED(Key, keys_E);
    SIMT_SHARED(std::int32_t, ends, 2);
    if (*share == 0) {
        return;
    }
    const float* s = s_TE + blockIdx.x * E;
    for (std::int64_t e = threadIdx.x; e < E; e += kLanes) {
        keys_E[e] = enabled(disabled_E, e) ? key_of(static_cast<float>(s[e] - b_E[e]), e) : kNever;
    }
    __syncwarp();
    for (std::int64_t k = 0; k <= K; ++k) {
        const Key best = largest(keys_E, E);
        if (threadIdx.x == 0) {
            keys_E[index_of(best)] = kNever;
            if (k >= K - 1) {
                ends[k - K + 1] = index_of(best);
            }
        }
        __syncwarp();
    }
    if (threadIdx.x == 0) {
        const std::int32_t last = ends[0], next = ends[1];
        alpha_T[blockIdx.x] = 0.5 * (s[last] - b_E[last]) + 0.5 * (s[next] - b_E[next]);
    }
}

/// b_e halfway between the share-th and the next largest over tokens of s_e - alpha; one block per expert.
__global__ void expert_thresholds(double* b_E, const float* s_TE, const double* alpha_T, std::int64_t T, std::int64_t E,
                                  const std::int64_t* share) {
    SIMT_SHARED(unsigned, counts, 256);
    SIMT_SHARED(unsigned long long, found, 2);
    if (*share == 0) {
        return;
    }
    const std::int64_t e = blockIdx.x;
    const auto all = [](std::int64_t) { return true; };
    const auto bits = [&](std::int64_t t) {
        const double value = static_cast<double>(s_TE[t * E + e]) - alpha_T[t];
        return ordered_bits(value == value ? value : kLowest);
    };
    const double last = double_of(select_rank(T, *share - 1, all, bits, counts, found));
    const double next = double_of(select_rank(T, *share, all, bits, counts, found));
    if (threadIdx.x == 0) {
        b_E[e] = 0.5 * last + 0.5 * next;
    }
}

ChoiceFactors factors_of(const RouterShape& shape) {
    ChoiceFactors f{};
    f.E = shape.E;
    f.K = shape.K;
    f.groups = shape.groups;
    f.groups_kept = shape.groups_kept;
    f.group_score = shape.group_score;
    f.choice = shape.choice;
    f.by_logits = formulas_of(shape.scoring).of_logits;
    f.of_chosen = softmax_of_chosen(shape);
    f.divide = divides(shape);
    f.scale = static_cast<float>(shape.scale);
    return f;
}

std::int64_t token_blocks(const RouterShape& shape) {
    return (shape.T + kTokens - 1) / kTokens;
}

/// scratch: d1, going, column sums, M.
void choose_sinkhorn(simt::Stream stream, const double*& M_TE, const RouterInput& in, double* scratch,
                     const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E, blocks = token_blocks(shape);
    double *d1 = scratch, *going = d1 + E, *sums = going + 1, *M = sums + blocks * E;
    SIMT_LAUNCH(sinkhorn_matrix, dim3(static_cast<unsigned>(T)), dim3(kRowThreads), 0, stream, M, in.z_TE,
                in.disabled_E, E);
    SIMT_LAUNCH(sinkhorn_start, dim3(1), dim3(kRowThreads), 0, stream, d1, going, in.disabled_E, E);
    for (int round = 0; T > 1 && round < kSinkhornRounds; ++round) {
        SIMT_LAUNCH(sinkhorn_columns, dim3(static_cast<unsigned>(blocks)), dim3(kRowThreads), 0, stream, sums, d1, M,
                    going, T, E);
        SIMT_LAUNCH(sinkhorn_round, dim3(1), dim3(kRowThreads), 0, stream, d1, going, sums, in.disabled_E, blocks, E);
    }
    M_TE = M;
}

}  // namespace

std::int64_t choice_scratch(const RouterShape& shape) {
    switch (shape.choice) {
        case Choice::sinkhorn:
            return shape.E + 1 + token_blocks(shape) * shape.E + shape.T * shape.E;
        case Choice::quantile:
            return shape.E + shape.T + 1;
        case Choice::token:
        case Choice::hash:
        case Choice::expert:
            break;
    }
    return 0;
}

void choose(simt::Stream stream, const RouterOutput& out, const RouterInput& in, const Scratch& scratch,
            const RouterShape& shape) {
    const std::int64_t T = shape.T, E = shape.E;
    const auto tokens = static_cast<unsigned>(T), experts = static_cast<unsigned>(E);
    const auto key_bytes = static_cast<std::size_t>(E + 2 * shape.groups) * sizeof(Key);
    const ChoiceFactors f = factors_of(shape);
    const double* M_TE = nullptr;
    switch (shape.choice) {
        case Choice::token:
        case Choice::hash:
            break;
        case Choice::expert:
            SIMT_LAUNCH(experts_take, dim3(experts), dim3(kBatchThreads), 0, stream, out.kept_TJ, out.s_TE,
                        in.disabled_E, T, E, expert_capacity(shape));
            SIMT_LAUNCH(list_takers, dim3(tokens), dim3(kLanes), key_bytes, stream, out, in.z_TE, f);
            return;
        case Choice::sinkhorn:
            choose_sinkhorn(stream, M_TE, in, scratch.choice, shape);
            break;
        case Choice::quantile: {
            double *b = scratch.choice, *alpha = b + E;
            auto* share = reinterpret_cast<std::int64_t*>(alpha + T);
            SIMT_LAUNCH(quantile_start, dim3(1), dim3(kRowThreads), 0, stream, b, share, in.disabled_E, T, E, shape.K);
            for (int round = 0; round < kQuantileRounds; ++round) {
                SIMT_LAUNCH(token_thresholds, dim3(tokens), dim3(kLanes), key_bytes, stream, alpha, out.s_TE, b, share,
                            in.disabled_E, E, shape.K);
                SIMT_LAUNCH(expert_thresholds, dim3(experts), dim3(kBatchThreads), 0, stream, b, out.s_TE, alpha, T, E,
                            share);
            }
            break;
        }
    }
    SIMT_LAUNCH(choose_tokens, dim3(tokens), dim3(kLanes), key_bytes, stream, out, in, M_TE,
                static_cast<const double*>(scratch.choice), f);
}

}  // namespace moescope::kernels::cuda::router
