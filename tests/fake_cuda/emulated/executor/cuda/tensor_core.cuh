#pragma once
// In the stead of executor/cuda/tensor_core.cuh: the same exchange between the lanes of a warp.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstring>

#include "executor/cuda/launch.cuh"

namespace tplan::cuda {

/// The element of 16 bits in the low or high half of a register.
template <class T>
float half_of(std::uint64_t word, int high) {
    const auto bits = static_cast<std::uint16_t>(word >> (16 * high));
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return static_cast<float>(value);
}

template <class T>
void multiply_tiles(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                    T) {
    auto& words = emulated::warp_words();
    const int lane = emulated::lane();
    for (int i = 0; i < 4; ++i) words[static_cast<std::size_t>(lane)][i] = a[i];
    words[static_cast<std::size_t>(lane)][4] = b0;
    words[static_cast<std::size_t>(lane)][5] = b1;
    emulated::wait_for_warp();
    for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
        for (int k = 0; k < 16; ++k) {
            const auto& left = words[static_cast<std::size_t>(4 * (row % 8) + k % 8 / 2)];
            const auto& right = words[static_cast<std::size_t>(4 * column + k % 8 / 2)];
            c[i] += half_of<T>(left[row / 8 + 2 * (k / 8)], k % 2) *
                    half_of<T>(right[4 + k / 8], k % 2);
        }
    }
    emulated::wait_for_warp();
}

inline void load_transposed(std::uint32_t (&out)[4], const void* row) {
    auto& words = emulated::warp_words();
    const auto lane = static_cast<std::size_t>(emulated::lane());
    words[lane][6] = reinterpret_cast<std::uintptr_t>(row);
    emulated::wait_for_warp();
    for (std::size_t tile = 0; tile < 4; ++tile) {
        std::uint32_t both = 0;
        for (std::size_t i = 0; i < 2; ++i) {
            const auto* const from =
                reinterpret_cast<const std::uint16_t*>(words[8 * tile + 2 * (lane % 4) + i][6]);
            both |= static_cast<std::uint32_t>(from[lane / 4]) << (16 * i);
        }
        out[tile] = both;
    }
    emulated::wait_for_warp();
}

}  // namespace tplan::cuda
