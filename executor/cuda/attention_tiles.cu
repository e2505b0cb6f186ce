// Causal attention (FlashAttention-2, Dao 2023): a warp has 16 rows, whose scores and sums stay in
// its registers; keys and values come through shared memory, a tile at a time. The rows are tokens
// of one head in a prefill, heads of one token in a decode.
#include <algorithm>
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
constexpr int kTileKeys = 16;                // of a decode
constexpr std::int64_t kFewestTiles = 4;     // of a run
constexpr std::int64_t kWarpsWanted = 2048;  // a dozen or more per multiprocessor of any device
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

/// The first key that a token at this place of the cache sees.
__device__ inline std::int64_t first_key(const AttentionShape& s, std::int64_t place) {
    return s.window > 0 && place + 1 > s.window ? place + 1 - s.window : 0;
}

/// A tile of `kKeys` rows of a cache [tokens, columns] from row `first`, zeros beyond both, by
/// `workers` threads of which this is one.
template <class T, int kKeys, int kDim>
__device__ void load_tile(T (&tile)[kKeys][kDim + kApart], const T* cache, std::int64_t first,
                          std::int64_t tokens, std::int64_t columns, int worker, int workers) {
    constexpr int kVector = 8, kPerRow = kDim / kVector;  // 16 bytes
    for (int i = worker; i < kKeys * kPerRow; i += workers) {
        const int row = i / kPerRow, column = i % kPerRow * kVector;
        uint4 value{};
        if (first + row < tokens && column < columns)
            value = *reinterpret_cast<const uint4*>(cache + (first + row) * columns + column);
        *reinterpret_cast<uint4*>(&tile[row][column]) = value;
    }
}

/// What a lane holds of a warp's 16 rows: of the two rows `quad` and `quad` + 8. Scores are powers
/// of two.
template <int kDim>
struct Rows {
    std::uint32_t query[kDim / 16][4];
    float sum[kDim / 8][4] = {};
    float top[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
};

/// One of the lane's rows of queries; zeros where `from` is null.
template <class T, int kDim>
__device__ void load_query(Rows<kDim>& rows, int which, const T* from, std::int64_t columns) {
    const int in_quad = threadIdx.x % 4;
#pragma unroll
    for (int step = 0; step < kDim / 16; ++step) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int column = 16 * step + 8 * half + 2 * in_quad;
            const bool there = from != nullptr && column < columns;
            rows.query[step][which + 2 * half] = there ? pair_at(from + column) : 0;
        }
    }
}

/// Adds a tile of keys and values to the rows' sums. seen(row, key): whether one of the lane's two
/// rows sees that key of the tile.
template <class T, int kKeys, int kDim, class Seen>
__device__ void attend_tile(Rows<kDim>& rows, const T (&key_tile)[kKeys][kDim + kApart],
                            const T (&value_tile)[kKeys][kDim + kApart], const AttentionShape& s,
                            const Seen& seen) {
    const int lane = threadIdx.x % 32, quad = lane / 4, in_quad = lane % 4;
    float score[kKeys / 8][4] = {};
#pragma unroll
    for (int step = 0; step < kDim / 16; ++step) {
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
            const T* const from = &key_tile[8 * n + quad][16 * step + 2 * in_quad];
            multiply_tiles(score[n], rows.query[step], pair_at(from), pair_at(from + 8), T{});
        }
    }
    float higher[2] = {rows.top[0], rows.top[1]};
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            float value = score[n][i] * s.scale;
            if (s.softcap > 0) value = s.softcap * tanhf(value / s.softcap);
            score[n][i] = seen(i / 2, 8 * n + 2 * in_quad + i % 2) ? value * kLog2E : -INFINITY;
            higher[i / 2] = fmaxf(higher[i / 2], score[n][i]);
        }
    }
    float fade[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        higher[r] = row_max(higher[r]);
        // Of a row that has seen nothing yet all weights are to be zero, not 2^(inf - inf).
        const float safe = higher[r] == -INFINITY ? 0.0F : higher[r];
        fade[r] = exp2f(rows.top[r] - safe);
        rows.top[r] = higher[r];
        higher[r] = safe;
        rows.total[r] *= fade[r];
    }
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            score[n][i] = exp2f(score[n][i] - higher[i / 2]);
            rows.total[i / 2] += score[n][i];
        }
    }
