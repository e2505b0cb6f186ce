#pragma once
#include <cstdint>
#include <vector>

#include "models/layout.h"

/// What a rank holds of an activation that is cut by rows or by columns, and where two such parts
/// meet: what collectives move between ranks.

namespace tplan {

/// Rows and columns of an activation, stored side by side in this order.
struct Part {
    std::vector<Slice> rows, columns;
    std::int64_t row_count() const;
    std::int64_t column_count() const;
    std::int64_t elements() const { return row_count() * column_count(); }
};

/// All of [rows, columns].
Part whole_part(std::int64_t rows, std::int64_t columns);

/// What `rank` holds of [rows, columns]: all of it where the split is whole.
Part part_of(const Split& split, std::int64_t rows, std::int64_t columns, int rank);

/// A stretch of one dimension that is both held and wanted, by its place in either.
struct Overlap {
    std::int64_t from = 0, to = 0, extent = 0;
    bool operator==(const Overlap&) const = default;
};

std::vector<Overlap> overlaps(const std::vector<Slice>& held, const std::vector<Slice>& wanted);

}  // namespace tplan
