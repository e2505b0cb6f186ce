// The backward pass of causal attention. Part of a set (set.h).
//
// Scores are made again from queries and keys, a block of queries of one head at a time (Dao et
// al., FlashAttention-2, 2023, with whole rows of scores: no running softmax).
#pragma once
#include "executor/cpu/simd/linear.h"
#include "executor/cpu/simd/rows.h"
namespace tplan::cpu::TPLAN_SIMD {

/// A block of queries [first, first + rows) of one head against the keys [begin, begin + keys).
struct GradientBlock {
    std::int64_t first = 0, rows = 0, begin = 0, keys = 0;
    float* probabilities;  // [rows, keys]
    float* gradients;      // [rows, keys], of the probabilities, then of the products q k
    float* slopes;         // [rows, keys], of the scores' cap; only with one
};

/// Softmax of the scaled scores in `probabilities`; keys a query does not see get 0.
inline void block_softmax(const AttentionGradientCall& c, const GradientBlock& block) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
        const auto query = block.first + i;
        const auto last = query + 1 - block.begin;  // of the block's keys, one past it
        const auto first =
            c.window > 0 ? std::max<std::int64_t>(0, query - c.window + 1 - block.begin) : 0;
        Row row(block.probabilities + i * block.keys, block.keys);
        auto seen = row.segment(first, last - first);
        seen *= c.scale;
        if (c.softcap > 0) {
            seen = (seen * (1.0F / c.softcap)).tanh();
            Row(block.slopes + i * block.keys, block.keys).segment(first, last - first) =
                1.0F - seen.square();
            seen *= c.softcap;
        }
        seen = (seen - seen.maxCoeff()).exp();
        seen *= 1.0F / seen.sum();
        row.head(first).setZero();
        row.tail(block.keys - last).setZero();
    }
}

/// dS = P (dP - sum of P dP over the row), through the cap and the scale.
inline void block_score_gradients(const AttentionGradientCall& c, const GradientBlock& block) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
        const Row p(block.probabilities + i * block.keys, block.keys);
        Row g(block.gradients + i * block.keys, block.keys);
        const float along = (p * g).sum();
        g = p * (g - along) * c.scale;
        if (c.softcap <= 0) continue;
        // Where a key is not seen its slope was never written; its probability is 0.
        const Row slope(block.slopes + i * block.keys, block.keys);
        g = (p > 0.0F).select(g * slope, 0.0F);
    }
}

inline void block_gradient(const AttentionGradientCall& c, std::int64_t row, std::int64_t head,
                           const GradientBlock& b) {
    const auto kv = c.kv_of_head[head];
    const auto at = [&](const auto& m, std::int64_t r, std::int64_t column) {
        return m.data + (row + r) * m.stride + column;
    };
    const auto d = c.head_dim, v_dim = c.v_dim;
    const auto q = view(at(c.q, b.first, head * d), b.rows, d, c.q.stride);
    const auto out = view(at(c.out, b.first, head * v_dim), b.rows, v_dim, c.out.stride);
    const auto k = view(at(c.k, b.begin, kv * d), b.keys, d, c.k.stride);
    const auto v = view(at(c.v, b.begin, kv * v_dim), b.keys, v_dim, c.v.stride);
    auto p = view(b.probabilities, b.rows, b.keys, b.keys);
    auto g = view(b.gradients, b.rows, b.keys, b.keys);
    p.noalias() = q * k.transpose();
    block_softmax(c, b);
    g.noalias() = out * v.transpose();
    auto dv = view(at(c.dv, b.begin, kv * v_dim), b.keys, v_dim, c.dv.stride);
    dv.noalias() += p.transpose() * out;
    block_score_gradients(c, b);
    view(at(c.dq, b.first, head * d), b.rows, d, c.dq.stride).noalias() = g * k;
    auto dk = view(at(c.dk, b.begin, kv * d), b.keys, d, c.dk.stride);
    dk.noalias() += g.transpose() * q;
}

inline void attention_gradient(const AttentionGradientCall& c) {
    const auto rows = c.batch * c.tokens;
    std::int64_t kv_heads = 0;
    for (std::int64_t h = 0; h < c.heads; ++h)
        kv_heads = std::max<std::int64_t>(kv_heads, c.kv_of_head[h] + 1);
    view(c.dk.data, rows, kv_heads * c.head_dim, c.dk.stride).setZero();
    view(c.dv.data, rows, kv_heads * c.v_dim, c.dv.stride).setZero();
    for (std::int64_t s = 0; s < c.batch; ++s) {
        for (std::int64_t h = 0; h < c.heads; ++h) {
            for (std::int64_t first = 0; first < c.tokens; first += kGradientQueries) {
                GradientBlock block;
                block.first = first;
                block.rows = std::min(kGradientQueries, c.tokens - first);
                block.begin = c.window > 0 ? std::max<std::int64_t>(0, first - c.window + 1) : 0;
                block.keys = first + block.rows - block.begin;
                block.probabilities = c.scratch;
                block.gradients = c.scratch + kGradientQueries * c.tokens;
                block.slopes = block.gradients + kGradientQueries * c.tokens;
                block_gradient(c, s * c.tokens, h, block);
            }
        }
    }
}

}  // namespace tplan::cpu::TPLAN_SIMD
