#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "models/graph.h"

/// The inner loops, compiled once for the plainest processor and once for AVX2 with FMA, chosen at
/// run time. All numbers are fp32; `n` counts elements of one row; pointers need no alignment.

namespace tplan::cpu {

struct NormCall {
    const float* weight = nullptr;  // may be null: no scaling
    const float* bias = nullptr;    // may be null
    float eps = 0;
    bool unit_offset = false;  // scale by 1 + weight
};

/// Causal attention of new tokens over cached keys and values (those of the new tokens included).
struct AttentionCall {
    std::int64_t batch = 1, query_tokens = 1, heads = 1, kv_heads = 1, head_dim = 1, v_dim = 1;
    std::int64_t tokens = 1;         // cached per sequence
    std::int64_t first_query = 0;    // cache index of the first query token
    const std::int32_t* kv_of_head;  // [heads], ascending
    const float* q;                  // [batch * query_tokens, heads * head_dim]
    std::int64_t q_stride = 0;
    const float* keys;    // [batch, kv_heads, tokens, head_dim]
    const float* values;  // [batch, kv_heads, tokens, v_dim]
    float* out;           // [batch * query_tokens, heads * v_dim]
    std::int64_t out_stride = 0;
    float scale = 1;
    float softcap = 0;             // 0 = none
    std::int64_t window = 0;       // 0 = all
    const float* sinks = nullptr;  // [heads] logits that join the softmax; may be null
    float* scratch = nullptr;      // attention_scratch() floats
};

/// Floats of scratch space an attention call needs.
std::int64_t attention_scratch(const AttentionCall& call);

/// One function per loop.
struct Simd {
    std::string_view name;

    /// y[m, n] = x[m, k] w[n, k]^T, row strides given.
    void (*gemm)(std::int64_t m, std::int64_t n, std::int64_t k, const float* x,
                 std::int64_t x_stride, const float* w, std::int64_t w_stride, float* y,
                 std::int64_t y_stride);
    /// y[n] = w[n, k] x[k].
    void (*gemv)(std::int64_t n, std::int64_t k, const float* x, const float* w,
                 std::int64_t w_stride, float* y);
    /// Each of the `targets` to[t] = from[0] + from[1] + .., added in this order; a target may be
    /// one of the `sources`. Written to all targets from registers: a copy afterwards would move
    /// every line between processors twice.
    void (*sum)(const float* const* from, int sources, float* const* to, int targets,
                std::int64_t n);
    void (*rms_norm)(const NormCall& call, const float* x, float* y, std::int64_t n);
    void (*layer_norm)(const NormCall& call, const float* x, float* y, std::int64_t n);
    /// y = a + factor * b.
    void (*add)(const float* a, const float* b, float factor, float* y, std::int64_t n);
    /// y = factor * x.
    void (*multiply)(const float* x, float factor, float* y, std::int64_t n);
    /// y = cap * tanh(factor * x / cap).
    void (*softcap)(const float* x, float factor, float cap, float* y, std::int64_t n);
    /// y = act(gate) * up, or act(gate) when up is null.
    void (*activate)(ActivationKind kind, const float* gate, const float* up, float* y,
                     std::int64_t n);
    /// Rotates `pairs` pairs of one head; cosine and sine [pairs]. Interleaved: pairs (0,1),
    /// (2,3)..; else element i with element i + pairs. y may be x.
    void (*rope)(const float* x, const float* cosine, const float* sine, float* y,
                 std::int64_t pairs, bool interleaved);
    void (*attention)(const AttentionCall& call);
};

/// The fastest set this processor runs.
const Simd& simd();

/// All sets that this processor runs; for tests.
std::span<const Simd* const> simd_sets();

}  // namespace tplan::cpu
