#include "cost_model/expert_table.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;

namespace {

StepShape experts_of(double ffn) {
    return {.kind = OpKind::moe_experts,
            .n = 16,
            .weight_bytes = 3 * 8 * 16 * ffn * 4,
            .weight_element = 4,
            .activation = 4,
            .experts = 8,
            .all_experts = 8,
            .top_k = 2,
            .hidden = 16,
            .ffn = ffn,
            .expert_columns = 2 * ffn};
}

/// Experts of widths 8 and 32 that take `low` and `high` times what the roofline says.
HardwareProfile measured(double low, double high) {
    auto h = test::toy_hardware();
    const auto line = roofline(h, op_cost(OpKind::moe_experts).engine, DType::fp32);
    for (const std::int64_t ffn : {8, 32}) {
        const auto shape = experts_of(double(ffn));
        for (const std::int64_t tokens : {1, 64}) {
            const WorkSize work{.decode = false,
                                .batch = double(tokens),
                                .tokens = double(tokens),
                                .residency = Residency::warm,
                                .balanced = true};
            const auto& row = op_cost(OpKind::moe_experts);
            const double time = line.seconds(row.flops(shape, work), row.bytes(shape, work));
            h.tables.moe.push_back(
                {DType::fp32, tokens, 16, ffn, 2, 8, Seconds(time * (ffn == 8 ? low : high))});
        }
    }
    return h;
}

}  // namespace

TEST_CASE("experts: a measured width is its own curve over the tokens") {
    const auto h = measured(2, 5);
    const auto curve = expert_curve(h, experts_of(8), DType::fp32);
    REQUIRE(curve.residual.size() == 2);
    CHECK(std::exp(curve.at(0)) == Catch::Approx(2));
    CHECK(std::exp(curve.at(std::log(1000.0))) == Catch::Approx(2));  // held beyond the last
    CHECK(curve.covers(std::log(64.0)));
    CHECK_FALSE(curve.covers(std::log(65.0)));
    CHECK(std::exp(expert_curve(h, experts_of(32), DType::fp32).at(0)) == Catch::Approx(5));
}

TEST_CASE("experts: between two widths that agree, straight in the logarithm of the width") {
    const auto h = measured(1, 1.21);
    CHECK(std::exp(expert_curve(h, experts_of(16), DType::fp32).at(0)) == Catch::Approx(1.1));
}

TEST_CASE("experts: what one kernel took says nothing about another's width, layer or dtype") {
    CHECK(expert_curve(measured(1, 3), experts_of(16), DType::fp32).empty());  // another kernel
    const auto h = measured(1, 1.21);
    CHECK(expert_curve(h, experts_of(4), DType::fp32).empty());
    CHECK(expert_curve(h, experts_of(64), DType::fp32).empty());
    CHECK(expert_curve(h, experts_of(8), DType::bf16).empty());
    auto other = experts_of(8);
    other.top_k = 1;
    CHECK(expert_curve(h, other, DType::fp32).empty());
    other = experts_of(8);
    other.experts = 4;  // the other half is on another rank
    CHECK(expert_curve(h, other, DType::fp32).empty());
}
