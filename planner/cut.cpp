#include "planner/cut.h"

#include <fmt/format.h>

#include <algorithm>

namespace tplan {
namespace {

Cut refuse(std::string why) {
    return {.split = {}, .problem = std::move(why), .note = {}};
}

Cut accept(Split split) {
    return {.split = split, .problem = {}, .note = {}};
}

Split chunk(int dim, int parts) {
    return {.kind = SplitKind::chunk, .dim = dim, .parts = parts};
}

Split packed(int dim, int parts) {
    return {.kind = SplitKind::packed, .dim = dim, .parts = parts, .blocks = 2};
}

/// Does the output hold [Q|K|V], so that a plain cut would give one rank queries and another
/// values?
bool mixes_qkv(const Block& block, int output) {
    return std::any_of(block.ops.begin(), block.ops.end(), [&](const Op& op) {
        return op.kind == OpKind::unpack_qkv && op.inputs[0] == output &&
               op.spec.packing.value_or(QkvPacking::concat) == QkvPacking::concat;
    });
}

/// The cut of a linear's output dimension, `dim` of the parameter.
Cut cut_output(const Style& style, const WeightPlace& place, int dim, int parts, bool copy_kv) {
    const auto& out = place.block->activations[static_cast<std::size_t>(place.op->outputs[0])];
    const bool gathered = style.output == LayoutKind::replicated;
    const bool halves = place.tensor->packed_halves == 2;
    if (style.packed && !halves) return refuse("its weight is not packed in halves");
    if (!style.packed && !gathered && halves)
        return refuse(
            "its weight is gate over up, and a plain cut would mix the two; a packed style cuts "
            "each half");
    if (!gathered && mixes_qkv(*place.block, place.op->outputs[0])) {
        return refuse(
            "its rows are all queries, then keys, then values, and a plain cut would mix them; "
            "a style that gathers its output has them whole again");
    }
    if (style.packed) return accept(packed(dim, parts));
    if (copy_kv && !gathered && out.axis == Axis::kv_heads) {
        return accept({.kind = SplitKind::grouped,
                       .dim = dim,
                       .parts = parts,
                       .blocks = 2,
                       .unit = out.unit});
    }
    return accept(chunk(dim, parts));
}

Cut cut_linear(const Style& style, const WeightPlace& place, int parts, bool copy_kv) {
    const bool bias = place.slot == 1;
    const int out_dim = !bias && place.op->spec.transposed ? 1 : 0;
    if (cuts_output(style)) {
        if (bias && style.bias != BiasRule::split) return accept({});
        auto cut = cut_output(style, place, out_dim, parts, copy_kv);
        if (bias && style.packed && cut.problem.empty()) {
            cut.note =
                "transformers cuts the bias of a packed weight plainly; tplan cuts its halves "
                "as those of the weight";
        }
        return cut;
    }
    if (cuts_input(style) && !style.packed)
        return bias ? accept({}) : accept(chunk(1 - out_dim, parts));
    return refuse("a linear layer cannot carry it");
}

Cut cut_embedding(const Style& style, const WeightPlace& place, int parts) {
    if (place.op->kind != OpKind::embedding || !cuts_table(style))
        return refuse("an embedding cannot carry it");
    return accept(chunk(*style.weight_dim.value, parts));
}

/// Experts are cut along their inner width wherever it lies ([experts, out, in] or the reverse), or
/// by whole experts.
Cut cut_experts(const Style& style, const WeightPlace& place, int parts) {
    const auto& tensor = *place.tensor;
    if (style.expert_parallel) return accept(chunk(0, parts));
    if (place.slot > 1) {
        return refuse("biases of experts can be cut by whole experts only");
    }
    const auto inner = std::find(tensor.axes.begin(), tensor.axes.end(), Axis::ffn);
    if (inner == tensor.axes.end()) return refuse("it has no inner width to cut");
    const int dim = static_cast<int>(inner - tensor.axes.begin());
    if (style.packed != (tensor.packed_halves == 2)) {
        return refuse(style.packed ? "its weight is not packed in halves"
                                   : "its weight is gate over up; a packed style cuts each half");
    }
    return accept(style.packed ? packed(dim, parts) : chunk(dim, parts));
}

/// Learned sinks: one value per head.
Cut cut_sinks(const Style& style, int parts) {
    if (!cuts_output(style) || style.packed) return refuse("attention sinks are cut by heads only");
    return accept(chunk(0, parts));
}

bool is_cut(const TensorPlan& plan) {
    return plan.split.kind != SplitKind::whole;
}

/// Weights of experts are [experts, ..].
bool is_cut_by_experts(const TensorPlan& plan) {
    return is_cut(plan) && plan.split.dim == 0;
}

std::string experts_problem(const Op& op, const Style* style, const std::vector<TensorPlan>& cut) {
    const auto plan_of = [&](std::size_t slot) {
        return cut[static_cast<std::size_t>(op.weights[slot])];
    };
    const bool any = std::any_of(op.weights.begin(), op.weights.end(), [&](int tensor) {
        return is_cut(cut[static_cast<std::size_t>(tensor)]);
    });
    const bool by_experts = is_cut_by_experts(plan_of(0));
    for (std::size_t slot = 0; slot < op.weights.size(); ++slot) {
        const bool same =
            slot < 2 ? is_cut(plan_of(slot)) == any : is_cut(plan_of(slot)) == by_experts;
        const bool kind = !is_cut(plan_of(slot)) || is_cut_by_experts(plan_of(slot)) == by_experts;
        if (!same || !kind) return "its weights are cut in ways that do not fit together";
    }
    if (any && !by_experts && op.weights.size() > 2) {
        return "its down projection has a bias, which would be added once per rank";
    }
    if (!any && style && style->result == LayoutKind::partial)
        return "its weights are whole, so that the sum would count every rank's equal copy";
    return {};
}

}  // namespace

Cut cut_weight(const Style& style, const WeightPlace& place, int parts, bool copy_kv_heads) {
    if (!style.weight_dim.value || parts == 1) return accept({});
    switch (place.op->kind) {
        case OpKind::linear:
            return cut_linear(style, place, parts, copy_kv_heads);
        case OpKind::embedding:
        case OpKind::position_embedding:
            return cut_embedding(style, place, parts);
        case OpKind::moe_experts:
            return cut_experts(style, place, parts);
        case OpKind::attention:
            return cut_sinks(style, parts);
        default:
            return refuse(fmt::format("{} cannot carry it", name_of(place.op->kind)));
    }
}

Split scales_split(const Split& weight, const Tensor& scaled, const Tensor& scales) {
    auto split = weight;
    const auto of_weight = static_cast<std::size_t>(weight.dim);
    const auto left_out = scaled.shape.size() - scales.shape.size();
    if (of_weight < left_out) return {};
    const auto dim = of_weight - left_out;
    split.dim = static_cast<int>(dim);
    const bool units = weight.kind == SplitKind::grouped || weight.kind == SplitKind::balanced ||
                       weight.kind == SplitKind::covering || weight.kind == SplitKind::qkv ||
                       (weight.kind == SplitKind::packed && weight.unit > 1);
    if (units) {
        const auto first = scaled.shape.size() - 2;
        const bool blocks = of_weight >= first && scales.shape[dim] != scaled.shape[of_weight];
        const auto block = blocks ? scaled.quant_block[of_weight - first] : 1;
        split.unit = std::max<std::int64_t>(1, weight.unit / std::max<std::int64_t>(1, block));
    }
    // A dimension stays whole when there is nothing to cut, and when its entries serve columns that
    // lie anywhere in the weight.
    if (scales.shape[dim] == 1 || scales.axes[dim] == Axis::other) return {};
    return split;
}

void cut_scales(const Block& block, int weight, std::vector<TensorPlan>& cuts) {
    const auto& cut = cuts[static_cast<std::size_t>(weight)];
    each_scale(block, weight, [&](int scales) {
        const auto& scaled = block.tensors[static_cast<std::size_t>(weight)];
        const auto index = static_cast<std::size_t>(scales);
        cuts[index] = {cut.style, {}};
        if (cut.split.kind != SplitKind::whole)
            cuts[index].split = scales_split(cut.split, scaled, block.tensors[index]);
    });
}

void cut_scales(const Block& block, std::vector<TensorPlan>& cuts) {
    for (std::size_t i = 0; i < block.tensors.size(); ++i)
        cut_scales(block, static_cast<int>(i), cuts);
}

std::string op_problem(const Op& op, const Style* style, const std::vector<TensorPlan>& cut) {
    if (style && style->refused) return *style->refused;
    if (op.kind == OpKind::moe_experts) return experts_problem(op, style, cut);
    return {};
}

}  // namespace tplan
