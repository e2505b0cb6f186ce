// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): keys and values come
// from a latent of kv_lora_rank values and one rotated key of qk_rope_dim values shared by all
// heads; those two are what the cache holds.
#include <cmath>

#include "models/build_block.h"

namespace tplan {
namespace {

constexpr double kLatentEps = 1e-6;  // of the two latent norms, whatever rms_norm_eps says

/// Queries, straight or through their own latent.
int project_queries(BlockDraft& draft, const std::string& prefix, int input) {
    const auto& config = draft.config;
    const Columns heads{width_of(config, config.heads, config.head_dim), Axis::heads,
                        config.head_dim};
    if (config.q_lora_rank == 0) {
        return add_linear(draft, prefix + "q_proj", input, heads, false);
    }
    const Columns latent{config.q_lora_rank, Axis::latent};
    const int low = add_linear(draft, prefix + "q_a_proj", input, latent, config.settings.qkv_bias);
    const int normed = add_norm(draft, prefix + "q_a_layernorm", low, kLatentEps);
    return add_linear(draft, prefix + "q_b_proj", normed, heads, false);
}

}  // namespace

int build_latent_attention(BlockDraft& draft, int input) {
    const auto& config = draft.config;
    const auto prefix = config.modules.attention + ".";
    const auto rope_dim = config.qk_rope_dim;
    int q = project_queries(draft, prefix, input);

    // [latent | rotated key] from one projection
    const Columns both{config.kv_lora_rank + rope_dim, Axis::latent};
    const int joined =
        add_linear(draft, prefix + "kv_a_proj_with_mqa", input, both, config.settings.qkv_bias);
    Op split{.kind = OpKind::split_columns, .name = prefix + "split_latent", .inputs = {joined}};
    const int latent =
        add_activation(draft, prefix + "latent", Rows::tokens, {config.kv_lora_rank, Axis::latent});
    int key = add_activation(draft, prefix + "k_rope", Rows::tokens,
                             {rope_dim, Axis::head_dim, rope_dim});
    split.outputs = {latent, key};
    draft.block.ops.push_back(std::move(split));

    // keys without position, and values, of every head
    const int normed = add_norm(draft, prefix + "kv_a_layernorm", latent, kLatentEps);
    const auto per_head = config.qk_nope_dim + config.v_head_dim;
    const Columns kv{width_of(config, config.heads, per_head), Axis::heads, per_head};
    const int expanded = add_linear(draft, prefix + "kv_b_proj", normed, kv, false);

    Op rope{.kind = OpKind::rope, .name = prefix + "rope", .inputs = {q, key}};
    q = add_activation(draft, prefix + "q_rotated", Rows::tokens, columns_of(draft.activation(q)));
    key = add_activation(draft, prefix + "k_rotated", Rows::tokens,
                         columns_of(draft.activation(key)));
    rope.outputs = {q, key};
    rope.spec.rope = RopeSpec{.head_dim = config.head_dim,
                              .rotary_dim = rope_dim,
                              .theta = config.settings.rope_theta,
                              .position_scale = config.settings.rope_position_scale,
                              .interleaved = config.settings.rope_interleaved};
    draft.block.ops.push_back(std::move(rope));

    OpSpec spec;
    spec.attention = AttentionSpec{.heads = config.heads,
                                   .kv_heads = config.heads,
                                   .head_dim = config.head_dim,
                                   .v_head_dim = config.v_head_dim,
                                   .scale = 1 / std::sqrt(static_cast<double>(config.head_dim)),
                                   .latent_width = config.kv_lora_rank + rope_dim,
                                   .latent_rope = rope_dim};
    const Columns mixed{width_of(config, config.heads, config.v_head_dim), Axis::heads,
                        config.v_head_dim};
    const int out =
        add_op(draft, OpKind::attention, prefix + "attention", {q, key, expanded}, {}, mixed, spec);
    return add_linear(draft, prefix + config.modules.o, out, {config.hidden, Axis::hidden},
                      config.settings.out_bias);
}

}  // namespace tplan
