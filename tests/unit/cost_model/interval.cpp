#include "cost_model/interval.h"

#include <cmath>

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("an interval is even where it is narrow and stays above nothing where it is wide") {
    const auto narrow = interval_around(Seconds(2), Seconds(0.5));
    CHECK(narrow[0].value == Catch::Approx(1.5));
    CHECK(narrow[1].value == Catch::Approx(2.5));
    CHECK(interval_around(Seconds(2), Seconds(1))[0].value == Catch::Approx(1));
    const auto wide = interval_around(Seconds(2), Seconds(4));
    CHECK(wide[0].value == Catch::Approx(0.25));
    CHECK(wide[1].value == Catch::Approx(6));
}

TEST_CASE("half widths of one kind add, those of different kinds in squares, each end for itself") {
    KindSums sums;
    sums.add(CostKind::linear, 10, 0.1);
    sums.add(CostKind::linear, 20, 0.1);  // 3 in all
    sums.add(CostKind::norm, 8, 0.5);     // 4
    const auto narrow = sums.interval(Seconds(38));
    CHECK(narrow[0].value == Catch::Approx(38 - 5));
    CHECK(narrow[1].value == Catch::Approx(38 + 5));
    // 12 s give or take 36 s may be as little as 12^2 / (4 x 36) = 1 s: 11 s less.
    sums.add(CostKind::all_reduce, 12, 3);
    const auto wide = sums.interval(Seconds(50));
    CHECK(wide[0].value == Catch::Approx(50 - std::sqrt(25 + 11 * 11.0)));
    CHECK(wide[1].value == Catch::Approx(50 + std::sqrt(25 + 36 * 36.0)));
}
