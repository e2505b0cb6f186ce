#include "executor/part.h"

#include <algorithm>

namespace tplan {
namespace {

std::int64_t extent_of(const std::vector<Slice>& slices) {
    std::int64_t sum = 0;
    for (const auto& slice : slices) sum += slice.extent;
    return sum;
}

}  // namespace

std::int64_t Part::row_count() const {
    return extent_of(rows);
}
std::int64_t Part::column_count() const {
    return extent_of(columns);
}

Part whole_part(std::int64_t rows, std::int64_t columns) {
    return {{{0, rows}}, {{0, columns}}};
}

Part part_of(const Split& split, std::int64_t rows, std::int64_t columns, int rank) {
    auto part = whole_part(rows, columns);
    if (split.kind == SplitKind::whole) return part;
    if (split.dim == 0) {
        part.rows = slices(split, rows, rank);
    } else {
        part.columns = slices(split, columns, rank);
    }
    return part;
}

std::vector<Overlap> overlaps(const std::vector<Slice>& held, const std::vector<Slice>& wanted) {
    std::vector<Overlap> found;
    std::int64_t from = 0;
    for (const auto& have : held) {
        std::int64_t to = 0;
        for (const auto& want : wanted) {
            const auto begin = std::max(have.offset, want.offset);
            const auto end = std::min(have.offset + have.extent, want.offset + want.extent);
            if (begin < end)
                found.push_back(
                    {from + begin - have.offset, to + begin - want.offset, end - begin});
            to += want.extent;
        }
        from += have.extent;
    }
    return found;
}

}  // namespace tplan
