#include "core/statistics.h"

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("a quantile lies on the straight line between its neighbours") {
    const std::vector<double> values{4, 1, 2};
    CHECK(quantile(values, 0) == 1);
    CHECK(quantile(values, 0.75) == 3);
    CHECK(quantile(values, 1) == 4);
    CHECK(quantile({7}, 0.3) == 7);
    CHECK(quantile({}, 0.5) == 0);
}
