#include "cost_model/table_widths.h"

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("half widths: nine in ten left-out rows, by dtype, place of the data and regime") {
    LeftOutErrors errors;
    for (int i = 0; i <= 19; ++i) {
        errors.next_shape();
        errors.add(DType::bf16, Residency::cold, 0, 0.01 * i * (i % 2 == 0 ? 1 : -1));
        errors.add(DType::bf16, Residency::warm, 2, 0.001);
        errors.add(DType::fp8, Residency::cold, 1, 7.0);
    }
    errors.add(DType::fp8, Residency::warm, 1, 0.2);  // one row tells nothing
    const auto widths = errors.widths(OpKind::linear);
    REQUIRE(widths.size() == 3);
    CHECK(widths[0].residency == Residency::cold);
    // 20 shapes: 0.9 (1 + 1/20) = 0.945 of them, 0.945 of the way from 0 to 0.19.
    CHECK(widths[0].half_width[0] == Catch::Approx(0.945 * 0.19));
    CHECK(widths[0].half_width[1] == 0);
    CHECK(widths[1].half_width[2] == 0.03);  // no op repeats itself better
    CHECK(widths[2].dtype == DType::fp8);
    CHECK(widths[2].half_width[1] == 0.5);
}

TEST_CASE("half widths: many rows of few shapes are few") {
    LeftOutErrors errors;
    for (int i = 0; i <= 19; ++i) {
        if (i % 10 == 0) errors.next_shape();
        errors.add(DType::bf16, Residency::cold, 0, 0.01 * i);
    }
    // Of two shapes the worst row: nine in ten of what is left out next cannot be told.
    CHECK(errors.widths(OpKind::linear)[0].half_width[0] == Catch::Approx(0.19));
}

TEST_CASE("half widths: data elsewhere than was measured takes those of data in memory") {
    Tables tables;
    tables.widths = {{OpKind::linear, DType::bf16, Residency::cold, {0.1, 0.2, 0.3}},
                     {OpKind::linear, DType::bf16, Residency::warm, {0.4, 0, 0}},
                     {OpKind::attention, DType::bf16, Residency::warm, {0.5, 0.5, 0.5}}};
    const auto of = [&](DType dtype, Residency residency) {
        return half_widths(tables, OpKind::linear, dtype, residency);
    };
    CHECK(of(DType::bf16, Residency::cold) == std::array{0.1, 0.2, 0.3});
    CHECK(of(DType::bf16, Residency::warm) == std::array{0.4, 0.2, 0.3});
    CHECK(of(DType::bf16, Residency::edge) == std::array{0.1, 0.2, 0.3});
    CHECK(of(DType::fp8, Residency::cold) == std::array{0.0, 0.0, 0.0});
}
