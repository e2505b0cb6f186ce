#include "models/layout.h"

#include <algorithm>
#include <cassert>

namespace tplan {
namespace {

/// Shares of the first `rank` ranks together.
std::int64_t shares_before(const Split& split, std::int64_t rank) {
    if (!split.shares) return rank;
    const auto& shares = *split.shares;
    const auto first = std::min<std::int64_t>(rank, shares.ranks);
    return first * shares.first + (rank - first) * shares.rest;
}

/// First of the units that `rank` owns when `units` are balanced over the ranks: earlier ranks get
/// the larger of equal shares.
std::int64_t balanced_begin(const Split& split, std::int64_t units, std::int64_t rank) {
    const auto all = shares_before(split, split.parts);
    return (shares_before(split, rank) * units + all - 1) / all;
}

/// Appends one slice per KV head that serves the rank's share of the query heads.
void add_covering(std::vector<Slice>& owned, const Split& split, std::int64_t offset,
                  std::int64_t kv_heads, std::int64_t rank) {
    const std::int64_t share = split.blocks, heads = kv_heads * share;
    const auto begin = balanced_begin(split, heads, rank);
    const auto end = balanced_begin(split, heads, rank + 1);
    if (begin == end) return;
    for (auto head = begin / share; head <= (end - 1) / share; ++head)
        owned.push_back({offset + head * split.unit, split.unit});
}

}  // namespace

std::vector<Slice> slices(const Split& split, std::int64_t n, int rank) {
    assert(rank >= 0 && rank < std::max(split.parts, 1));
    const auto parts = static_cast<std::int64_t>(split.parts);
    std::vector<Slice> owned;
    const auto add = [&](std::int64_t offset, std::int64_t end) {
        if (end > offset) owned.push_back({offset, end - offset});
    };
    switch (split.kind) {
        case SplitKind::whole:
            add(0, n);
            break;
        case SplitKind::chunk: {
            const auto part = (n + parts - 1) / parts;
            add(std::min(rank * part, n), std::min((rank + 1) * part, n));
            break;
        }
        case SplitKind::packed: {
            const auto block = n / split.blocks;
            const auto part = block / parts;
            const auto units = (block + split.unit - 1) / split.unit;
            const auto edge = [&](int r) {
                if (split.unit == 1) return r * part;
                return std::min(balanced_begin(split, units, r) * split.unit, block);
            };
            for (int b = 0; b < split.blocks; ++b)
                add(b * block + edge(rank), b * block + edge(rank + 1));
            break;
        }
        case SplitKind::grouped: {
            const auto groups = n / split.unit;
            if (groups >= parts) {
                const auto part = (groups + parts - 1) / parts;
                add(std::min(rank * part, groups) * split.unit,
                    std::min((rank + 1) * part, groups) * split.unit);
            } else {
                const auto group = rank * groups / parts;
                add(group * split.unit, (group + 1) * split.unit);
            }
            break;
        }
        case SplitKind::balanced: {
            const auto units = (n + split.unit - 1) / split.unit;
            add(balanced_begin(split, units, rank) * split.unit,
                std::min(balanced_begin(split, units, rank + 1) * split.unit, n));
            break;
        }
        case SplitKind::covering:
            add_covering(owned, split, 0, n / split.unit, rank);
            break;
        case SplitKind::qkv: {
            const auto kv_heads = n / split.unit / (split.blocks + 2);
            const auto heads = kv_heads * split.blocks;
            add(balanced_begin(split, heads, rank) * split.unit,
                balanced_begin(split, heads, rank + 1) * split.unit);
            add_covering(owned, split, heads * split.unit, kv_heads, rank);
            add_covering(owned, split, (heads + kv_heads) * split.unit, kv_heads, rank);
            break;
        }
    }
    return owned;
}

std::int64_t local_extent(const Split& split, std::int64_t n, int rank) {
    std::int64_t extent = 0;
    for (const auto& slice : slices(split, n, rank)) extent += slice.extent;
    return extent;
}

std::int64_t largest_extent(const Split& split, std::int64_t n, RankRange ranks) {
    const bool rank_0_has_most =
        split.kind != SplitKind::covering && split.kind != SplitKind::qkv && !split.shares;
    if (rank_0_has_most && ranks.begin == 0) return local_extent(split, n, 0);
    std::int64_t largest = 0;
    for (int rank = ranks.begin; rank < std::min(ranks.end, split.parts); ++rank)
        largest = std::max(largest, local_extent(split, n, rank));
    return largest;
}

std::int64_t largest_width(const Layout& layout, std::int64_t width, RankRange ranks) {
    return layout.splits_columns() ? largest_extent(layout.split, width, ranks) : width;
}

}  // namespace tplan
