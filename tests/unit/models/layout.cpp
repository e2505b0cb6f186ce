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
