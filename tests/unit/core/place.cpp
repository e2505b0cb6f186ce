#include "core/place.h"

#include <vector>

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("a number's place among others, and the straight line there", "[core]") {
    const std::vector<double> at{1, 2, 4}, values{10, 30, 20};
    const auto value = [&](double x) { return place_of(at, x).in(values); };
    CHECK(value(1.5) == 20);
    CHECK(value(3.5) == 22.5);
    CHECK(place_of(at, 3).low == 1);
    CHECK(place_of(at, 3).share == 0.5);
    // A given number is its own value to the last bit; beyond the ends it is that of the edge.
    for (std::size_t i = 0; i < at.size(); ++i) {
        CHECK(place_of(at, at[i]).low == i);
        CHECK(value(at[i]) == values[i]);
    }
    CHECK(value(-7) == 10);
    CHECK(value(1e9) == 20);
    CHECK(place_of(std::vector<double>{5}, 6).in(std::vector<double>{8}) == 8);
}
