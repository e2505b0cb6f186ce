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

/// c[m, n] (+)= a[m, k] b[k, n]; a transposed operand is stored the other way round. Row strides.
struct ProductCall {
    std::int64_t m = 0, n = 0, k = 0;
    const float* a = nullptr;
    std::int64_t a_stride = 0;
    bool a_transposed = false;
    const float* b = nullptr;
    std::int64_t b_stride = 0;
    bool b_transposed = false;
    float* c = nullptr;
    std::int64_t c_stride = 0;
    bool accumulate = false;
};

/// What else a norm's gradient reads and writes; null where there is none.
struct NormGradients {
    float* weight = nullptr;     // added to
    float* bias = nullptr;       // added to
    const float* add = nullptr;  // joins the result
    float* scratch = nullptr;    // as many floats as the row has
};

/// One step of AdamW with its corrections taken together.
struct AdamWCall {
    float beta1 = 0, beta2 = 0, epsilon = 0;
    float decay = 1;                     // 1 - learning rate * weight decay
    float rate = 0;                      // learning rate / (1 - beta1^t)
    float inverse_root_correction2 = 1;  // 1 / sqrt(1 - beta2^t)
};

/// Floats of scratch space an attention call needs.
std::int64_t attention_scratch(const AttentionCall& call);

/// Rows of all tokens, heads side by side.
struct HeadRows {
    const float* data = nullptr;
    std::int64_t stride = 0;
};
struct HeadGradients {
    float* data = nullptr;
    std::int64_t stride = 0;
};

/// The gradients of causal attention without a cache, [batch * tokens, heads * dim] each.
struct AttentionGradientCall {
    std::int64_t batch = 1, tokens = 1, heads = 1, head_dim = 1, v_dim = 1;
    const std::int32_t* kv_of_head = nullptr;  // [heads]
    HeadRows q, k, v, out;                     // `out`: the gradient of the output
    HeadGradients dq, dk, dv;                  // written; those of a KV head sum its query heads'
    float scale = 1;
    float softcap = 0;         // 0 = none
    std::int64_t window = 0;   // 0 = all
    float* scratch = nullptr;  // 3 * kGradientQueries * tokens floats
};
constexpr std::int64_t kGradientQueries = 64;  // of one block

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

    // Of training.
    void (*product)(const ProductCall& call);
    /// dx from dy of one row (or group) x; `layer`: of a layer norm, else of an RMS norm.
    void (*norm_gradient)(const NormCall& call, bool layer, const NormGradients& to, const float* x,
                          const float* dy, float* dx, std::int64_t n);
    /// Gradients of act(gate) * up; without up of act(gate), dup then null.
    void (*activate_gradient)(ActivationKind kind, const float* gate, const float* up,
                              const float* dy, float* dgate, float* dup, std::int64_t n);
    /// dx of y = cap * tanh(factor * x / cap).
    void (*softcap_gradient)(const float* x, const float* dy, float factor, float cap, float* dx,
                             std::int64_t n);
    /// The largest of x; n above 0.
    float (*largest)(const float* x, std::int64_t n);
    /// y = exp(x - top); their sum. y may be x.
    double (*exponentials)(const float* x, float top, float* y, std::int64_t n);
    void (*attention_gradient)(const AttentionGradientCall& call);
    void (*adamw)(const AdamWCall& call, const float* gradient, float* weight, float* mean,
                  float* variance, std::int64_t n);
};

/// The fastest set this processor runs.
const Simd& simd();

/// All sets that this processor runs; for tests.
std::span<const Simd* const> simd_sets();

}  // namespace tplan::cpu
