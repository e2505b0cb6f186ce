#pragma once
// In the stead of executor/cuda/launch.cuh: runs kernels on the CPU, a block at a time, its threads
// as fibers that change places where a GPU's threads wait for each other. Kernels that different
// threads of the process launch run at once. For what a kernel computes; nothing is said about its
// speed, nor about races that a fixed order hides.
#include <cuda_runtime.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace tplan::cuda {
namespace emulated {

/// Of the thread that runs now.
struct Place {
    uint3 thread{}, block{};
    dim3 threads, blocks;
};
const Place& place();

/// Runs `thread` once for every thread of every block.
void run_grid(dim3 blocks, dim3 threads, std::size_t shared, const std::function<void()>& thread);

/// The same for blocks that wait for each other: all of them in turns. They have no `__shared__`.
void run_together(dim3 blocks, dim3 threads, const std::function<void()>& thread);

/// Lets the others run: of this kernel, and those of other threads of the process.
void wait_a_turn();
void wait_for_block();
/// Of the threads of the own warp that have not ended.
void wait_for_warp();
void* dynamic_shared();

/// What the lanes of a warp show each other: of every lane eight words, and two for shuffles.
using Words = std::array<std::array<std::uint64_t, 10>, 32>;
Words& warp_words();
int lane();
/// Places 8 and 9 in turn, for the calling thread.
std::size_t turn();

}  // namespace emulated

template <class... P, class... A>
void run(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t,
         A... arguments) {
    emulated::run_grid(grid, block, shared, [&] { kernel(static_cast<P>(arguments)...); });
}

template <class... P, class... A>
void run_together(void (*kernel)(P...), dim3 grid, dim3 block, cudaStream_t, A... arguments) {
    emulated::run_together(grid, block, [&] { kernel(static_cast<P>(arguments)...); });
}

#define TPLAN_DYNAMIC_SHARED(type, name) \
    type* name = static_cast<type*>(::tplan::cuda::emulated::dynamic_shared())

}  // namespace tplan::cuda

// The language of kernels.
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __shared__
#define __shared__ static thread_local
#undef __grid_constant__
#define __grid_constant__
#define threadIdx (::tplan::cuda::emulated::place().thread)
#define blockIdx (::tplan::cuda::emulated::place().block)
#define blockDim (::tplan::cuda::emulated::place().threads)
#define gridDim (::tplan::cuda::emulated::place().blocks)

inline void __syncthreads() {
    ::tplan::cuda::emulated::wait_for_block();
}
inline void __syncwarp() {
    ::tplan::cuda::emulated::wait_for_warp();
}
float __shfl_xor_sync(unsigned mask, float value, int lanes);
inline float rsqrtf(float x) {
    return 1 / std::sqrt(x);
}
inline std::int64_t max(std::int64_t a, std::int64_t b) {
    return a > b ? a : b;
}
inline std::int64_t min(std::int64_t a, std::int64_t b) {
    return a < b ? a : b;
}