#pragma unroll
    for (int c = 0; c < kDim / 8; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) rows.sum[c][i] *= fade[i / 2];
    }
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
        const auto& even = score[2 * step];
        const auto& odd = score[2 * step + 1];
        const std::uint32_t weight[4] = {pair_of<T>(even[0], even[1]), pair_of<T>(even[2], even[3]),
                                         pair_of<T>(odd[0], odd[1]), pair_of<T>(odd[2], odd[3])};
#pragma unroll
        for (int c = 0; c < kDim / 8; c += 2) {
            std::uint32_t value[4];
            load_transposed(value, &value_tile[16 * step + lane % 16][8 * (c + lane / 16)]);
            multiply_tiles(rows.sum[c], weight, value[0], value[1], T{});
            multiply_tiles(rows.sum[c + 1], weight, value[2], value[3], T{});
        }
    }
}

/// Prefill: a block has 64 query rows of one head. blockIdx: x tile of query rows, y head, z
/// sequence. kDim: columns of a head, filled up.
template <class T, int kKeys, int kDim>
__global__ void __launch_bounds__(kWarps * 32)
    attend_many(AttentionShape s, const T* q, std::int64_t q_stride, const T* keys, const T* values,
                const std::int32_t* kv_of_head, const float* sinks, T* out,
                std::int64_t out_stride) {
    __shared__ __align__(16) T key_tile[kKeys][kDim + kApart];
    __shared__ __align__(16) T value_tile[kKeys][kDim + kApart];
    const int lane = threadIdx.x % 32, quad = lane / 4, in_quad = lane % 4;
    const std::int64_t head = blockIdx.y, sequence = blockIdx.z;
    const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * kRows;
    // The lane's two rows of the sequence's new tokens.
    const std::int64_t row[2] = {begin + threadIdx.x / 32 * kWarpRows + quad,
                                 begin + threadIdx.x / 32 * kWarpRows + quad + 8};
    const std::int64_t before = s.tokens - s.query_tokens;
    const auto kv = sequence * s.kv_heads + kv_of_head[head];
    Rows<kDim> rows;
    for (int r = 0; r < 2; ++r) {
        const T* const from =
            q + (sequence * s.query_tokens + row[r]) * q_stride + head * s.head_dim;
        load_query<T>(rows, r, row[r] < s.query_tokens ? from : nullptr, s.head_dim);
    }
    const auto last_row = begin + kRows < s.query_tokens ? begin + kRows : s.query_tokens;
    const auto end = before + last_row;
    for (auto first = first_key(s, before + begin) / kKeys * kKeys; first < end; first += kKeys) {
        __syncthreads();  // the tile before has been read
        load_tile<T, kKeys, kDim>(key_tile, keys + kv * s.tokens * s.head_dim, first, s.tokens,
                                  s.head_dim, threadIdx.x, kWarps * 32);
        load_tile<T, kKeys, kDim>(value_tile, values + kv * s.tokens * s.v_dim, first, s.tokens,
                                  s.v_dim, threadIdx.x, kWarps * 32);
        __syncthreads();
        attend_tile<T, kKeys, kDim>(rows, key_tile, value_tile, s, [&](int r, int key) {
            const auto place = before + row[r];
            return first + key <= place && first + key >= first_key(s, place);
        });
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        float total = row_sum(rows.total[r]), fade = 1;
        if (sinks != nullptr) {
            const float sink = sinks[head] * kLog2E, higher = fmaxf(rows.top[r], sink);
            fade = exp2f(rows.top[r] - higher);
            total = total * fade + exp2f(sink - higher);
        }
        if (row[r] >= s.query_tokens) continue;
        T* const to = out + (sequence * s.query_tokens + row[r]) * out_stride + head * s.v_dim;
#pragma unroll
        for (int c = 0; c < kDim / 8; ++c) {
            const int column = 8 * c + 2 * in_quad;
            if (column >= s.v_dim) continue;
            const auto both = pair_of<T>(rows.sum[c][2 * r] * fade / total,
                                         rows.sum[c][2 * r + 1] * fade / total);
            memcpy(to + column, &both, sizeof both);
        }
    }
}

