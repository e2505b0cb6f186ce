#include "executor/measure.h"

#include <vector>

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("a spread takes clean samples only") {
    const std::vector<TimedSample> samples{
        {Seconds(3), true}, {Seconds(100), false}, {Seconds(1), true}, {Seconds(2), true}};
    const auto spread = spread_of(samples);
    CHECK(spread.median == Seconds(2));
    CHECK(spread.p10.value == Catch::Approx(1.2));
    CHECK(spread.p90.value == Catch::Approx(2.8));
    CHECK(clean_fraction(samples) == 0.75);
}

TEST_CASE("a mean takes clean samples, or all when none is clean") {
    const std::vector<TimedSample> samples{
        {Seconds(1), true}, {Seconds(100), false}, {Seconds(4), true}};
    CHECK(clean_mean(samples) == Seconds(2.5));
    CHECK(clean_mean(std::vector<TimedSample>{{Seconds(3), false}, {Seconds(5), false}}) ==
          Seconds(4));
    CHECK(clean_mean({}) == Seconds(0));
}

TEST_CASE("with fewer than two clean samples a spread takes all") {
    const std::vector<TimedSample> samples{{Seconds(3), true}, {Seconds(5), false}};
    CHECK(spread_of(samples).median == Seconds(4));
    CHECK(spread_of({}).median == Seconds(0));
    CHECK(clean_fraction({}) == 0);
}
