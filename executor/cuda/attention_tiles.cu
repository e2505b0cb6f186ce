// Causal attention of a prefill (FlashAttention-2, Dao 2023): a block has 64 query rows of one
// head, a warp 16 of them, whose scores and sums stay in its registers; keys and values come
// through shared memory, a tile at a time.
#include <cmath>
#include <cstring>

#include "executor/cuda/attention_tiles.cuh"
#include "executor/cuda/launch.cuh"
#include "executor/cuda/reduce.cuh"
#include "executor/cuda/tensor_core.cuh"

namespace tplan::cuda {
namespace {

constexpr int kWarps = 4, kWarpRows = 16, kRows = kWarps * kWarpRows;
constexpr std::int64_t kFewestRows = 16, kMostColumns = 256;
constexpr int kApart = 8;  // elements between rows of a tile: no two lanes share a memory bank
constexpr float kLog2E = 1.44269504F;

template <class T>
__device__ std::uint32_t pair_of(float low, float high) {
    const T both[2] = {from_float<T>(low), from_float<T>(high)};
    std::uint32_t word;
    memcpy(&word, both, sizeof word);
    return word;
}

template <class T>
__device__ std::uint32_t pair_at(const T* elements) {
    std::uint32_t word;
    memcpy(&word, elements, sizeof word);
    return word;
}

/// The greatest, or the sum, over the four lanes that hold a row.
__device__ inline float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(kAll, x, 1));
    return fmaxf(x, __shfl_xor_sync(kAll, x, 2));
}
__device__ inline float row_sum(float x) {
    x += __shfl_xor_sync(kAll, x, 1);
    return x + __shfl_xor_sync(kAll, x, 2);
}

/// A tile of `kKeys` rows of a cache [tokens, columns] from row `first`; zeros beyond both.
template <class T, int kKeys, int kDim>
__device__ void load_tile(T (&tile)[kKeys][kDim + kApart], const T* cache, std::int64_t first,
                          std::int64_t tokens, std::int64_t columns) {
    constexpr int kVector = 8, kPerRow = kDim / kVector;  // 16 bytes
    for (int i = threadIdx.x; i < kKeys * kPerRow; i += kWarps * 32) {
        const int row = i / kPerRow, column = i % kPerRow * kVector;
        uint4 value{};
        if (first + row < tokens && column < columns)
            value = *reinterpret_cast<const uint4*>(cache + (first + row) * columns + column);
        *reinterpret_cast<uint4*>(&tile[row][column]) = value;
    }
}

/// blockIdx: x tile of query rows, y head, z sequence. kDim: columns of a head, filled up.
template <class T, int kKeys, int kDim>
__global__ void __launch_bounds__(kWarps * 32)
    attend_tiles(AttentionShape s, const T* q, std::int64_t q_stride, const T* keys,
                 const T* values, const std::int32_t* kv_of_head, const float* sinks, T* out,
                 std::int64_t out_stride) {
    __shared__ __align__(16) T key_tile[kKeys][kDim + kApart];
    __shared__ __align__(16) T value_tile[kKeys][kDim + kApart];
    const int lane = threadIdx.x % 32, quad = lane / 4, in_quad = lane % 4;
    const std::int64_t head = blockIdx.y, sequence = blockIdx.z;
    const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kRows;
    // The lane's two rows of the sequence's new tokens, and their places in the cache.
    const std::int64_t row[2] = {begin + threadIdx.x / 32 * kWarpRows + quad,
                                 begin + threadIdx.x / 32 * kWarpRows + quad + 8};
    const std::int64_t before = s.tokens - s.query_tokens;
    const auto kv = sequence * s.kv_heads + kv_of_head[head];
    const T* const own_keys = keys + kv * s.tokens * s.head_dim;
    const T* const own_values = values + kv * s.tokens * s.v_dim;

    std::uint32_t query[kDim / 16][4];
#pragma unroll
    for (int step = 0; step < kDim / 16; ++step) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const auto r = row[i % 2];
            const int column = 16 * step + 2 * in_quad + 8 * (i / 2);
            const bool there = r < s.query_tokens && column < s.head_dim;
            const T* const from =
                q + (sequence * s.query_tokens + r) * q_stride + head * s.head_dim + column;
            query[step][i] = there ? pair_at(from) : 0;
        }
    }
    float sum[kDim / 8][4] = {}, top[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};

    const auto last_row = begin + kRows < s.query_tokens ? begin + kRows : s.query_tokens;
    const auto end = before + last_row;
    auto first = s.window > 0 && before + begin + 1 > s.window ? before + begin + 1 - s.window : 0;
    for (first = first / kKeys * kKeys; first < end; first += kKeys) {
        __syncthreads();  // the tile before has been read
        load_tile<T, kKeys, kDim>(key_tile, own_keys, first, s.tokens, s.head_dim);
        load_tile<T, kKeys, kDim>(value_tile, own_values, first, s.tokens, s.v_dim);
        __syncthreads();

        float score[kKeys / 8][4] = {};
#pragma unroll
        for (int step = 0; step < kDim / 16; ++step) {
#pragma unroll
            for (int n = 0; n < kKeys / 8; ++n) {
                const T* const from = &key_tile[8 * n + quad][16 * step + 2 * in_quad];
                multiply_tiles(score[n], query[step], pair_at(from), pair_at(from + 8), T{});
            }
        }
        float higher[2] = {top[0], top[1]};
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const auto key = first + 8 * n + 2 * in_quad + i % 2;
                const auto place = before + row[i / 2];
                const bool seen = key <= place && (s.window == 0 || key > place - s.window);
                float value = score[n][i] * s.scale;
                if (s.softcap > 0) value = s.softcap * tanhf(value / s.softcap);
                score[n][i] = seen ? value * kLog2E : -INFINITY;
                higher[i / 2] = fmaxf(higher[i / 2], score[n][i]);
            }
        }
        float fade[2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            higher[r] = row_max(higher[r]);
            // Of a row that has seen nothing yet all weights are to be zero, not 2^(inf - inf).
            const float safe = higher[r] == -INFINITY ? 0.0F : higher[r];
            fade[r] = exp2f(top[r] - safe);
            top[r] = higher[r];
            higher[r] = safe;
            total[r] *= fade[r];
        }
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                score[n][i] = exp2f(score[n][i] - higher[i / 2]);
                total[i / 2] += score[n][i];
            }
        }
