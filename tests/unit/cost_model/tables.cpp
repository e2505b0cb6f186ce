#include "cost_model/tables.h"
#include "cost_model/attention_table.h"
#include "cost_model/product_table.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;

namespace {

/// Products that take twice the analytic time at m = 1 and four times at m = 16, and on a CPU,
/// whose ranks share the memory, as many times that as there are ranks.
HardwareProfile with_products() {
    auto h = test::toy_hardware();
    h.backend = "cpu";
    for (const int ranks : {1, 2}) {
        for (const std::int64_t m : {1, 16}) {
            for (const std::int64_t n : {8, 32}) {
                for (const std::int64_t k : {4, 64}) {
                    const double analytic =
                        analytic_product(h, DType::fp32, double(m), double(n), double(k));
                    h.tables.gemm.push_back({DType::fp32, ranks, m, n, k,
                                             Seconds((m == 1 ? 2 : 4) * analytic * ranks)});
                }
            }
        }
    }
    return h;
}

ProductCurve curve_of(const HardwareProfile& h, int ranks, double n, double k) {
    return product_curve(h, {.dtype = DType::fp32, .ranks = ranks, .n = n, .k = k},
                         [&](double m) { return analytic_product(h, DType::fp32, m, n, k); });
}

}  // namespace

TEST_CASE("a lookup at a measured product returns its time") {
    auto h = with_products();
    double wobble = 1;
    for (auto& p : h.tables.gemm) p.time *= wobble *= 1.01;
    for (const auto& p : h.tables.gemm) {
        const auto curve = curve_of(h, p.ranks, double(p.n), double(p.k));
        const double analytic =
            analytic_product(h, DType::fp32, double(p.m), double(p.n), double(p.k));
        CHECK(curve.at(std::log(double(p.m)), analytic) ==
              Catch::Approx(p.time.value).epsilon(1e-12));
        CHECK(curve.covers(std::log(double(p.m))));
    }
}

TEST_CASE("between points the residual is interpolated, beyond them held") {
    const auto h = with_products();
    const auto curve = curve_of(h, 1, 16, 16);
    CHECK(curve.at(std::log(1.0), 1000) == Catch::Approx(2000));
    CHECK(curve.at(std::log(0.5), 1) == Catch::Approx(2));
    CHECK(curve.at(std::log(256.0), 1) == Catch::Approx(4));
    CHECK_FALSE(curve.covers(std::log(256.0)));
    const double middle = analytic_product(h, DType::fp32, 4, 16, 16);
    CHECK(curve.at(std::log(4.0), middle) == Catch::Approx(middle * std::sqrt(8.0)));
    CHECK_FALSE(curve_of(h, 1, 64, 16).inside);
}

TEST_CASE("the nearest number of ranks stands in, and says so") {
    const auto h = with_products();
    CHECK(curve_of(h, 2, 8, 4).at(0, 1) == Catch::Approx(4));
    const auto eight = curve_of(h, 8, 8, 4);
    CHECK(eight.at(0, 1) == Catch::Approx(4));
    CHECK_FALSE(eight.inside);
    CHECK(product_curve(h, {.dtype = DType::bf16, .ranks = 1, .n = 8, .k = 4}, {}).empty());
}

TEST_CASE("devices with a memory of their own share their points over all numbers of ranks") {
    auto h = with_products();
    h.backend = "cuda";
    const auto curve = curve_of(h, 8, 8, 4);
    CHECK(curve.at(0, 1) == Catch::Approx(std::sqrt(2.0 * 4.0)));  // two measurements of one thing
    CHECK(curve.inside);
}

