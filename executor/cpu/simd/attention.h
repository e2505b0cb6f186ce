// Causal attention. Part of a set (set.h).
//
// Many queries (prefill): the query heads of one KV head are stacked, a block of queries at a time,
// and meet blocks of keys in matrix products; the softmax is kept running over the key blocks
// (Milakov & Gimelshein 2018, Dao et al. 2022), so that no row of scores is ever stored whole.
// One query (decode): keys and values are streamed once for all query heads that share them.
#pragma once
#include "executor/cpu/simd/linear.h"
#include "executor/cpu/simd/rows.h"
namespace tplan::cpu::TPLAN_SIMD {

constexpr std::int64_t kQueryBlock = 64;  // queries per block; times the heads of a group
constexpr std::int64_t kKeyBlock = 256;

/// Query heads [first, first + count) that read KV head `kv`.
struct HeadGroup {
    std::int64_t first = 0, count = 0, kv = 0;
};

template <class F>
void for_groups(const AttentionCall& c, const F& f) {
    for (std::int64_t h = 0; h < c.heads;) {
        HeadGroup group{h, 0, c.kv_of_head[h]};
        while (h < c.heads && c.kv_of_head[h] == group.kv) {
            ++h;
            ++group.count;
        }
        f(group);
    }
}

/// Key indices that query `i` sees: [first, end).
inline std::int64_t first_key(const AttentionCall& c, std::int64_t i) {
    return c.window > 0 ? std::max<std::int64_t>(0, c.first_query + i - c.window + 1) : 0;
}
inline std::int64_t end_key(const AttentionCall& c, std::int64_t i) {
    return std::min(c.tokens, c.first_query + i + 1);
}

template <class Array>
void cap_scores(float softcap, Array scores) {
    if (softcap > 0) scores = softcap * (scores * (1.0F / softcap)).tanh();
}

// ------------------------------------------------------------------------------ many queries

/// Working space of one block of stacked queries; pointers into the call's scratch.
struct Block {
    float* q;       // [rows, head_dim], scaled
    float* scores;  // [rows, kKeyBlock]
    float* out;     // [rows, v_dim]
    float* top;     // [rows] largest score so far
    float* total;   // [rows] sum of exp(score - top) so far
};

/// One block of keys [begin, end) for the stacked rows (head g, query q0 + i), i < queries.
inline void attend_keys(const AttentionCall& c, const HeadGroup& group, const Block& block,
                        const float* keys, const float* values, std::int64_t q0,
                        std::int64_t queries, std::int64_t begin, std::int64_t end) {
    const auto rows = group.count * queries;
    const auto n = end - begin;
    gemm(rows, n, c.head_dim, block.q, c.head_dim, keys + begin * c.head_dim, c.head_dim,
         block.scores, kKeyBlock);
    for (std::int64_t row = 0; row < rows; ++row) {
        const auto i = q0 + row % queries;
        const auto from = std::clamp<std::int64_t>(first_key(c, i) - begin, 0, n);
        const auto to = std::clamp<std::int64_t>(end_key(c, i) - begin, from, n);
        float* line = block.scores + row * kKeyBlock;
        std::fill(line, line + from, 0.0F);
        std::fill(line + to, line + n, 0.0F);
        if (from == to) continue;
        Row scores(line + from, to - from);
        cap_scores(c.softcap, scores);
        const float top = std::max(block.top[row], scores.maxCoeff());
        scores = (scores - top).exp();
        const float shrink = std::exp(block.top[row] - top);
        block.total[row] = block.total[row] * shrink + scores.sum();
        if (shrink != 1.0F) Row(block.out + row * c.v_dim, c.v_dim) *= shrink;
        block.top[row] = top;
    }
    view(block.out, rows, c.v_dim, c.v_dim).noalias() +=
        view(block.scores, rows, n, kKeyBlock) *
        view(values + begin * c.v_dim, n, c.v_dim, c.v_dim);
}

inline void attend_block(const AttentionCall& c, const HeadGroup& group, const Block& block,
                         std::int64_t sequence, std::int64_t q0, std::int64_t queries) {
    const auto row_of = [&](std::int64_t i) { return sequence * c.query_tokens + q0 + i; };
    for (std::int64_t g = 0; g < group.count; ++g) {
        for (std::int64_t i = 0; i < queries; ++i) {
            const auto row = g * queries + i;
            const float* q = c.q + row_of(i) * c.q_stride + (group.first + g) * c.head_dim;
            multiply(q, c.scale, block.q + row * c.head_dim, c.head_dim);
            // A sink is a score without a value: it only joins the total.
            const bool sink = c.sinks != nullptr;
            block.top[row] = sink ? c.sinks[group.first + g] : -1e30F;
            block.total[row] = sink ? 1.0F : 0.0F;
        }
    }
    const auto rows = group.count * queries;
    std::fill_n(block.out, rows * c.v_dim, 0.0F);
    const auto cache = sequence * c.kv_heads + group.kv;
    const float* keys = c.keys + cache * c.tokens * c.head_dim;
    const float* values = c.values + cache * c.tokens * c.v_dim;
    const auto last = end_key(c, q0 + queries - 1);
    for (auto begin = first_key(c, q0); begin < last; begin += kKeyBlock) {
        attend_keys(c, group, block, keys, values, q0, queries, begin,
                    std::min(begin + kKeyBlock, last));
    }
    for (std::int64_t row = 0; row < rows; ++row) {
        float* out =
            c.out + row_of(row % queries) * c.out_stride + (group.first + row / queries) * c.v_dim;
        multiply(block.out + row * c.v_dim, 1.0F / block.total[row], out, c.v_dim);
    }
}

inline void attend_many(const AttentionCall& c) {
    for_groups(c, [&](const HeadGroup& group) {
        const auto rows = group.count * kQueryBlock;
        Block block;
        block.q = c.scratch;
        block.scores = block.q + rows * c.head_dim;
        block.out = block.scores + rows * kKeyBlock;
        block.top = block.out + rows * c.v_dim;
        block.total = block.top + rows;
        for (std::int64_t sequence = 0; sequence < c.batch; ++sequence) {
            for (std::int64_t q0 = 0; q0 < c.query_tokens; q0 += kQueryBlock) {
                attend_block(c, group, block, sequence, q0,
                             std::min(kQueryBlock, c.query_tokens - q0));
            }
        }
    });
}

// --------------------------------------------------------------------------------- one query

inline float total_of(const Lanes& v) {
    float even = 0, odd = 0;
    for (std::int64_t i = 0; i < kLanes; i += 2) {
        even += v[i];
        odd += v[i + 1];
    }
    return even + odd;
}

/// Products of one query with four keys `stride` apart.
inline void dot_four(const float* q, const float* keys, std::int64_t stride, std::int64_t n,
                     float* result) {
    Lanes sums[4] = {};
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        Lanes part, key;
        load(part, q + i);
        for (int j = 0; j < 4; ++j) {
            load(key, keys + j * stride + i);
            sums[j] += part * key;
        }
    }
    for (int j = 0; j < 4; ++j) {
        result[j] = total_of(sums[j]);
        for (auto rest = i; rest < n; ++rest) result[j] += q[rest] * keys[j * stride + rest];
    }
}

