#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

/// What a warp does with its tensor cores (PTX ISA: mma.m16n8k16, ldmatrix). Of a fragment of 16
/// rows a lane holds rows lane / 4 and lane / 4 + 8, of each the columns 2 (lane % 4) and the next
/// one; a register holds two neighbours of 16 bits.

namespace tplan::cuda {

/// c[16, 8] += a[16, 16] b[16, 8], fp32. a: rows and rows + 8 of columns 0..7, then of 8..15. b, of
/// which a lane holds column lane / 4: rows 2 (lane % 4) and the next, then both + 8.
__device__ inline void multiply_tiles(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                      std::uint32_t b1, __nv_bfloat16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ inline void multiply_tiles(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                      std::uint32_t b1, __half) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Four tiles of 8 x 8 out of shared memory, transposed: lane l names row l % 8 of tile l / 8, 16
/// bytes; it gets, of each tile, column lane / 4 of rows 2 (lane % 4) and the next.
__device__ inline void load_transposed(std::uint32_t (&out)[4], const void* row) {
    const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address));
}

}  // namespace tplan::cuda
