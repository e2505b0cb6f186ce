#include "cost_model/moe.h"

#include <cmath>

#include "core/error.h"
#include "cost_model/op_cost.h"
#include "tests/support/catch.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;

namespace {

/// Two SMs of 1,000 flop/s, 100 bytes/s, no cache to speak of; tiles of 4 x 8.
HardwareProfile two_sms() {
    auto h = test::toy_hardware();
    h.sources.emplace_back("experts", Source{SourceKind::assumed, "a test", "2026-01-01"});
    h.sm_count = 2;
    h.peaks = {{DType::bf16, FlopRate(2000)}};
    h.memory_bandwidth = Bandwidth(100);
    h.l2_cache = Bytes(1e-3);
    h.experts = ExpertModel{.tile_rows = 4,
                            .tile_columns = 8,
                            .launch = Seconds(1),
                            .tile = Seconds(0.5),
                            .token = Seconds(0.1),
                            .matrix_share = 1,
                            .memory_share = 1,
                            .overlap = 0,
                            .token_passes = 0,
                            .token_l2_flops_per_byte = 10,
                            .weight_l2_flops_per_byte = 10,
                            .half_width_few = 0.1,
                            .half_width_some = 0.2,
                            .half_width_many = 0.3};
    return h;
}

/// Four experts of 10 bytes: hidden 8, two products of 8 and 8 columns.
StepShape four() {
    return {.kind = OpKind::moe_experts,
            .weight_bytes = 40,
            .experts = 4,
            .all_experts = 4,
            .top_k = 1,
            .hidden = 8,
            .ffn = 4,
            .expert_columns = 8};
}

WorkSize tokens(double count, bool balanced = true) {
    return {.batch = count, .tokens = count, .balanced = balanced};
}

KernelCost cost(const HardwareProfile& h, const StepShape& shape, const WorkSize& work) {
    return expert_cost(make_expert_pricer(h, shape, DType::bf16), work);
}

constexpr double kPerRow = 2 * (8 * 8 + 4 * 8) / 2000.0;  // seconds of arithmetic

}  // namespace

TEST_CASE("balanced routing touches as many experts as there are tokens to go round") {
    // Two tokens, two experts: 2 x 2 tiles over two SMs, 16 rows each (the smallest instruction),
    // 20 bytes of weights.
    const auto two = cost(two_sms(), four(), tokens(2));
    CHECK(two.compute == Catch::Approx(4 * 0.5 / 2 + 2 * 16 * kPerRow));
    CHECK(two.memory == Catch::Approx(20 / 100.0 + 2 * 0.1));
    CHECK(two.seconds == Catch::Approx(1 + two.compute + two.memory));
    // Eight tokens, all four experts, one tile of rows each.
    const auto eight = cost(two_sms(), four(), tokens(8));
    CHECK(eight.compute == Catch::Approx(8 * 0.5 / 2 + 4 * 16 * kPerRow));
    // 32 tokens: eight rows an expert are two tiles.
    const auto more = cost(two_sms(), four(), tokens(32));
    CHECK(more.compute == Catch::Approx(16 * 0.5 / 2 + 4 * 16 * kPerRow));
}

TEST_CASE("independent routing touches fewer experts and fills tiles worse") {
    // Of four experts two tokens touch 4 (1 - (3/4)^2) = 1.75.
    const auto two = cost(two_sms(), four(), tokens(2, false));
    CHECK(two.memory == Catch::Approx(1.75 * 10 / 100 + 2 * 0.1));
    // 1,000 tokens touch all; 250 rows each are 62.5 tiles, and half a tile more.
    const auto many = cost(two_sms(), four(), tokens(1000, false));
    CHECK(many.compute == Catch::Approx(4 * 63 * 2 * 0.5 / 2 + 4 * 256 * kPerRow));
}

TEST_CASE("experts over several ranks wait for the busiest") {
    CHECK(busiest_group(8, 1) == 8);
    CHECK(busiest_group(8, 4) == Catch::Approx(8 + std::sqrt(16 * std::log(4.0))));
    auto shape = four();
    shape.all_experts = 16;
    const double mean = 1000.0 * 4 / 16, busiest = mean + std::sqrt(2 * mean * std::log(4.0));
    const double rows = std::ceil(busiest / 4 / 16) * 16;
    const auto price = cost(two_sms(), shape, tokens(1000, false));
    CHECK(price.compute ==
          Catch::Approx(4 * (busiest / 4 / 4 + 0.5) * 2 * 0.5 / 2 + 4 * rows * kPerRow));
}

