// Causal attention of new tokens over a cache, where they are few (many: attention_tiles.cu). A
// warp computes one query head of one row over a run of keys with a running maximum and sum
// (Milakov & Gimelshein 2018); the warps of a block are the query heads of one KV head, so that its
// keys and values are fetched from memory once. With few rows the keys are cut into runs ("split
// KV") whose results a second kernel joins.
#include <algorithm>
#include <cmath>

#include "executor/cuda/attention_tiles.cuh"
#include "executor/cuda/context.h"
#include "executor/cuda/launch.cuh"
#include "executor/cuda/reduce.cuh"

namespace tplan::cuda {
namespace {

constexpr int kMostWarps = 8;
constexpr int kMostPerLane = 16;             // head_dim up to 512
constexpr std::int64_t kFewestKeys = 128;    // of a run
constexpr std::int64_t kBlocksWanted = 512;  // a few per multiprocessor of any device

struct Shape : AttentionShape {
    std::int64_t run;  // keys
    int runs;
    bool in_parts;  // the runs leave partial results
};

/// A partial result: [rows, heads, runs] of maximum, sum and v_dim weighted values.
__host__ __device__ std::int64_t part_floats(std::int64_t v_dim) {
    return v_dim + 2;
}

/// blockIdx: x row, y first head / warps, z run. threadIdx.y: the head within the block.
template <class T>
__global__ void attend(Shape s, const T* q, std::int64_t q_stride, const T* keys, const T* values,
                       const std::int32_t* kv_of_head, const float* sinks, T* out,
                       std::int64_t out_stride, float* parts) {
    const std::int64_t row = blockIdx.x;
    const std::int64_t head = blockIdx.y * blockDim.y + threadIdx.y;
    if (head >= s.heads) return;
    const int lane = threadIdx.x;
    const auto sequence = row / s.query_tokens;
    const auto position = s.tokens - s.query_tokens + row % s.query_tokens;  // in the cache
    const auto first = s.window > 0 && position + 1 > s.window ? position + 1 - s.window : 0;
    const auto begin = max(first, static_cast<std::int64_t>(blockIdx.z) * s.run);
    const auto end = min(position + 1, (static_cast<std::int64_t>(blockIdx.z) + 1) * s.run);
    const auto kv = sequence * s.kv_heads + kv_of_head[head];
    const T* k = keys + kv * s.tokens * s.head_dim;
    const T* v = values + kv * s.tokens * s.v_dim;

    float query[kMostPerLane], sum[kMostPerLane];
#pragma unroll
    for (int i = 0; i < kMostPerLane; ++i) {
        const auto d = lane + 32 * i;
        query[i] = d < s.head_dim ? to_float(q[row * q_stride + head * s.head_dim + d]) : 0.0F;
        sum[i] = 0;
    }
    float top = -INFINITY, total = 0;
    for (auto t = begin; t < end; ++t) {
        float score = 0;
#pragma unroll
        for (int i = 0; i < kMostPerLane; ++i) {
            const auto d = lane + 32 * i;
            if (32 * i < s.head_dim && d < s.head_dim)
                score += query[i] * to_float(k[t * s.head_dim + d]);
        }
        score = warp_sum(score) * s.scale;
        if (s.softcap > 0) score = s.softcap * tanhf(score / s.softcap);
        const float higher = fmaxf(top, score);
        const float old = expf(top - higher), weight = expf(score - higher);
        total = total * old + weight;
        top = higher;
#pragma unroll
        for (int i = 0; i < kMostPerLane; ++i) {
            const auto d = lane + 32 * i;
            if (32 * i < s.v_dim && d < s.v_dim)
                sum[i] = sum[i] * old + weight * to_float(v[t * s.v_dim + d]);
        }
    }
    if (s.in_parts) {
        float* part = parts + ((row * s.heads + head) * s.runs + blockIdx.z) * part_floats(s.v_dim);
        if (lane == 0) {
            part[0] = top;
            part[1] = total;
        }
        for (int i = 0; i < kMostPerLane; ++i) {
            const auto d = lane + 32 * i;
            if (d < s.v_dim) part[2 + d] = sum[i];
        }
        return;
    }
    if (sinks != nullptr) {
        const float higher = fmaxf(top, sinks[head]);
        const float old = expf(top - higher);
        total = total * old + expf(sinks[head] - higher);
        for (int i = 0; i < kMostPerLane; ++i) sum[i] *= old;
    }
    for (int i = 0; i < kMostPerLane; ++i) {
        const auto d = lane + 32 * i;
        if (d < s.v_dim) out[row * out_stride + head * s.v_dim + d] = from_float<T>(sum[i] / total);
    }
}

/// Joins the runs of one row (blockIdx.x) and head (blockIdx.y); one warp, in the order of the
/// runs.
template <class T>
__global__ void join(Shape s, const float* parts, const float* sinks, T* out,
                     std::int64_t out_stride) {
    const std::int64_t row = blockIdx.x, head = blockIdx.y;
    const float* part = parts + (row * s.heads + head) * s.runs * part_floats(s.v_dim);
    float top = sinks != nullptr ? sinks[head] : -INFINITY;
    for (int r = 0; r < s.runs; ++r) top = fmaxf(top, part[r * part_floats(s.v_dim)]);
    float total = sinks != nullptr ? expf(sinks[head] - top) : 0.0F;
    for (int r = 0; r < s.runs; ++r) {
        const float* p = part + r * part_floats(s.v_dim);
        total += p[1] * expf(p[0] - top);
    }
    for (std::int64_t d = threadIdx.x; d < s.v_dim; d += 32) {
        float sum = 0;
        for (int r = 0; r < s.runs; ++r) {
            const float* p = part + r * part_floats(s.v_dim);
            sum += p[2 + d] * expf(p[0] - top);
        }
        out[row * out_stride + head * s.v_dim + d] = from_float<T>(sum / total);
    }
}

/// New keys or values to the end of a cache [batch, heads, tokens, dim]: columns [begin, begin + n)
/// of each head's `step` (0: the same for all heads) to column `at` of its rows. blockIdx: x row, y
/// head.
template <class T>
__global__ void append(const T* from, std::int64_t stride, std::int64_t step, std::int64_t begin,
                       std::int64_t n, T* cache, std::int64_t dim, std::int64_t at,
                       std::int64_t tokens, std::int64_t query_tokens) {
    const std::int64_t row = blockIdx.x, head = blockIdx.y;
    const auto token = tokens - query_tokens + row % query_tokens;
    const auto to = ((row / query_tokens * gridDim.y + head) * tokens + token) * dim + at;
    for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x)
        cache[to + i] = from[row * stride + head * step + begin + i];
}

template <class T>
void append_to(Context& context, const tplan_op& op, const tplan_matrix& from, std::int64_t heads,
               std::int64_t step, std::int64_t begin, std::int64_t n, const tplan_matrix& cache,
               std::int64_t dim, std::int64_t at) {
    const dim3 grid(static_cast<unsigned>(from.rows), static_cast<unsigned>(heads));
    run(append<T>, grid, 64, 0, context.stream, static_cast<const T*>(from.data), from.stride, step,
        begin, n, static_cast<T*>(cache.data), dim, at, op.tokens, op.query_tokens);
}

Shape shape_of(const tplan_op& op) {
    Shape s{{op.heads, op.kv_heads, op.head_dim, op.v_head_dim, op.tokens, op.query_tokens,
             op.window, static_cast<float>(op.scale), static_cast<float>(op.softcap)},
            op.tokens,
            1,
            false};
    if (fits_tiles(op)) {
        s.in_parts = op.query_tokens == 1;
        if (s.in_parts) s.runs = decode_runs(op).count;
        return s;
    }
    const auto warps = std::min<std::int64_t>(kMostWarps, op.heads);
    const auto blocks =
        op.batch * op.query_tokens * ((op.heads + warps - 1) / std::max<std::int64_t>(warps, 1));
    if (blocks > 0 && blocks < kBlocksWanted) {
        const auto most = (op.tokens + kFewestKeys - 1) / kFewestKeys;
        const auto runs = std::min(most, (kBlocksWanted + blocks - 1) / blocks);
        s.run = (op.tokens + runs - 1) / std::max<std::int64_t>(runs, 1);
        s.runs = static_cast<int>((op.tokens + s.run - 1) / s.run);
        s.in_parts = s.runs > 1;
    }
    return s;
}

template <class T>
void launch_typed(Context& context, const tplan_op& op) {
    const auto k_dim = op.head_dim, v_dim = op.v_head_dim;
    if (op.latent_key > 0) {  // [own part | value] per head, one rotated key for all
        const auto plain = k_dim - op.latent_key;
        append_to<T>(context, op, op.in[2], op.heads, plain + v_dim, 0, plain, op.keys, k_dim, 0);
        append_to<T>(context, op, op.in[1], op.heads, 0, 0, op.latent_key, op.keys, k_dim, plain);
        append_to<T>(context, op, op.in[2], op.heads, plain + v_dim, plain, v_dim, op.values, v_dim,
                     0);
    } else {
        append_to<T>(context, op, op.in[1], op.kv_heads, k_dim, 0, k_dim, op.keys, k_dim, 0);
        append_to<T>(context, op, op.in[2], op.kv_heads, v_dim, 0, v_dim, op.values, v_dim, 0);
    }
    const auto s = shape_of(op);
    const auto rows = static_cast<unsigned>(op.batch * op.query_tokens);
    const auto* const sinks =
        op.weights > 0 ? static_cast<const float*>(op.weight[0].data) : nullptr;
    auto* const parts = static_cast<float*>(op.workspace);
    auto* const out = static_cast<T*>(op.out[0].data);
    if (fits_tiles(op)) {
        launch_attention_tiles(context, op, s);
    } else {
        const auto warps = static_cast<unsigned>(std::min<std::int64_t>(kMostWarps, op.heads));
        const dim3 grid(rows, (static_cast<unsigned>(op.heads) + warps - 1) / warps,
                        static_cast<unsigned>(s.runs));
        run(attend<T>, grid, dim3(32, warps), 0, context.stream, s,
            static_cast<const T*>(op.in[0].data), op.in[0].stride,
            static_cast<const T*>(op.keys.data), static_cast<const T*>(op.values.data),
            op.kv_of_head, sinks, out, op.out[0].stride, parts);
    }
    if (s.in_parts) {
        run(join<T>, dim3(rows, static_cast<unsigned>(op.heads)), 32, 0, context.stream, s, parts,
            sinks, out, op.out[0].stride);
    }
}

}  // namespace

std::size_t attention_workspace(const tplan_op& op) {
    const auto s = shape_of(op);
    if (!s.in_parts) return 0;
    return static_cast<std::size_t>(op.batch * op.query_tokens * op.heads * s.runs *
                                    part_floats(s.v_dim)) *
           sizeof(float);
}

const char* launch_attention(Context& context, const tplan_op& op) {
    if (op.heads == 0 || op.in[0].rows == 0) return nullptr;
    if (op.head_dim > 32 * kMostPerLane || op.v_head_dim > 32 * kMostPerLane)
        return failed("heads of more than 512 columns have no kernel");
    const bool known =
        with_type(op.in[0].dtype, [&](auto type) { launch_typed<decltype(type)>(context, op); });
    if (!known) return failed("attention runs in fp32, fp16 or bf16");
    return checked(cudaGetLastError(), "the attention kernel");
}

}  // namespace tplan::cuda
