#include <cmath>

#include "models/build_block.h"

namespace tplan {
namespace {

struct QueryKeyValue {
    int q, k, v;
};

double score_scale(const ModelConfig& config) {
    const auto& settings = config.settings;
    if (settings.attention_multiplier > 0) return settings.attention_multiplier;
    const double dim =
        settings.query_scalar > 0 ? settings.query_scalar : static_cast<double>(config.head_dim);
    return 1 / std::sqrt(dim);
}

AttentionSpec attention_spec(const ModelConfig& config, const LayerTraits& layer) {
    return {.heads = config.heads,
            .kv_heads = config.kv_heads,
            .head_dim = config.head_dim,
            .v_head_dim = config.head_dim,
            .scale = score_scale(config),
            .window = layer.sliding ? config.settings.window : 0,
            .softcap = config.settings.attention_softcap,
            .sinks = config.traits.sinks,
            .latent_width = 0};
}

/// q, k and v, each by its own projection.
QueryKeyValue project(BlockDraft& draft, int input) {
    const auto& config = draft.config;
    const auto& names = config.modules;
    const auto dim = config.head_dim;
    const bool bias = config.settings.qkv_bias;
    const Columns q{width_of(config, config.heads, dim), Axis::heads, dim};
    const Columns kv{width_of(config, config.kv_heads, dim), Axis::kv_heads, dim};
    const auto prefix = names.attention + ".";
    QueryKeyValue out{};
    out.q = add_linear(draft, prefix + names.q, input, q, bias);
    out.k = add_linear(draft, prefix + names.k, input, kv, bias);
    out.v = add_linear(draft, prefix + names.v, input, kv, bias);
    return out;
}

/// q, k and v from one fused projection.
QueryKeyValue project_packed(BlockDraft& draft, const AttentionSpec& spec, int input) {
    const auto& config = draft.config;
    const auto dim = config.head_dim;
    const auto prefix = config.modules.attention + ".";
    const Columns all{width_of(config, config.heads + 2 * config.kv_heads, dim), Axis::qkv, dim};
    const int qkv =
        add_linear(draft, prefix + config.modules.qkv, input, all, config.settings.qkv_bias);

    const Columns q{config.heads * dim, Axis::heads, dim};
    const Columns kv{config.kv_heads * dim, Axis::kv_heads, dim};
    Op unpack{.kind = OpKind::unpack_qkv, .name = prefix + "unpack_qkv", .inputs = {qkv}};
    const QueryKeyValue out{add_activation(draft, prefix + "q", Rows::tokens, q),
                            add_activation(draft, prefix + "k", Rows::tokens, kv),
                            add_activation(draft, prefix + "v", Rows::tokens, kv)};
    unpack.outputs = {out.q, out.k, out.v};
    unpack.spec.attention = spec;
    unpack.spec.packing = config.traits.qkv_packing;
    draft.block.ops.push_back(std::move(unpack));
    return out;
}

/// The family's norm of q or k, before the rotation.
int add_head_norm(BlockDraft& draft, const std::string& module, int input) {
    const auto& config = draft.config;
    const auto& traits = config.traits;
    const auto columns = columns_of(draft.activation(input));
    const auto dim = config.head_dim;
    NormSpec norm{.kind = traits.qk_norm_kind,
                  .eps = config.settings.norm_eps,
                  .unit_offset = traits.qk_norm_unit_offset,
                  .group = dim};
    Tensor weight{.name = module + ".weight", .dtype = config.dtype};
    switch (traits.qk_norm) {
        case QkNorm::none:
            return input;
        case QkNorm::per_head:
            weight.shape = {dim};
            weight.axes = {Axis::head_dim};
            break;
        case QkNorm::per_head_weights:
            weight.shape = {columns.width / dim, dim};
            weight.axes = {columns.axis, Axis::head_dim};
            norm.weight_per_group = true;
            break;
        case QkNorm::full_width:
            weight.shape = {columns.width};
            weight.axes = {columns.axis};
            norm.group = 0;
            break;
    }
    std::vector<int> weights{add_tensor(draft, weight)};
    if (traits.qk_norm_bias) {
        weight.name = module + ".bias";
        weights.push_back(add_tensor(draft, weight));
    }
    OpSpec spec;
    spec.norm = norm;
    return add_op(draft, OpKind::norm, module, {input}, std::move(weights), columns, spec);
}

RopeSpec rope_spec(const ModelConfig& config, const LayerTraits& layer) {
    const auto& settings = config.settings;
    RopeSpec rope{.head_dim = config.head_dim,
                  .rotary_dim = static_cast<std::int64_t>(static_cast<double>(config.head_dim) *
                                                          settings.rotary_fraction),
                  .theta = settings.rope_theta,
                  .position_scale = settings.rope_position_scale,
                  .interleaved = settings.rope_interleaved};
    if (layer.sliding && settings.rope_local_theta > 0) {
        rope.theta = settings.rope_local_theta;
        rope.position_scale = 1;
    }
    if (rope.rotary_dim < 2 || rope.rotary_dim % 2 != 0) {
        const auto* text = config.umbrella.empty() ? "/head_dim" : "/text_config/head_dim";
        throw Error(config.source + text,
                    fmt::format("{} rotated dimensions of {}: an even number above 0 is needed",
                                rope.rotary_dim, config.head_dim));
    }
    return rope;
}

void add_rope(BlockDraft& draft, const RopeSpec& rope, int& q, int& k) {
    const auto prefix = draft.config.modules.attention + ".";
    Op op{.kind = OpKind::rope, .name = prefix + "rope", .inputs = {q, k}};
    q = add_activation(draft, prefix + "q_rotated", Rows::tokens, columns_of(draft.activation(q)));
    k = add_activation(draft, prefix + "k_rotated", Rows::tokens, columns_of(draft.activation(k)));
    op.outputs = {q, k};
    op.spec.rope = rope;
    draft.block.ops.push_back(std::move(op));
}

}  // namespace

int build_attention(BlockDraft& draft, const LayerTraits& layer, int input) {
    const auto& config = draft.config;
    const auto& names = config.modules;
    const auto prefix = names.attention + ".";
    const auto spec = attention_spec(config, layer);

    auto qkv = names.qkv.empty() ? project(draft, input) : project_packed(draft, spec, input);
    if (config.settings.qk_norm && config.traits.qk_norm != QkNorm::none) {
        qkv.q = add_head_norm(draft, prefix + names.q_norm, qkv.q);
        qkv.k = add_head_norm(draft, prefix + names.k_norm, qkv.k);
    }
    if (config.traits.rotary) add_rope(draft, rope_spec(config, layer), qkv.q, qkv.k);

    std::vector<int> weights;
    if (spec.sinks) {
        weights.push_back(add_tensor(draft, {.name = prefix + "sinks",
                                             .shape = {config.heads},
                                             .axes = {Axis::heads},
                                             .dtype = config.dtype}));
    }
    OpSpec op;
    op.attention = spec;
    const int mixed = add_op(draft, OpKind::attention, prefix + "attention", {qkv.q, qkv.k, qkv.v},
                             std::move(weights), columns_of(draft.activation(qkv.q)), op);
    return add_linear(draft, prefix + names.o, mixed, {config.hidden, Axis::hidden},
                      config.settings.out_bias);
}

}  // namespace tplan