#pragma unroll
        for (int c = 0; c < kDim / 8; ++c) {
#pragma unroll
            for (int i = 0; i < 4; ++i) sum[c][i] *= fade[i / 2];
        }
#pragma unroll
        for (int step = 0; step < kKeys / 16; ++step) {
            const auto& even = score[2 * step];
            const auto& odd = score[2 * step + 1];
            const std::uint32_t weight[4] = {
                pair_of<T>(even[0], even[1]), pair_of<T>(even[2], even[3]),
                pair_of<T>(odd[0], odd[1]), pair_of<T>(odd[2], odd[3])};
#pragma unroll
            for (int c = 0; c < kDim / 8; c += 2) {
                std::uint32_t value[4];
                load_transposed(value, &value_tile[16 * step + lane % 16][8 * (c + lane / 16)]);
                multiply_tiles(sum[c], weight, value[0], value[1], T{});
                multiply_tiles(sum[c + 1], weight, value[2], value[3], T{});
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        total[r] = row_sum(total[r]);
        float fade = 1;
        if (sinks != nullptr) {
            const float sink = sinks[head] * kLog2E;
            const float higher = fmaxf(top[r], sink);
            fade = exp2f(top[r] - higher);
            total[r] = total[r] * fade + exp2f(sink - higher);
        }
        if (row[r] >= s.query_tokens) continue;
        T* const to = out + (sequence * s.query_tokens + row[r]) * out_stride + head * s.v_dim;
#pragma unroll
        for (int c = 0; c < kDim / 8; ++c) {
            const int column = 8 * c + 2 * in_quad;
            if (column >= s.v_dim) continue;
            const auto both =
                pair_of<T>(sum[c][2 * r] * fade / total[r], sum[c][2 * r + 1] * fade / total[r]);
            memcpy(to + column, &both, sizeof both);
        }
    }
}

template <class T, int kKeys, int kDim>
void launch_sized(Context& context, const tplan_op& op, const AttentionShape& s) {
    const dim3 grid(static_cast<unsigned>((s.query_tokens + kRows - 1) / kRows),
                    static_cast<unsigned>(s.heads), static_cast<unsigned>(op.batch));
    run(attend_tiles<T, kKeys, kDim>, grid, kWarps * 32, 0, context.stream, s,
        static_cast<const T*>(op.in[0].data), op.in[0].stride, static_cast<const T*>(op.keys.data),
        static_cast<const T*>(op.values.data), op.kv_of_head,
        op.weights > 0 ? static_cast<const float*>(op.weight[0].data) : nullptr,
        static_cast<T*>(op.out[0].data), op.out[0].stride);
}

template <class T>
void launch_typed(Context& context, const tplan_op& op, const AttentionShape& s) {
    const auto columns = s.head_dim > s.v_dim ? s.head_dim : s.v_dim;
    if (columns <= 64) return launch_sized<T, 64, 64>(context, op, s);
    if (columns <= 128) return launch_sized<T, 64, 128>(context, op, s);
    launch_sized<T, 32, 256>(context, op, s);
}

}  // namespace

bool fits_tiles(const tplan_op& op) {
    const bool in_sixteens = op.head_dim % 16 == 0 && op.v_head_dim % 16 == 0 &&
                             op.head_dim <= kMostColumns && op.v_head_dim <= kMostColumns;
    // Two neighbours are read at once.
    const bool even = op.in[0].stride % 2 == 0 && op.out[0].stride % 2 == 0;
    return op.in[0].dtype != TPLAN_FP32 && op.query_tokens >= kFewestRows && in_sixteens && even;
}

void launch_attention_tiles(Context& context, const tplan_op& op, const AttentionShape& shape) {
    if (op.in[0].dtype == TPLAN_BF16) return launch_typed<__nv_bfloat16>(context, op, shape);
    launch_typed<__half>(context, op, shape);
}

}  // namespace tplan::cuda
