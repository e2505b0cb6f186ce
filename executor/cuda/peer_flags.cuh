#pragma once
#include <cuda_runtime.h>

#include <cstdint>

/// Flags that kernels of different devices leave for each other. Tests put another in its stead,
/// whose threads give way while they wait.

namespace tplan::cuda {

/// Whoever reads the flag with load_acquire() sees everything written before, by this thread and by
/// those it met in the block. On every device and the host.
__device__ inline void store_release(std::uint32_t* flag, std::uint32_t value) {
    asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
}

__device__ inline std::uint32_t load_acquire(const std::uint32_t* flag) {
    std::uint32_t value;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
    return value;
}

/// Called between looks at a flag that is not there yet.
__device__ inline void pause() {}

}  // namespace tplan::cuda
