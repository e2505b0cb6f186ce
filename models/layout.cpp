#include "models/layout.h"

#include <algorithm>
#include <cassert>

namespace tplan {

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
            for (int b = 0; b < split.blocks; ++b)
                add(b * block + rank * part, b * block + (rank + 1) * part);
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
    }
    return owned;
}

std::int64_t local_extent(const Split& split, std::int64_t n, int rank) {
    std::int64_t extent = 0;
    for (const auto& slice : slices(split, n, rank)) extent += slice.extent;
    return extent;
}

std::int64_t largest_extent(const Split& split, std::int64_t n) {
    return local_extent(split, n, 0);  // every rule gives rank 0 at least as much as any other
}

}  // namespace tplan