TEST_CASE("more rows never take less time, whatever was measured") {
    auto h = test::toy_hardware();
    const double measured[] = {9, 3, 30, 20};  // two outliers
    for (int i = 0; i < 4; ++i) {
        h.tables.gemm.push_back(
            {DType::fp32, 1, std::int64_t{1} << (2 * i), 8, 8, Seconds(measured[i])});
    }
    const auto curve = curve_of(h, 1, 8, 8);
    double before = 0;
    for (double m = 1; m <= 64; m *= 1.1) {
        const double time = curve.at(std::log(m), analytic_product(h, DType::fp32, m, 8, 8));
        CHECK(time >= before * (1 - 1e-12));
        before = time;
    }
}

TEST_CASE("scattered points: exact at each, bilinear on a grid, bounded elsewhere") {
    const std::vector<ScatteredPoint> grid{{0, 0, 1}, {0, 2, 3}, {2, 0, 5}, {2, 2, 7}};
    CHECK(interpolate(grid, 2, 0) == 5);
    CHECK(interpolate(grid, 1, 1) == Catch::Approx(4));
    CHECK(interpolate(grid, -5, 9) == 3);
    const std::vector<ScatteredPoint> holes{{0, 0, 1}, {1, 2, 3}, {2, 0, 5}};
    CHECK(interpolate(holes, 1, 2) == 3);
    const double inside = interpolate(holes, 1, 1);
    CHECK((inside > 1 && inside < 5));
}

TEST_CASE("a time curve is straight in bytes, monotone, and hits its points") {
    const auto curve = make_time_curve({{100, 4}, {10, 2}, {1000, 22}, {500, 30}});
    CHECK(curve.at(10) == 2);
    CHECK(curve.at(1) == 2);
    CHECK(curve.at(100) == 4);
    CHECK(curve.at(55) == Catch::Approx(3));
    CHECK(curve.at(500) == 22);  // a message can be padded to the next size
    CHECK(curve.at(1000) == 22);
    CHECK(curve.covers(2000));
    CHECK_FALSE(curve.covers(2001));
    CHECK(make_time_curve({{10, 2}, {20, 4}}).at(40) == Catch::Approx(8));
}

TEST_CASE("attention: the nearest head layout, bilinear in batch and tokens") {
    auto h = test::toy_hardware();
    for (const std::int64_t batch : {1, 4}) {
        for (const std::int64_t kv : {64, 1024}) {
            h.tables.attention.push_back(
                {DType::fp32, 1, batch, 1, kv, 8, 2, 64, Seconds(double(batch * kv) * 100)});
        }
    }
    AttentionKey key{.kv_dtype = DType::fp32,
                     .ranks = 1,
                     .decode = true,
                     .heads = 8,
                     .kv_heads = 2,
                     .head_dim = 64};
    const auto grid = attention_grid(h, key);
    REQUIRE(grid.residual.size() == 4);
    CHECK(grid.covers(std::log(2.0), std::log(100.0)));
    CHECK_FALSE(grid.covers(std::log(8.0), std::log(100.0)));
    const double corner = grid.at(0, std::log(64.0)),
                 far = grid.at(std::log(4.0), std::log(1024.0));
    const double middle = grid.at(std::log(2.0), std::log(256.0));
    CHECK((middle - corner) * (middle - far) <= 0);
    key.heads = 32;
    CHECK_FALSE(attention_grid(h, key).inside);
    key.decode = false;
    CHECK(attention_grid(h, key).empty());
}

TEST_CASE("passes over memory: an unmeasured kind borrows from its relatives") {
    auto h = test::toy_hardware();
    CHECK(elementwise_curve(h, OpKind::norm, 1).empty());
    h.tables.elementwise = {{OpKind::norm, 1, 100, Seconds(3)},
                            {OpKind::add, 1, 100, Seconds(5)},
                            {OpKind::add, 1, 200, Seconds(10)}};
    CHECK(elementwise_curve(h, OpKind::norm, 1).at(100) == 3);
    CHECK(elementwise_curve(h, OpKind::norm, 1).exact);
    const auto borrowed = elementwise_curve(h, OpKind::activation, 1);
    CHECK(borrowed.at(200) == 10);
    CHECK_FALSE(borrowed.exact);
}