/// Decode: a warp has up to 16 query heads of one KV head, whose keys and values are so fetched
/// once, and a run of keys. blockIdx: x sequence, y (KV head, sixteen of its query heads), z runs.
/// parts: [rows, heads, runs] of maximum, sum and v_dim weighted values.
template <class T, int kDim, int kRunsOfBlock>
__global__ void __launch_bounds__(kRunsOfBlock * 32)
    attend_one(AttentionShape s, AttentionRuns runs, const T* q, std::int64_t q_stride,
               const T* keys, const T* values, const std::int32_t* kv_of_head, float* parts) {
    __shared__ __align__(16) T key_tiles[kRunsOfBlock][kTileKeys][kDim + kApart];
    __shared__ __align__(16) T value_tiles[kRunsOfBlock][kTileKeys][kDim + kApart];
    const int lane = threadIdx.x % 32, quad = lane / 4, in_quad = lane % 4, warp = threadIdx.x / 32;
    const auto run = static_cast<std::int64_t>(blockIdx.z) * kRunsOfBlock + warp;
    if (run >= runs.count) return;
    const std::int64_t sequence = blockIdx.x, kv_head = blockIdx.y % s.kv_heads;
    std::int64_t first_head = 0, heads = 0;  // of the KV head
    for (std::int64_t h = 0; h < s.heads; ++h) {
        if (kv_of_head[h] != kv_head) continue;
        if (heads++ == 0) first_head = h;
    }
    const std::int64_t skipped = blockIdx.y / s.kv_heads * kWarpRows;
    if (skipped >= heads) return;
    const std::int64_t head[2] = {skipped + quad, skipped + quad + 8};  // of the KV head's
    Rows<kDim> rows;
    for (int r = 0; r < 2; ++r) {
        const T* const from = q + sequence * q_stride + (first_head + head[r]) * s.head_dim;
        load_query<T>(rows, r, head[r] < heads ? from : nullptr, s.head_dim);
    }
    const auto kv = sequence * s.kv_heads + kv_head;
    const auto seen_from = first_key(s, s.tokens - 1);
    const auto begin = runs.base + run * runs.keys;
    const auto end = begin + runs.keys < s.tokens ? begin + runs.keys : s.tokens;
    for (auto first = begin; first < end; first += kTileKeys) {
        __syncwarp();  // the tile before has been read
        load_tile<T, kTileKeys, kDim>(key_tiles[warp], keys + kv * s.tokens * s.head_dim, first,
                                      s.tokens, s.head_dim, lane, 32);
        load_tile<T, kTileKeys, kDim>(value_tiles[warp], values + kv * s.tokens * s.v_dim, first,
                                      s.tokens, s.v_dim, lane, 32);
        __syncwarp();
        attend_tile<T, kTileKeys, kDim>(
            rows, key_tiles[warp], value_tiles[warp], s,
            [&](int, int key) { return first + key < end && first + key >= seen_from; });
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const float total = row_sum(rows.total[r]);
        if (head[r] >= heads) continue;
        float* const part =
            parts +
            ((sequence * s.heads + first_head + head[r]) * runs.count + run) * (s.v_dim + 2);
        if (in_quad == 0) {
            part[0] = rows.top[r] / kLog2E;
            part[1] = total;
        }
#pragma unroll
        for (int c = 0; c < kDim / 8; ++c) {
            const int column = 8 * c + 2 * in_quad;
            if (column >= s.v_dim) continue;
            part[2 + column] = rows.sum[c][2 * r];
            part[3 + column] = rows.sum[c][2 * r + 1];
        }
    }
}

