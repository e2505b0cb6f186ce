#include "models/build_block.h"

namespace tplan {
namespace {

/// A dense MLP of `width` under `module`, gated or plain.
int build_dense(BlockDraft& draft, const std::string& module, std::int64_t width, int input) {
    const auto& names = draft.config.modules;
    const bool bias = draft.config.settings.mlp_bias;
    const Columns inner{width, Axis::ffn};
    const auto prefix = module + ".";
    std::vector<int> inputs;
    if (!draft.config.traits.gated) {
        inputs = {add_linear(draft, prefix + names.up, input, inner, bias)};
    } else if (!names.gate_up.empty()) {
        const Columns both{width_of(draft.config, 2, width), Axis::ffn};
        inputs = {add_linear(draft, prefix + names.gate_up, input, both, bias, 2)};
    } else {
        inputs = {add_linear(draft, prefix + names.gate, input, inner, bias),
                  add_linear(draft, prefix + names.up, input, inner, bias)};
    }
    OpSpec spec;
    spec.activation = draft.config.settings.activation;
    const int act =
        add_op(draft, OpKind::activation, prefix + "act", std::move(inputs), {}, inner, spec);
    return add_linear(draft, prefix + names.down, act, {draft.config.hidden, Axis::hidden}, bias);
}

MoeSpec moe_spec(const ModelConfig& config) {
    return {.experts = config.experts,
            .top_k = config.experts_per_token,
            .hidden = config.hidden,
            .ffn = config.moe_ffn,
            .gated = true,
            .activation = config.traits.clamped_swiglu ? ActivationKind::clamped_swiglu
                                                       : config.settings.activation};
}

/// The packed weight of all experts, [experts, out, in] (or [experts, in, out]). Only the former
/// holds gate over up; gpt_oss interleaves them column by column.
int add_expert_weight(BlockDraft& draft, const std::string& module, const Columns& out,
                      const Columns& in, bool gate_over_up) {
    const auto& config = draft.config;
    Tensor weight{.name = module,
                  .shape = {config.experts, out.width, in.width},
                  .axes = {Axis::experts, out.axis, in.axis},
                  .dtype = config.dtype};
    if (config.quant_method == "mxfp4" && is_quantised(draft, module)) weight.dtype = DType::mxfp4;
    if (config.traits.experts_in_out) {
        std::swap(weight.shape[1], weight.shape[2]);
        std::swap(weight.axes[1], weight.axes[2]);
    } else if (gate_over_up) {
        weight.packed_halves = 2;
    }
    const int added = add_tensor(draft, std::move(weight));
    add_scales(draft, module, added);
    return added;
}

int add_expert_bias(BlockDraft& draft, const std::string& module, const Columns& out) {
    return add_tensor(draft, {.name = module + "_bias",
                              .shape = {draft.config.experts, out.width},
                              .axes = {Axis::experts, out.axis},
                              .dtype = draft.config.dtype});
}

int build_router(BlockDraft& draft, OpSpec spec, int input) {
    const auto& config = draft.config;
    const auto module = config.modules.mlp + "." + config.modules.router;
    const Columns out{config.experts, Axis::experts};
    std::vector<int> weights{add_tensor(draft, {.name = module + ".weight",
                                                .shape = {config.experts, config.hidden},
                                                .axes = {Axis::experts, Axis::hidden},
                                                .dtype = config.dtype})};
    if (config.traits.expert_bias) {
        weights.push_back(add_tensor(draft, {.name = module + ".bias",
                                             .shape = {config.experts},
                                             .axes = {Axis::experts},
                                             .dtype = config.dtype}));
    } else if (config.traits.router_correction) {
        weights.push_back(add_tensor(draft, {.name = module + ".e_score_correction_bias",
                                             .shape = {config.experts},
                                             .axes = {Axis::experts},
                                             .dtype = DType::fp32,
                                             .buffer = true}));
    }
    spec.routing = config.settings.routing;
    return add_op(draft, OpKind::moe_router, module, {input}, std::move(weights), out, spec);
}

int build_experts(BlockDraft& draft, int input) {
    const auto& config = draft.config;
    const Columns hidden{config.hidden, Axis::hidden};
    const Columns inner{config.moe_ffn, Axis::ffn};
    const Columns both{width_of(config, 2, config.moe_ffn), Axis::ffn};
    const auto module = config.modules.mlp + "." + config.modules.experts;
    OpSpec spec;
    spec.moe = moe_spec(config);
    const int router = build_router(draft, spec, input);
    spec.transposed = config.traits.experts_in_out;

    std::vector<int> weights{add_expert_weight(draft, module + ".gate_up_proj", both, hidden, true),
                             add_expert_weight(draft, module + ".down_proj", hidden, inner, false)};
    if (config.traits.expert_bias) {
        weights.push_back(add_expert_bias(draft, module + ".gate_up_proj", both));
        weights.push_back(add_expert_bias(draft, module + ".down_proj", hidden));
    }
    return add_op(draft, OpKind::moe_experts, module, {input, router}, std::move(weights), hidden,
                  spec);
}

/// The experts every token visits, and their gate where the family has one.
int build_shared(BlockDraft& draft, int input) {
    const auto& config = draft.config;
    const auto& names = config.modules;
    const auto prefix = names.mlp + ".";
    const int shared = build_dense(draft, prefix + names.shared, config.shared_ffn, input);
    if (names.shared_gate.empty()) return shared;
    const int gate = add_linear(draft, prefix + names.shared_gate, input, {1, Axis::other}, false);
    return add_op(draft, OpKind::multiply, prefix + "gate_shared", {shared, gate}, {},
                  columns_of(draft.activation(shared)));
}

}  // namespace

int build_mlp(BlockDraft& draft, const LayerTraits& layer, int input) {
    const auto& config = draft.config;
    if (!layer.sparse) return build_dense(draft, config.modules.mlp, config.ffn, input);
    const int routed = build_experts(draft, input);
    if (config.shared_ffn == 0) return routed;
    const int shared = build_shared(draft, input);
    return add_op(draft, OpKind::add, config.modules.mlp + ".add_shared", {routed, shared}, {},
                  columns_of(draft.activation(routed)));
}

}  // namespace tplan
