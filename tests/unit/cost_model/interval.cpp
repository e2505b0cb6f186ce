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

TEST_CASE("of errors of one kind the common part adds and each shape's own averages out") {
    constexpr auto kLinear = static_cast<std::size_t>(CostKind::linear);
    const SharedError mostly_own{.common = 0.5};
    KindSums sums;
    sums.add(CostKind::linear, 10, 0.3, mostly_own);  // 3
    CHECK(sums.half_width(kLinear) == Catch::Approx(3));
    sums.add(CostKind::linear, 10, 0.3, mostly_own);
    // Each alone, 3^2 + 3^2 = 18; as one, 6^2 = 36: a quarter of the way.
    CHECK(sums.half_width(kLinear) == Catch::Approx(std::sqrt(0.75 * 18 + 0.25 * 36)));
    CHECK(sums.fraction(kLinear) == Catch::Approx(sums.half_width(kLinear) / 20));
    // Another harness does not average out, however many shapes there are.
    KindSums many;
    for (int i = 0; i < 100; ++i) many.add(CostKind::linear, 1, 0, {.harness = 0.2});
    CHECK(many.half_width(kLinear) == Catch::Approx(20));
    CHECK(many.interval(Seconds(100))[1].value == Catch::Approx(120));
}