/// What both kinds of launch take of an op.
template <class T>
struct Operands {
    const T *q, *keys, *values;
    T* out;
    const float* sinks;
    explicit Operands(const tplan_op& op)
        : q(static_cast<const T*>(op.in[0].data)),
          keys(static_cast<const T*>(op.keys.data)),
          values(static_cast<const T*>(op.values.data)),
          out(static_cast<T*>(op.out[0].data)),
          sinks(op.weights > 0 ? static_cast<const float*>(op.weight[0].data) : nullptr) {}
};

template <class T, int kKeys, int kDim>
void launch_many(Context& context, const tplan_op& op, const AttentionShape& s) {
    const Operands<T> at(op);
    const dim3 grid(static_cast<unsigned>((s.query_tokens + kRows - 1) / kRows),
                    static_cast<unsigned>(s.heads), static_cast<unsigned>(op.batch));
    run(attend_many<T, kKeys, kDim>, grid, kWarps * 32, 0, context.stream, s, at.q, op.in[0].stride,
        at.keys, at.values, op.kv_of_head, at.sinks, at.out, op.out[0].stride);
}

template <class T, int kDim, int kRunsOfBlock>
void launch_one(Context& context, const tplan_op& op, const AttentionShape& s) {
    const Operands<T> at(op);
    const auto runs = decode_runs(op);
    const dim3 grid(static_cast<unsigned>(op.batch),
                    static_cast<unsigned>(s.kv_heads * ((s.heads + kWarpRows - 1) / kWarpRows)),
                    static_cast<unsigned>((runs.count + kRunsOfBlock - 1) / kRunsOfBlock));
    run(attend_one<T, kDim, kRunsOfBlock>, grid, kRunsOfBlock * 32, 0, context.stream, s, runs,
        at.q, op.in[0].stride, at.keys, at.values, op.kv_of_head,
        static_cast<float*>(op.workspace));
}

template <class T>
void launch_typed(Context& context, const tplan_op& op, const AttentionShape& s) {
    const auto columns = s.head_dim > s.v_dim ? s.head_dim : s.v_dim;
    const bool one = s.query_tokens == 1;
    if (columns <= 64)
        return one ? launch_one<T, 64, 4>(context, op, s) : launch_many<T, 64, 64>(context, op, s);
    if (columns <= 128)
        return one ? launch_one<T, 128, 4>(context, op, s)
                   : launch_many<T, 64, 128>(context, op, s);
    return one ? launch_one<T, 256, 2>(context, op, s) : launch_many<T, 32, 256>(context, op, s);
}

}  // namespace

bool fits_tiles(const tplan_op& op) {
    const bool in_sixteens = op.head_dim % 16 == 0 && op.v_head_dim % 16 == 0 &&
                             op.head_dim <= kMostColumns && op.v_head_dim <= kMostColumns;
    // Two neighbours are read at once.
    const bool even = op.in[0].stride % 2 == 0 && op.out[0].stride % 2 == 0;
    const bool sized = op.query_tokens == 1 || op.query_tokens >= kFewestRows;
    return op.in[0].dtype != TPLAN_FP32 && sized && in_sixteens && even;
}

AttentionRuns decode_runs(const tplan_op& op) {
    AttentionRuns runs;
    if (op.window > 0 && op.tokens > op.window)
        runs.base = (op.tokens - op.window) / kTileKeys * kTileKeys;
    const auto tiles = (op.tokens - runs.base + kTileKeys - 1) / kTileKeys;
    const auto most = (tiles + kFewestTiles - 1) / kFewestTiles;
    const auto wanted = kWarpsWanted / std::max<std::int64_t>(1, op.batch * op.kv_heads) + 1;
    const auto count = std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(1, most));
    runs.keys = (tiles + count - 1) / count * kTileKeys;
    runs.count = static_cast<int>((op.tokens - runs.base + runs.keys - 1) / runs.keys);
    return runs;
}

void launch_attention_tiles(Context& context, const tplan_op& op, const AttentionShape& shape) {
    if (op.in[0].dtype == TPLAN_BF16) return launch_typed<__nv_bfloat16>(context, op, shape);
    launch_typed<__half>(context, op, shape);
}

}  // namespace tplan::cuda