TEST_CASE("experts: overlap, passes of tokens, weights read again") {
    auto h = two_sms();
    const auto apart = cost(h, four(), tokens(8));
    h.experts->overlap = 1;
    CHECK(cost(h, four(), tokens(8)).seconds == Catch::Approx(apart.seconds - 0.4));
    h.experts->token_passes = 3;  // 8 tokens x 8 columns x 2 bytes
    CHECK(cost(h, four(), tokens(8)).memory == Catch::Approx(apart.memory + 3 * 128 / 100.0));
    h.experts->token_passes = 0;
    h.experts->reread_share = 0.5;  // 32 tokens: one more tile of rows
    CHECK(cost(h, four(), tokens(32)).memory == Catch::Approx(0.4 * 1.5 + 3.2));
    h.l2_cache = Bytes(1000);  // an expert stays in the cache
    CHECK(cost(h, four(), tokens(32)).memory == Catch::Approx(0.4 + 3.2));
    auto warm = tokens(32);
    warm.residency = Residency::warm;
    CHECK(cost(h, four(), warm).memory == Catch::Approx(40 * 10 / 2000.0 + 3.2).epsilon(1e-4));
}

TEST_CASE("experts: the interval widens without a routing trace and by regime") {
    auto h = two_sms();
    CHECK(cost(h, four(), tokens(64)).half_width == 0.1);
    CHECK(cost(h, four(), tokens(65)).half_width == 0.2);
    CHECK(cost(h, four(), tokens(1024)).half_width == 0.3);
    CHECK(cost(h, four(), tokens(64, false)).half_width == Catch::Approx(0.15));
    CHECK_FALSE(cost(h, four(), tokens(64)).inside);  // every figure of the toy is assumed
    for (auto& [key, source] : h.sources) source.kind = SourceKind::measured;
    CHECK(cost(h, four(), tokens(64)).inside);
    CHECK_FALSE(cost(h, four(), tokens(64, false)).inside);
    auto narrow = four();
    narrow.weight_element = 1;
    CHECK(cost(h, narrow, tokens(64)).half_width == Catch::Approx(0.15));
}

TEST_CASE(
    "shipped expert models: more tokens or experts are never faster, bandwidth never slower") {
    for (const auto& name : hardware_names()) {
        const auto h = load_hardware(name);
        if (!h.experts) continue;
        INFO(name);
        auto wide = h;
        wide.memory_bandwidth = h.memory_bandwidth * 2;
        StepShape shape{.kind = OpKind::moe_experts,
                        .experts = 64,
                        .all_experts = 64,
                        .top_k = 8,
                        .hidden = 2048,
                        .ffn = 1024,
                        .expert_columns = 2048};
        shape.weight_bytes = 64.0 * 3 * 2048 * 1024 * 2;
        auto hungry = shape;
        hungry.top_k = 9;
        for (double count = 1; count < 20000; count *= 1.3) {
            const auto at = std::ceil(count);
            INFO(at);
            const double base = cost(h, shape, tokens(at, false)).seconds, slack = 1 + 1e-12;
            CHECK(cost(h, shape, tokens(at + 1, false)).seconds * slack >= base);
            CHECK(cost(h, hungry, tokens(at, false)).seconds * slack >= base);
            CHECK(cost(wide, shape, tokens(at, false)).seconds <= base * slack);
        }
    }
}

TEST_CASE("an expert model out of range names the parameter") {
    auto model = *two_sms().experts;
    CHECK_NOTHROW(check_expert_model(model, "x"));
    model.matrix_share = 0;
    CHECK_THROWS_WITH(check_expert_model(model, "x"), Catch::Contains("x/matrix_share"));
    model = *two_sms().experts;
    model.half_width_many = 2;
    CHECK_THROWS_WITH(check_expert_model(model, "x"), Catch::Contains("x/half_width_many"));
}
