#include "planner/flow.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace tplan {
namespace {

/// What a rule looks at.
struct Scene {
    const Block& block;
    const Op& op;
    std::span<const Layout> current;
    std::span<const TensorPlan> cuts;

    const Activation& input(std::size_t i) const {
        return block.activations[static_cast<std::size_t>(op.inputs[i])];
    }
    const Activation& output(std::size_t i) const {
        return block.activations[static_cast<std::size_t>(op.outputs[i])];
    }
    /// Cut of the op's weight; whole when it has no such weight.
    Split cut(std::size_t slot) const {
        return slot < op.weights.size() ? cuts[static_cast<std::size_t>(op.weights[slot])].split
                                        : Split{};
    }
};

bool is_split(const Layout& layout) {
    return layout.kind == LayoutKind::split;
}

/// Columns of an activation, cut as dimension `dim` of a weight is.
Layout columns_like(Split split) {
    split.dim = 1;
    return Layout::columns(split);
}

/// Every rank gets and leaves everything: the rule that is always right.
OpFlow all_replicated(const Scene& scene) {
    return {std::vector<Layout>(scene.op.inputs.size(), Layout::replicated()),
            std::vector<Layout>(scene.op.outputs.size(), Layout::replicated())};
}

/// Does the cut fall between groups of `unit` columns on every rank?
bool keeps_groups(const Layout& layout, std::int64_t width, std::int64_t unit) {
    for (int rank = 0; rank < layout.split.parts; ++rank) {
        for (const auto& slice : slices(layout.split, width, rank)) {
            if (slice.offset % unit != 0 || slice.extent % unit != 0) return false;
        }
    }
    return true;
}

OpFlow flow_embedding(const Scene& scene) {
    auto flow = all_replicated(scene);
    const auto table = scene.cut(0);
    if (table.kind == SplitKind::whole) return flow;
    flow.outputs[0] = table.dim == 0 ? Layout::partial() : columns_like(table);
    return flow;
}

OpFlow flow_linear(const Scene& scene) {
    auto flow = all_replicated(scene);
    const auto weight = scene.cut(0);
    if (weight.kind == SplitKind::whole) return flow;
    const bool output = (weight.dim == 0) != scene.op.spec.transposed;
    if (output) {
        flow.outputs[0] = columns_like(weight);
    } else {
        flow.inputs[0] = columns_like(weight);
        flow.outputs[0] = Layout::partial();
    }
    return flow;
}

OpFlow flow_experts(const Scene& scene) {
    auto flow = all_replicated(scene);
    if (scene.cut(0).kind != SplitKind::whole) flow.outputs[0] = Layout::partial();
    return flow;
}

/// A norm over all columns needs all of them; one over each head runs on the own heads, unless the
/// heads have weights of their own, which no plan cuts.
OpFlow flow_norm(const Scene& scene) {
    const auto& norm = *scene.op.spec.norm;
    const auto& in = scene.current[0];
    const bool own = is_split(in) && norm.group > 0 && !norm.weight_per_group &&
                     keeps_groups(in, scene.input(0).width, norm.group);
    if (!own) return all_replicated(scene);
    return {{in}, {in}};
}

/// Column by column: every input cut alike, or all replicated.
OpFlow flow_columnwise(const Scene& scene) {
    const auto& first = scene.current[0];
    const bool alike = std::all_of(scene.current.begin(), scene.current.end(),
                                   [&](const Layout& layout) { return layout == first; });
    if (!alike || !is_split(first)) return all_replicated(scene);
    return {{scene.current.begin(), scene.current.end()},
            std::vector<Layout>(scene.op.outputs.size(), first)};
}

/// Gate and up lie in one input as two halves: the ranks need matching parts of both.
OpFlow flow_activation(const Scene& scene) {
    const bool halves =
        scene.op.inputs.size() == 1 && scene.input(0).width == 2 * scene.output(0).width;
    if (!halves) return flow_columnwise(scene);
    const auto& in = scene.current[0];
    if (!is_split(in) || in.split.kind != SplitKind::packed) return all_replicated(scene);
    return {{in}, {columns_like({.kind = SplitKind::chunk, .dim = 1, .parts = in.split.parts})}};
}

/// The gate is one column per row, which every rank needs.
OpFlow flow_multiply(const Scene& scene) {
    auto flow = all_replicated(scene);
    if (is_split(scene.current[0])) flow.inputs[0] = flow.outputs[0] = scene.current[0];
    return flow;
}

/// q and k are rotated head by head, each as it stands.
OpFlow flow_rope(const Scene& scene) {
    auto flow = all_replicated(scene);
    for (std::size_t i = 0; i < flow.inputs.size(); ++i) {
        const auto& in = scene.current[i];
        if (is_split(in) && keeps_groups(in, scene.input(i).width, scene.input(i).unit))
            flow.inputs[i] = flow.outputs[i] = in;
    }
    return flow;
}

/// A plain cut of a fused projection holds whole heads when q, k and v lie together per head or per
/// KV group; [Q|K|V] does not.
OpFlow flow_unpack(const Scene& scene) {
    const auto& in = scene.current[0];
    const auto& spec = *scene.op.spec.attention;
    const auto packing = scene.op.spec.packing.value_or(QkvPacking::concat);
    const auto groups = packing == QkvPacking::per_head ? spec.heads : spec.kv_heads;
    const bool whole = is_split(in) && in.split.kind == SplitKind::chunk &&
                       packing != QkvPacking::concat && groups % in.split.parts == 0;
    if (!whole) return all_replicated(scene);
    return {{in}, std::vector<Layout>(scene.op.outputs.size(), in)};
}

/// Every rank attends with its own query heads, if it also holds the KV heads they read.
OpFlow flow_attention(const Scene& scene) {
    const auto& spec = *scene.op.spec.attention;
    const bool latent = spec.latent_width > 0;
    const auto& q = scene.current[0];
    const auto& k = scene.current[1];
    const auto& v = scene.current[2];
    const auto parts = q.split.parts;
    const bool heads = is_split(q) && is_split(v) && spec.heads % parts == 0 &&
                       v.split.parts == parts && (latent ? q == v : k == v);
    const bool whole_groups = latent || spec.kv_heads % parts == 0 ||
                              (v.split.kind == SplitKind::grouped && parts % spec.kv_heads == 0);
    const bool sinks = scene.op.weights.empty() || scene.cut(0).parts == parts;
    if (!heads || !whole_groups || !sinks) return all_replicated(scene);
    return {{q, latent ? Layout::replicated() : k, v}, {q}};
}

/// Every rank compares its own columns and leaves its own candidates; the best of those is among
/// all of them.
OpFlow flow_largest(const Scene& scene) {
    auto flow = all_replicated(scene);
    const auto& in = scene.current[0];
    if (scene.op.spec.largest->of_pairs || !in.splits_columns()) return flow;
    flow.inputs[0] = in;
    flow.outputs[0] = columns_like({.kind = SplitKind::chunk, .parts = in.split.parts});
    return flow;
}

struct FlowRow {
    OpKind kind;
    OpFlow (*rule)(const Scene&);
};
constexpr std::array kFlows = {
    FlowRow{OpKind::embedding, flow_embedding},
    FlowRow{OpKind::position_embedding, all_replicated},
    FlowRow{OpKind::linear, flow_linear},
    FlowRow{OpKind::norm, flow_norm},
    FlowRow{OpKind::add, flow_columnwise},
    FlowRow{OpKind::add_norm, all_replicated},
    FlowRow{OpKind::rope, flow_rope},
    FlowRow{OpKind::unpack_qkv, flow_unpack},
    FlowRow{OpKind::attention, flow_attention},
    FlowRow{OpKind::activation, flow_activation},
    FlowRow{OpKind::multiply, flow_multiply},
    FlowRow{OpKind::select_last, flow_columnwise},
    FlowRow{OpKind::scale, flow_columnwise},
    FlowRow{OpKind::split_columns, all_replicated},
    FlowRow{OpKind::moe_router, all_replicated},
    FlowRow{OpKind::moe_experts, flow_experts},
    FlowRow{OpKind::largest, flow_largest},
};
static_assert(kFlows.size() == static_cast<std::size_t>(OpKind::all_reduce),
              "one row per compute kind, in the order of the enumerators");

}  // namespace

OpFlow flow(const Block& block, const Op& op, std::span<const Layout> current,
            std::span<const TensorPlan> cuts) {
    assert(!is_collective(op.kind) && op.kind != OpKind::slice);
    const auto& row = kFlows[static_cast<std::size_t>(op.kind)];
    assert(row.kind == op.kind);
    return row.rule({block, op, current, cuts});
}

}  // namespace tplan
