#pragma once
// In the stead of executor/cuda/peer_flags.cuh: the same between threads of the process.
#include <atomic>
#include <cstdint>

#include "executor/cuda/launch.cuh"

namespace tplan::cuda {

inline void store_release(std::uint32_t* flag, std::uint32_t value) {
    std::atomic_ref(*flag).store(value, std::memory_order_release);
}

inline std::uint32_t load_acquire(const std::uint32_t* flag) {
    return std::atomic_ref(*const_cast<std::uint32_t*>(flag)).load(std::memory_order_acquire);
}

inline void pause() {
    emulated::wait_a_turn();
}

}  // namespace tplan::cuda
