#include "executor/part.h"

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("a part is cut by rows, by columns or not at all", "[executor]") {
    const auto rows = part_of(Layout::tokens(2).split, 5, 4, 1);  // three rows, then two
    CHECK(rows.rows == std::vector<Slice>{{3, 2}});
    CHECK(rows.columns == std::vector<Slice>{{0, 4}});
    CHECK(rows.elements() == 8);

    const auto columns = part_of({.kind = SplitKind::chunk, .dim = 1, .parts = 2}, 5, 4, 1);
    CHECK(columns.rows == std::vector<Slice>{{0, 5}});
    CHECK(columns.columns == std::vector<Slice>{{2, 2}});
    CHECK(columns.elements() == 10);

    CHECK(part_of({}, 5, 4, 1).elements() == 20);
    CHECK(part_of(Layout::tokens(2).split, 1, 4, 1).elements() == 0);  // no row is left
}

TEST_CASE("what is held and wanted meets where both are", "[executor]") {
    // Held 0..3 and 8..11, wanted 2..9 and 10: 2..3 lies second in what is held and first in what
    // is wanted, 8..9 comes next, 10 is the seventh held and the ninth wanted.
    const std::vector<Slice> held = {{0, 4}, {8, 4}}, wanted = {{2, 8}, {10, 1}};
    CHECK(overlaps(held, wanted) == std::vector<Overlap>{{2, 0, 2}, {4, 6, 2}, {6, 8, 1}});
    CHECK(overlaps(held, {{4, 4}}).empty());
}
