// The largest logits of each row as (value, index) pairs, for choosing tokens. One block per row,
// one pass over it for each pair wanted: there are as many as ranks, and then one.
#include "executor/cuda/context.h"
#include "executor/cuda/launch.cuh"
#include "executor/cuda/reduce.cuh"

namespace tplan::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;

struct Candidate {
    float value, index;
};

/// As the CPU's: falling, of equals the lower index, what is no number before all.
__device__ bool before(const Candidate& a, const Candidate& b) {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan) return a_nan;
    if (a.value == b.value || a_nan) return a.index < b.index;
    return a.value > b.value;
}

/// The first of those of all threads; every thread gets it.
__device__ Candidate first_of_block(Candidate own) {
    for (int offset = 16; offset > 0; offset /= 2) {
        const Candidate other{__shfl_xor_sync(kAll, own.value, offset),
                              __shfl_xor_sync(kAll, own.index, offset)};
        if (before(other, own)) own = other;
    }
    __shared__ Candidate warps[kWarps];
    __syncthreads();  // those of the pass before have been read
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = own;
    __syncthreads();
    for (int w = 0; w < kWarps; ++w) {
        if (before(warps[w], own)) own = warps[w];
    }
    return own;
}

/// What follows in a row: its columns lie in pieces of the whole, or are pairs.
struct Row {
    const std::int64_t* pieces;  // offset in the whole, extent
    int piece_count;
    bool of_pairs;
};

/// The first candidate after `last` (after none where `any`), `best` where there is none.
template <class T>
__device__ Candidate next(const T* x, std::int64_t columns, const Row& row, bool any,
                          const Candidate& last, Candidate best) {
    const auto look = [&](const Candidate& c) {
        if ((any || before(last, c)) && before(c, best)) best = c;
    };
    if (row.of_pairs) {
        for (std::int64_t p = threadIdx.x; p < columns / 2; p += blockDim.x)
            look({to_float(x[2 * p]), to_float(x[2 * p + 1])});
        return best;
    }
    for (int piece = 0; piece < row.piece_count; ++piece) {
        const auto offset = row.pieces[2 * piece], extent = row.pieces[2 * piece + 1];
        for (std::int64_t i = threadIdx.x; i < extent; i += blockDim.x)
            look({to_float(x[i]), static_cast<float>(offset + i)});
        x += extent;
    }
    return best;
}

/// blockIdx.x: the row. out [rows, 2 * count] fp32; `none` fills what there is no candidate for.
template <class T>
__global__ void largest(const T* in, std::int64_t stride, std::int64_t columns, Row row,
                        Candidate none, float* out, std::int64_t out_stride, std::int64_t count) {
    Candidate last = none;
    for (std::int64_t i = 0; i < count; ++i) {
        last = first_of_block(next(in + blockIdx.x * stride, columns, row, i == 0, last, none));
        if (threadIdx.x > 0) continue;
        out[blockIdx.x * out_stride + 2 * i] = last.value;
        out[blockIdx.x * out_stride + 2 * i + 1] = last.index;
    }
}

}  // namespace

const char* launch_largest(Context& context, const tplan_op& op) {
    if (op.out[0].rows == 0) return nullptr;
    if (op.out[0].dtype != TPLAN_FP32) return failed("indices of tokens are fp32");
    if (op.of_pairs != 0 && op.in[0].dtype != TPLAN_FP32) return failed("pairs are fp32");
    const bool known = with_type(op.in[0].dtype, [&](auto type) {
        run(largest<decltype(type)>, static_cast<unsigned>(op.out[0].rows), kThreads, 0,
            context.stream, static_cast<const decltype(type)*>(op.in[0].data), op.in[0].stride,
            op.in[0].columns, Row{op.pieces, op.count, op.of_pairs != 0},
            Candidate{op.no_value, op.no_index}, static_cast<float*>(op.out[0].data),
            op.out[0].stride, op.out[0].columns / 2);
    });
    if (!known) return failed("logits are fp32, fp16 or bf16");
    return checked(cudaGetLastError(), "choosing tokens");
}

}  // namespace tplan::cuda
