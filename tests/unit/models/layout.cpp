#include "models/layout.h"

#include "tests/support/catch.h"

using namespace tplan;

namespace {

std::vector<std::int64_t> extents(const Split& split, std::int64_t n) {
    std::vector<std::int64_t> all;
    for (int rank = 0; rank < split.parts; ++rank) all.push_back(local_extent(split, n, rank));
    return all;
}

}  // namespace

TEST_CASE("layout: a whole split gives every rank all of it") {
    const Split split{.kind = SplitKind::whole, .parts = 3};
    CHECK(extents(split, 7) == std::vector<std::int64_t>{7, 7, 7});
    CHECK(slices(split, 7, 2) == std::vector<Slice>{{0, 7}});
}

TEST_CASE("layout: a chunk split has a short tail and then empty ranks") {
    CHECK(extents({.kind = SplitKind::chunk, .parts = 3}, 16) ==
          std::vector<std::int64_t>{6, 6, 4});
    const Split many{.kind = SplitKind::chunk, .parts = 14};
    CHECK(local_extent(many, 16, 7) == 2);
    CHECK(local_extent(many, 16, 8) == 0);
    CHECK(slices(many, 16, 13).empty());
}

TEST_CASE("layout: a packed split cuts each half and loses its tail") {
    const Split split{.kind = SplitKind::packed, .parts = 3};
    // halves of 8: 2 rows per rank and half, the last 2 of each half lost
    CHECK(slices(split, 16, 1) == std::vector<Slice>{{2, 2}, {10, 2}});
    CHECK(extents(split, 16) == std::vector<std::int64_t>{4, 4, 4});
}

TEST_CASE("layout: a grouped split keeps groups whole and copies them past their number") {
    const Split uneven{.kind = SplitKind::grouped, .parts = 3, .unit = 4};
    CHECK(extents(uneven, 32) == std::vector<std::int64_t>{12, 12, 8});
    const Split copied{.kind = SplitKind::grouped, .parts = 4, .unit = 4};
    CHECK(slices(copied, 8, 1) == std::vector<Slice>{{0, 4}});
    CHECK(slices(copied, 8, 2) == std::vector<Slice>{{4, 4}});
}

TEST_CASE("layout: rank 0 holds as much as any rank") {
    for (const auto kind : {SplitKind::whole, SplitKind::chunk, SplitKind::packed}) {
        for (int parts = 1; parts < 9; ++parts) {
            const Split split{.kind = kind, .parts = parts};
            for (const auto extent : extents(split, 24)) {
                CHECK(extent <= largest_extent(split, 24));
            }
        }
    }
}

TEST_CASE("layout: a balanced split shares whole units, the first ranks taking the odd ones") {
    // 7 units of 16 over 3 ranks: 3, 2, 2
    const Split split{.kind = SplitKind::balanced, .parts = 3, .unit = 16};
    CHECK(extents(split, 112) == std::vector<std::int64_t>{48, 32, 32});
    CHECK(slices(split, 112, 1) == std::vector<Slice>{{48, 32}});
    // the last unit may be short, and ranks past the units have nothing
    CHECK(extents(split, 100) == std::vector<std::int64_t>{48, 32, 20});
    CHECK(extents({.kind = SplitKind::balanced, .parts = 3, .unit = 16}, 32) ==
          std::vector<std::int64_t>{16, 16, 0});
}

TEST_CASE("layout: KV heads are copied where the boundary of the query heads crosses them") {
    // 8 query heads over 3 ranks: 0-2, 3-5, 6-7; 2 KV heads of 4 query heads each
    const Split split{.kind = SplitKind::covering, .parts = 3, .blocks = 4, .unit = 16};
    CHECK(slices(split, 32, 0) == std::vector<Slice>{{0, 16}});
    CHECK(slices(split, 32, 1) == std::vector<Slice>{{0, 16}, {16, 16}});
    CHECK(slices(split, 32, 2) == std::vector<Slice>{{16, 16}});
    CHECK(largest_extent(split, 32) == 32);
    // more ranks than query heads
    CHECK(slices({.kind = SplitKind::covering, .parts = 3, .blocks = 2, .unit = 4}, 4, 2).empty());
}

TEST_CASE("layout: q, k and v in one dimension are cut each by its heads") {
    // [4 q | 2 k | 2 v] heads of 10 over 3 ranks: q 0-1, 2, 3; k and v 0, 1, 1
    const Split split{.kind = SplitKind::qkv, .parts = 3, .blocks = 2, .unit = 10};
    CHECK(slices(split, 80, 0) == std::vector<Slice>{{0, 20}, {40, 10}, {60, 10}});
    CHECK(slices(split, 80, 1) == std::vector<Slice>{{20, 10}, {50, 10}, {70, 10}});
    CHECK(slices(split, 80, 2) == std::vector<Slice>{{30, 10}, {50, 10}, {70, 10}});
    CHECK(largest_extent(split, 80) == 40);
}

TEST_CASE("layout: packed halves balanced by a unit lose nothing") {
    // halves of 40 in units of 16 (16, 16, 8) over 2 ranks: 32 and 8 of each
    const Split split{.kind = SplitKind::packed, .parts = 2, .unit = 16};
    CHECK(slices(split, 80, 0) == std::vector<Slice>{{0, 32}, {40, 32}});
    CHECK(slices(split, 80, 1) == std::vector<Slice>{{32, 8}, {72, 8}});
}

TEST_CASE("layout: a token split has whole columns") {
    const auto layout = Layout::tokens(4);
    CHECK(layout.splits_rows());
    CHECK_FALSE(layout.splits_columns());
    CHECK(largest_width(layout, 64) == 64);
    CHECK(largest_width(Layout::columns({.kind = SplitKind::chunk, .dim = 1, .parts = 4}), 64) ==
          16);
}
