#pragma once
#include "executor/cuda/context.h"

/// Attention of many new tokens by tensor cores, on 16-bit types.

namespace tplan::cuda {

/// What attention is computed over; the cache holds the new tokens already.
struct AttentionShape {
    std::int64_t heads, kv_heads, head_dim, v_dim, tokens, query_tokens, window;
    float scale, softcap;
};

/// Whether launch_attention_tiles() takes it: 16-bit, 16 query tokens or more, heads of up to 256
/// columns in sixteens.
bool fits_tiles(const tplan_op& op);

/// Requires fits_tiles().
void launch_attention_tiles(Context& context, const tplan_op& op, const AttentionShape& shape);

}  // namespace tplan::cuda
