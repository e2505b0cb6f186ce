#pragma once
#include <cuda_runtime.h>

#include <cstddef>

namespace tplan::cuda {

/// Puts a kernel on a stream. The one place that says how: tests put another in its stead, which
/// runs kernels without a GPU.
template <class... P, class... A>
void run(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
         A... arguments) {
    kernel<<<grid, block, shared, stream>>>(static_cast<P>(arguments)...);
}

/// The same for a kernel whose blocks wait for each other, without shared memory: all of them must
/// fit on the device at once.
template <class... P, class... A>
void run_together(void (*kernel)(P...), dim3 grid, dim3 block, cudaStream_t stream,
                  A... arguments) {
    kernel<<<grid, block, 0, stream>>>(static_cast<P>(arguments)...);
}

/// The bytes of shared memory that run() was asked for.
#define TPLAN_DYNAMIC_SHARED(type, name) extern __shared__ type name[]

}  // namespace tplan::cuda
