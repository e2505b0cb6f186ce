#pragma once
#include <cuda_runtime.h>

/// Sums over the threads of a warp and of a block. Every thread gets the result; fixed order, so
/// the same numbers come out every time.

namespace tplan::cuda {

constexpr unsigned kAll = 0xffffffffU;

__device__ inline float warp_sum(float x) {
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(kAll, x, offset);
    return x;
}

__device__ inline float warp_max(float x) {
    for (int offset = 16; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(kAll, x, offset));
    return x;
}

/// Requires blockDim.x a multiple of 32, at most 1024.
__device__ inline float block_sum(float x) {
    __shared__ float parts[32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    x = warp_sum(x);
    __syncthreads();  // parts of an earlier call have been read
    if (lane == 0) parts[warp] = x;
    __syncthreads();
    return warp_sum(lane < warps ? parts[lane] : 0.0F);
}

}  // namespace tplan::cuda
