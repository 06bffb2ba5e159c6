#include "kernels/cuda/embedding.hpp"
#include "kernels/cuda/sums.hpp"

namespace moescope::kernels::cuda {
namespace {

__global__ void embedding_rows(float* x_TD, const float* table_VD, const std::int32_t* tokens_T, std::int64_t D) {
    const float* row = table_VD + static_cast<std::int64_t>(tokens_T[blockIdx.x]) * D;
    for (std::int64_t d = threadIdx.x; d < D; d += blockDim.x) {
        x_TD[blockIdx.x * D + d] = row[d];
    }
}

/// One block per position. The first position of a token adds up those of all; the others have nothing to do. Looking
/// for them costs T / 128 steps a block, little beside the rows where texts are long.
__global__ void embedding_rows_backward(float* dtable_VD, const float* dx_TD, const std::int32_t* tokens_T,
                                        std::int64_t T, std::int64_t D) {
    SIMT_SHARED(unsigned, parts, kMostWarps);
    SIMT_SHARED(std::int32_t, places, kRowThreads);
    const std::int64_t first = blockIdx.x;
    const std::int32_t token = tokens_T[first];
    bool earlier = false;
    for (std::int64_t t = threadIdx.x; t < first; t += blockDim.x) {
        earlier = earlier || tokens_T[t] == token;
    }
    unsigned found = 0;
    block_rank(earlier, found, parts);
    if (found > 0) {
        return;
    }
    float* row = dtable_VD + static_cast<std::int64_t>(token) * D;
    for (std::int64_t begin = first; begin < T; begin += blockDim.x) {
        const std::int64_t t = begin + threadIdx.x;
        const bool here = t < T && tokens_T[t] == token;
        const unsigned rank = block_rank(here, found, parts);
        if (here) {
            places[rank] = static_cast<std::int32_t>(t);
        }
        __syncthreads();
        for (std::int64_t d = threadIdx.x; found > 0 && d < D; d += blockDim.x) {
            float sum = row[d];
            for (unsigned i = 0; i < found; ++i) {
                sum += dx_TD[places[i] * D + d];
            }
            row[d] = sum;
        }
        __syncthreads();  // before the next piece's places
    }
}

}  // namespace

void embedding_forward(simt::Stream stream, float* x_TD, const float* table_VD, const std::int32_t* tokens_T,
                       std::int64_t T, std::int64_t D) {
    SIMT_LAUNCH(embedding_rows, dim3(static_cast<unsigned>(T)), dim3(kRowThreads), 0, stream, x_TD, table_VD, tokens_T,
                D);
}

void embedding_backward(simt::Stream stream, float* dtable_VD, const float* dx_TD, const std::int32_t* tokens_T,
                        std::int64_t T, std::int64_t D) {
    SIMT_LAUNCH(embedding_rows_backward, dim3(static_cast<unsigned>(T)), dim3(kRowThreads), 0, stream, dtable_VD, dx_TD,
                tokens_T, T, D);
}

}  // namespace moescope::kernels::cuda