/// out += weights[0] * values + weights[1] * (values + stride) + .., four of them.
inline void add_four(const float* weights, const float* values, std::int64_t stride, std::int64_t n,
                     float* out) {
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        Lanes sum, value;
        load(sum, out + i);
        for (int j = 0; j < 4; ++j) {
            load(value, values + j * stride + i);
            sum += weights[j] * value;
        }
        store(out + i, sum);
    }
    for (; i < n; ++i) {
        for (int j = 0; j < 4; ++j) out[i] += weights[j] * values[j * stride + i];
    }
}

/// The query heads of one group over all keys of one sequence. `scores` [count, tokens].
inline void attend_one(const AttentionCall& c, const HeadGroup& group, std::int64_t sequence) {
    const auto cache = sequence * c.kv_heads + group.kv;
    const float* keys = c.keys + cache * c.tokens * c.head_dim;
    const float* values = c.values + cache * c.tokens * c.v_dim;
    const float* q = c.q + sequence * c.q_stride + group.first * c.head_dim;
    float* out = c.out + sequence * c.out_stride + group.first * c.v_dim;
    float* scores = c.scratch;
    const auto begin = first_key(c, 0);
    const auto n = end_key(c, 0) - begin;
    const auto whole_fours = n / 4 * 4;

    for (std::int64_t t = 0; t < whole_fours; t += 4) {
        for (std::int64_t g = 0; g < group.count; ++g) {
            dot_four(q + g * c.head_dim, keys + (begin + t) * c.head_dim, c.head_dim, c.head_dim,
                     scores + g * n + t);
        }
    }
    for (auto t = whole_fours; t < n; ++t) {
        for (std::int64_t g = 0; g < group.count; ++g) {
            scores[g * n + t] =
                ConstRow(q + g * c.head_dim, c.head_dim)
                    .matrix()
                    .dot(ConstRow(keys + (begin + t) * c.head_dim, c.head_dim).matrix());
        }
    }
    for (std::int64_t g = 0; g < group.count; ++g) {
        Row line(scores + g * n, n);
        line *= c.scale;
        cap_scores(c.softcap, line);
        const float sink = c.sinks != nullptr ? c.sinks[group.first + g] : -1e30F;
        const float top = std::max(line.maxCoeff(), sink);
        line = (line - top).exp();
        line *= 1.0F / (line.sum() + (c.sinks != nullptr ? std::exp(sink - top) : 0.0F));
        std::fill_n(out + g * c.v_dim, c.v_dim, 0.0F);
    }
    for (std::int64_t t = 0; t < whole_fours; t += 4) {
        for (std::int64_t g = 0; g < group.count; ++g) {
            add_four(scores + g * n + t, values + (begin + t) * c.v_dim, c.v_dim, c.v_dim,
                     out + g * c.v_dim);
        }
    }
    for (auto t = whole_fours; t < n; ++t) {
        for (std::int64_t g = 0; g < group.count; ++g) {
            Row(out + g * c.v_dim, c.v_dim) +=
                scores[g * n + t] * ConstRow(values + (begin + t) * c.v_dim, c.v_dim);
        }
    }
}

inline void attention(const AttentionCall& c) {
    if (c.query_tokens > 1) {
        attend_many(c);
        return;
    }
    for (std::int64_t sequence = 0; sequence < c.batch; ++sequence) {
        for_groups(c, [&](const HeadGroup& group) { attend_one(c, group, sequence); });
    }
}

}  // namespace tplan::cpu::TPLAN_SIMD
