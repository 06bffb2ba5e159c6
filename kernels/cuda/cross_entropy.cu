#include "kernels/cuda/cross_entropy.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

/// One block.
__global__ void share_of_targets(float* share, const std::int32_t* targets_T, std::int64_t T, double scale) {
    SIMT_SHARED(unsigned, parts, kMostWarps);
    unsigned count = 0;
    for (std::int64_t t = threadIdx.x; t < T; t += blockDim.x) {
        count += targets_T[t] >= 0 ? 1u : 0u;
    }
    count = block_sum<unsigned>(count, parts);
    if (threadIdx.x == 0) {
        *share = static_cast<float>(scale / static_cast<double>(count > 0 ? count : 1u));
    }
}

__global__ void softmax_rows(float* losses_T, float* logits, const std::int32_t* targets_T, const float* share,
                             std::int64_t V) {
    SIMT_SHARED(float, parts, kMostWarps);
    float* row = logits + blockIdx.x * V;
    const std::int32_t target = targets_T[blockIdx.x];
    float top = -INFINITY;
    bool broken = false;
    for (std::int64_t v = threadIdx.x; v < V; v += blockDim.x) {
        top = row[v] > top ? row[v] : top;
        broken = broken || row[v] != row[v];
    }
    top = block_maximum<float>(top, parts);
    float sum = broken ? NAN : 0.0f;  // a maximum passes over NaN; the loss must not
    for (std::int64_t v = threadIdx.x; v < V; v += blockDim.x) {
        sum += expf(row[v] - top);
    }
    sum = block_sum<float>(sum, parts);
    if (threadIdx.x == 0) {
        losses_T[blockIdx.x] = target < 0 ? 0.0f : top + logf(sum) - row[target];
    }
    if (share == nullptr) {
        return;
    }
    __syncthreads();  // the loss has read the target's logit
    const float scale = target < 0 ? 0.0f : *share / sum;
    for (std::int64_t v = threadIdx.x; v < V; v += blockDim.x) {
        const float p = target < 0 ? 0.0f : expf(row[v] - top) * scale;
        row[v] = v == target ? p - *share : p;
    }
}

__global__ void mean_of_losses(double* loss, const float* losses_T, const std::int32_t* targets_T, std::int64_t T) {
    SIMT_SHARED(double, parts, kMostWarps);
    double sum = 0, count = 0;
    for (std::int64_t t = threadIdx.x; t < T; t += blockDim.x) {
        sum += losses_T[t];
        count += targets_T[t] >= 0 ? 1.0 : 0.0;
    }
    sum = block_sum<double>(sum, parts);
    count = block_sum<double>(count, parts);
    if (threadIdx.x == 0) {
        *loss = count > 0 ? sum / count : 0.0;
    }
}

}  // namespace

void target_share(simt::Stream stream, float* share, const std::int32_t* targets_T, std::int64_t T, double scale) {
    SIMT_LAUNCH(share_of_targets, dim3(1), dim3(kThreads), 0, stream, share, targets_T, T, scale);
}

void cross_entropy_rows(simt::Stream stream, float* losses_T, float* logits, const std::int32_t* targets_T,
                        const float* share, std::int64_t rows, std::int64_t V) {
    SIMT_LAUNCH(softmax_rows, dim3(static_cast<unsigned>(rows)), dim3(kThreads), 0, stream, losses_T, logits, targets_T,
                share, V);
}

void mean_loss(simt::Stream stream, double* loss, const float* losses_T, const std::int32_t* targets_T,
               std::int64_t T) {
    SIMT_LAUNCH(mean_of_losses, dim3(1), dim3(kThreads), 0, stream, loss, losses_T, targets_T, T);
}

}  // namespace moescope::kernels::cuda
