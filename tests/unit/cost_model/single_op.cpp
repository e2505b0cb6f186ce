#include "cost_model/single_op.h"

#include "tests/support/catch.h"
#include "tests/unit/cost_model/hand_program.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// The same step in a program, priced for a workload of serving.
StepCost in_program(const Step& step, std::int64_t batch, int tp = 1) {
    Workload work;
    work.batch = batch;
    work.context = 16;
    work.kv_dtype = DType::fp32;
    return price_step(compile(single(step, {}, tp), toy_hardware(), {}), 0, 0, work);
}

}  // namespace

TEST_CASE("single op: a product costs what it costs in a program") {
    const auto alone =
        price_single(toy_hardware(), ProductSize{.dtype = DType::fp32, .m = 3, .n = 4, .k = 5});
    const auto inside = in_program(product(4, 5, DType::fp32), 3);
    CHECK(alone.flops.value == 2 * 3 * 4 * 5);
    CHECK(alone.time == inside.time);
    CHECK(alone.half_width == inside.half_width);
}

TEST_CASE("single op: attention counts keys once per KV head") {
    AttentionSize size{.decode = true,
                       .kv_dtype = DType::fp32,
                       .batch = 2,
                       .q_len = 1,
                       .kv_len = 16,
                       .heads = 4,
                       .kv_heads = 2,
                       .head_dim = 8};
    const auto cost = price_single(toy_hardware(), size);
    CHECK(cost.flops.value == 2.0 * 2 * 4 * 16 * (8 + 8));
    // Queries and outputs 2 x 4 x 16, new entry 2 x 2 x 16, cache 2 x 16 x 2 x 16; 4 bytes each.
    CHECK(cost.bytes.value == (128.0 + 64 + 1024) * 4);
    size.decode = false;
    size.q_len = 16;
    // 16 new tokens see 1 + 2 + .. + 16 keys.
    CHECK(price_single(toy_hardware(), size).flops.value == 2.0 * 2 * 4 * 136 * (8 + 8));
    size.kv_len = 32;  // over a prefix of 16: each sees 16 more
    CHECK(price_single(toy_hardware(), size).flops.value == 2.0 * 2 * 4 * (136 + 256) * (8 + 8));
}

TEST_CASE("single op: a collective takes whole bytes, an all-to-all those of one rank") {
    const auto reduce = price_single(toy_hardware(), CollectiveSize{.ranks = 4, .bytes = 101});
    CHECK(reduce.payload.value == 101);
    const auto exchange = price_single(
        toy_hardware(), CollectiveSize{.op = OpKind::all_to_all, .ranks = 4, .bytes = 100});
    CHECK(exchange.payload.value == 400);
    CHECK_THROWS_AS(price_single(toy_hardware(), CollectiveSize{.ranks = 5, .bytes = 100}), Error);
}

TEST_CASE("single op: experts hold their cut of the inner width") {
    const auto cost = price_single(toy_hardware(), ExpertsSize{.dtype = DType::fp32,
                                                               .tokens = 6,
                                                               .hidden = 8,
                                                               .inter = 16,
                                                               .top_k = 2,
                                                               .experts = 4,
                                                               .tp = 2});
    // 6 tokens x 2 experts, each 8 x (2 x 8) in and 8 x 8 out.
    CHECK(cost.flops.value == 2.0 * 12 * 8 * (16 + 8));
}

TEST_CASE("single op: experts are touched evenly, as in measured rows") {
    // 32 tokens x 8 already touch all 256 experts once; independent choices would reach 164 of
    // them, and 64 tokens 222.
    const auto seconds = [](std::int64_t tokens) {
        return price_single(
                   load_hardware("h100-sxm"),
                   ExpertsSize{
                       .tokens = tokens, .hidden = 4096, .inter = 2048, .top_k = 8, .experts = 256})
            .time.value;
    };
    CHECK(seconds(64) < 1.02 * seconds(32));
    CHECK(seconds(32) > 1.8 * seconds(16));
}

TEST_CASE("single op: a pass reads its input and weights and writes its output") {
    const auto cost = price_single(
        toy_hardware(),
        PassSize{
            .op = OpKind::norm, .dtype = DType::fp32, .rows = 3, .in = 8, .out = 8, .weights = 8});
    CHECK(cost.bytes.value == (3.0 * 16 + 8) * 4);
}
