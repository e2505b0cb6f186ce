#include "planner/column_cut.h"

#include <algorithm>

namespace tplan {
namespace {

/// Tensor cores take 16 columns at a time.
constexpr std::int64_t kAlignment = 16;

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

/// What columns of this axis must be whole multiples of, for the block's quantised weights: rows
/// under one scale where products make them, columns under one scale where products take them. 1
/// without any.
std::int64_t quant_block_of(const Block& block, Axis axis) {
    std::int64_t largest = 1;
    const auto of_axis = [&](const std::vector<int>& activations) {
        return std::ranges::any_of(activations,
                                   [&](int i) { return block.activations[at(i)].axis == axis; });
    };
    for (const auto& op : block.ops) {
        const bool made = of_axis(op.outputs), taken = of_axis(op.inputs);
        for (const int weight : op.weights) {
            const auto& covered = block.tensors[at(weight)].quant_block;
            if (made) largest = std::max(largest, covered[0]);
            if (taken) largest = std::max(largest, covered[1]);
        }
    }
    return largest;
}

const Op* find_kind(const Block& block, OpKind kind) {
    const auto found = std::find_if(block.ops.begin(), block.ops.end(),
                                    [kind](const Op& op) { return op.kind == kind; });
    return found == block.ops.end() ? nullptr : &*found;
}

/// Over whom columns are cut.
struct Takers {
    int parts;
    std::optional<Shares> shares;  // unequal ones

    bool evenly(std::int64_t units) const { return !shares && units % parts == 0; }
};

Split split_of(SplitKind kind, const Takers& takers, int blocks = 2, std::int64_t unit = 1) {
    return {.kind = kind,
            .dim = 1,
            .parts = takers.parts,
            .blocks = blocks,
            .unit = unit,
            .shares = takers.shares};
}

std::optional<Split> cut_plain(std::int64_t width, const Takers& takers, std::int64_t unit,
                               std::int64_t aligned) {
    if (takers.evenly(width) && width / takers.parts % aligned == 0)
        return split_of(SplitKind::chunk, takers);
    if (width < unit * 2) return std::nullopt;
    return split_of(SplitKind::balanced, takers, 2, unit);
}

std::optional<Split> cut_heads(const Activation& heads, const Takers& takers,
                               std::int64_t aligned) {
    const auto count = heads.width / heads.unit;
    if (takers.evenly(count) && heads.width / takers.parts % aligned == 0)
        return split_of(SplitKind::chunk, takers);
    if (heads.unit % aligned != 0) return std::nullopt;
    return split_of(SplitKind::balanced, takers, 2, heads.unit);
}

std::optional<Split> cut_kv_heads(const Block& block, const Activation& kv, const Takers& takers,
                                  std::int64_t aligned) {
    const auto* attention = find_kind(block, OpKind::attention);
    if (!attention) return std::nullopt;
    const auto& spec = *attention->spec.attention;
    if (takers.evenly(spec.kv_heads) && kv.width / takers.parts % aligned == 0)
        return split_of(SplitKind::chunk, takers);
    if (kv.unit % aligned != 0 || spec.heads % spec.kv_heads != 0) return std::nullopt;
    if (takers.parts % spec.kv_heads == 0 && takers.evenly(spec.heads))
        return split_of(SplitKind::grouped, takers, 2, kv.unit);
    return split_of(SplitKind::covering, takers, static_cast<int>(spec.heads / spec.kv_heads),
                    kv.unit);
}

/// q, k and v in one projection.
std::optional<Split> cut_qkv(const Block& block, const Activation& qkv, const Takers& takers,
                             std::int64_t aligned) {
    const auto* unpack = find_kind(block, OpKind::unpack_qkv);
    if (!unpack) return std::nullopt;
    const auto& spec = *unpack->spec.attention;
    if (spec.heads % spec.kv_heads != 0 || qkv.unit % aligned != 0) return std::nullopt;
    const auto share = static_cast<int>(spec.heads / spec.kv_heads);
    switch (unpack->spec.packing.value_or(QkvPacking::concat)) {
        case QkvPacking::per_head:
            if (takers.evenly(spec.heads)) return split_of(SplitKind::chunk, takers);
            return split_of(SplitKind::balanced, takers, 2, 3 * qkv.unit);
        case QkvPacking::per_kv_group:
            // One group is [Q|K|V].
            if (spec.kv_heads == 1) return split_of(SplitKind::qkv, takers, share, qkv.unit);
            if (takers.evenly(spec.kv_heads)) return split_of(SplitKind::chunk, takers);
            return std::nullopt;
        case QkvPacking::concat:
            return split_of(SplitKind::qkv, takers, share, qkv.unit);
    }
    return std::nullopt;
}

/// Gate over up in one projection?
bool is_packed(const Block& block, int activation) {
    return std::any_of(block.ops.begin(), block.ops.end(), [&](const Op& op) {
        return op.kind == OpKind::linear && op.outputs[0] == activation &&
               block.tensors[at(op.weights[0])].packed_halves == 2;
    });
}

}  // namespace

std::optional<Shares> unequal(const std::optional<Shares>& shares) {
    return shares && shares->first != shares->rest ? shares : std::nullopt;
}

std::optional<Split> column_cut(const Block& block, int activation, int parts,
                                const std::optional<Shares>& shares) {
    const Takers takers{parts, unequal(shares)};
    const auto& what = block.activations[at(activation)];
    const auto aligned = quant_block_of(block, what.axis);
    const auto unit = std::max(kAlignment, aligned);
    switch (what.axis) {
        case Axis::heads:
            return cut_heads(what, takers, aligned);
        case Axis::kv_heads:
            return cut_kv_heads(block, what, takers, aligned);
        case Axis::qkv:
            return cut_qkv(block, what, takers, aligned);
        case Axis::ffn: {
            if (!is_packed(block, activation)) return cut_plain(what.width, takers, unit, aligned);
            auto half = cut_plain(what.width / 2, takers, unit, aligned);
            if (!half) return half;
            return split_of(SplitKind::packed, takers, 2,
                            half->kind == SplitKind::chunk ? 1 : unit);
        }
        case Axis::vocab:
        case Axis::hidden:
            return cut_plain(what.width, takers, unit, aligned);
        case Axis::pairs:  // as many for each rank
            if (what.width % (parts * what.unit) != 0) return std::nullopt;
            return split_of(SplitKind::chunk, {parts, {}});
        default:
            return std::nullopt;
    }
}

}  // namespace tplan
