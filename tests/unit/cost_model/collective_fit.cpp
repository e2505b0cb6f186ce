#include "cost_model/collective_fit.h"

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("sizes of collectives fall into three regimes") {
    CHECK(collective_regime(256 * 1024) == 0);
    CHECK(collective_regime(256 * 1024 + 1) == 1);
    CHECK(collective_regime(16 * 1024 * 1024) == 1);
    CHECK(collective_regime(16 * 1024 * 1024 + 1) == 2);
}

TEST_CASE("half widths of a fitted collective go by size, and between ranks straight") {
    CollectiveFit row{.ranks = {2, 4},
                      .to = {Bytes(0), Bytes(0)},
                      .latency = {Seconds(1), Seconds(1)},
                      .ramp = {Seconds(0), Seconds(0)},
                      .ramp_from = {Bytes(1), Bytes(1)},
                      .bandwidth_share = {1, 1},
                      .sharpness = {1, 1},
                      .half_width = {{0.1, 0.2, 0.3}, {0.3, 0.6, 0.5}}};
    CHECK_NOTHROW(check_fit(row, "x"));
    CHECK(fit_at(row, 2).half_width == SizeWidths{0.1, 0.2, 0.3});
    const auto between = fit_at(row, 3).half_width;
    CHECK(between[0] == Catch::Approx(0.2));
    CHECK(between[1] == Catch::Approx(0.4));
    CHECK(between[2] == Catch::Approx(0.4));
    row.half_width[1][2] = 0;
    CHECK_THROWS_WITH(check_fit(row, "x"), Catch::Contains("x/half_width"));
}
