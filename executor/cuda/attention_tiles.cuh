#pragma once
#include "executor/cuda/context.h"

/// Attention by tensor cores, on 16-bit types: of many new tokens, or of one.

namespace tplan::cuda {

/// What attention is computed over; the cache holds the new tokens already.
struct AttentionShape {
    std::int64_t heads, kv_heads, head_dim, v_dim, tokens, query_tokens, window;
    float scale, softcap;
};

/// How the keys of a decode are cut, from the first that is seen.
struct AttentionRuns {
    std::int64_t base = 0, keys = 0;
    int count = 0;
};

/// Whether launch_attention_tiles() takes it: 16-bit, one query token or 16 and more, heads of up
/// to 256 columns in sixteens.
bool fits_tiles(const tplan_op& op);

/// Requires fits_tiles() and one query token.
AttentionRuns decode_runs(const tplan_op& op);

/// Requires fits_tiles(). A decode leaves partial results in the workspace: [rows, heads, runs] of
/// maximum, sum and v_dim weighted values, to be joined.
void launch_attention_tiles(Context& context, const tplan_op& op, const AttentionShape& shape);

}  // namespace tplan::cuda
