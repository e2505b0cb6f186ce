#include "cost_model/op_cost.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/unit/cost_model/hand_program.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;

namespace {

double flops(const StepShape& s, const WorkSize& w) {
    return op_cost(s.kind).flops(s, w);
}
double bytes(const StepShape& s, const WorkSize& w) {
    return op_cost(s.kind).bytes(s, w);
}

StepShape attention() {
    return {.kind = OpKind::attention,
            .activation = 2,
            .heads = 8,
            .kv_heads = 2,
            .head_dim = 4,
            .v_head_dim = 4};
}

}  // namespace

TEST_CASE("a product counts 2 m n k, its weights once and its activations") {
    const auto shape = step_shape(test::product(3, 4, DType::bf16), {});
    const auto work = work_size({.batch = 2});
    CHECK(flops(shape, work) == 2 * 2 * 3 * 4);
    CHECK(bytes(shape, work) == 3 * 4 * 2 + 2 * (3 + 4) * 2);
}

TEST_CASE("causal attention counts the pairs that are scored") {
    CHECK(attended_pairs(4, 4, 0) == 1 + 2 + 3 + 4);
    CHECK(attended_pairs(4, 4, 2) == 1 + 2 + 2 + 2);
    CHECK(attended_pairs(4, 4, 100) == 10);
    CHECK(attended_pairs(1, 100, 0) == 100);
    CHECK(attended_pairs(1, 100, 10) == 10);
    CHECK(attended_pairs(3, 10, 0) == 8 + 9 + 10);
    CHECK(attended_pairs(3, 10, 9) == 8 + 9 + 9);
}

TEST_CASE("decoding reads the cache once per KV head, not per query head") {
    const auto work = work_size({.batch = 3, .context = 10});
    const double cache = 3 * 10 * 2 * (4 + 4) * 2, own = 3 * 8 * (4 + 4) * 2,
                 append = 3 * 2 * (4 + 4) * 2;
    CHECK(bytes(attention(), work) == cache + own + append);
    CHECK(flops(attention(), work) == 2 * 3 * 8 * 10 * (4 + 4));

    auto more_queries = attention();
    more_queries.heads = 16;
    CHECK(bytes(more_queries, work) == cache + 2 * own + append);

    const auto fp8 = work_size({.batch = 3, .context = 10, .kv_dtype = DType::fp8});
    CHECK(bytes(attention(), fp8) == cache / 2 + own + append / 2);
}

TEST_CASE("a sliding window bounds what is read and scored") {
    auto sliding = attention();
    sliding.window = 4;
    CHECK(bytes(sliding, work_size({.context = 1000})) ==
          bytes(sliding, work_size({.context = 4})));
    CHECK(flops(sliding, work_size({.context = 1000})) == 2 * 8 * 4 * 8);
}

TEST_CASE("decoding over a latent cache reads the latent once for all heads") {
    auto latent = attention();
    latent.heads = 16;
    latent.kv_heads = 16;
    latent.head_dim = 192;
    latent.v_head_dim = 128;
    latent.latent_width = 576;  // 512 + 64 rope
    latent.latent_rope = 64;
    const auto work = work_size({.context = 100});
    CHECK(flops(latent, work) == 2.0 * 16 * 100 * (576 + 512));
    // The cache, the appended token, queries as wide as the cache and outputs without the rope.
    CHECK(bytes(latent, work) == 100 * 576 * 2 + 576 * 2 + 16 * (576 + 512) * 2);
    // Values of another width than the unrotated part of a head change neither.
    latent.v_head_dim = 96;
    CHECK(flops(latent, work) == 2.0 * 16 * 100 * (576 + 512));
    CHECK(bytes(latent, work) == 100 * 576 * 2 + 576 * 2 + 16 * (576 + 512) * 2);
}

TEST_CASE("few tokens touch few experts") {
    CHECK(touched_experts(8, 8, 2, 1) == Catch::Approx(2));
    CHECK(touched_experts(8, 8, 2, 2) == Catch::Approx(8 * (1 - 0.75 * 0.75)));
    CHECK(touched_experts(8, 8, 2, 10000) == Catch::Approx(8));
    CHECK(touched_experts(2, 8, 2, 1) ==
          Catch::Approx(0.5));  // a rank that holds a quarter of them
    CHECK(touched_experts(8, 8, 8, 1) == 8);
}

TEST_CASE("experts read the weights they touch and compute the tokens they get") {
    Step step;
    step.kind = OpKind::moe_experts;
    step.spec.moe = MoeSpec{.experts = 2, .top_k = 2, .hidden = 4, .ffn = 3, .gated = true};
    step.weight_bytes = 1000;
    step.inputs = {0, 1};
    step.outputs = {0};
    Program program;
    program.buffers = {{"x", Rows::tokens, 4, {}}, {"router", Rows::tokens, 8, {}}};
    const auto shape = step_shape(step, program);
    CHECK(shape.all_experts == 8);
    const auto work = work_size({.batch = 4});
    // 4 tokens x 2 experts each, of which 2 of 8 are here: 2 token-expert pairs.
    CHECK(flops(shape, work) == 2 * 2 * (4 * 6 + 3 * 4));
    const double touched = 2 * (1 - std::pow(0.75, 4));
    CHECK(bytes(shape, work) ==
          Catch::Approx(1000 * touched / 2 + (2 * (2 * 4 + 2 * 6 + 2 * 3) + 2 * 4 * 4) * 2));
}

TEST_CASE("passes over memory move what they read and write") {
    test::ProgramBuilder b(1, DType::fp32, DType::fp32);
    const int x = b.buffer("x", 10), y = b.buffer("y", 10), r = b.buffer("r", 10);
    auto norm = b.step(OpKind::add_norm, "n", {x, r}, {r, y});
    norm.weight_bytes = 40;
    const auto shape = step_shape(norm, b.program);
    CHECK(bytes(shape, work_size({.batch = 3})) == 40 + 3 * (20 + 20) * 4);
    CHECK(op_cost(OpKind::add_norm).kind == CostKind::norm);
    CHECK(bytes(step_shape(b.step(OpKind::slice, "s", {x}, {y}), b.program), {}) == 0);
}

TEST_CASE("split buffers count the largest rank's columns") {
    test::ProgramBuilder b(4, DType::bf16, DType::bf16);
    const int x = b.buffer("x", 10, true), y = b.buffer("y", 10, true);
    const auto shape = step_shape(b.step(OpKind::activation, "a", {x}, {y}), b.program);
    CHECK(shape.in_columns == 3);  // ceil(10 / 4)
}

TEST_CASE("the roofline is the root of the sum of squares") {
    const Roofline line{.per_flop = 1, .per_byte = 1, .launch = 0.5};
    CHECK(line.seconds(3, 4) == 5.5);
    CHECK(line.seconds(0, 4) == 4.5);
}

TEST_CASE("fp8 products quantise where the device has fp8") {
    const auto h100 = load_hardware("h100-sxm"), a100 = load_hardware("a100-sxm");
    CHECK(compute_dtype(h100, DType::fp8, DType::bf16) == DType::fp8);
    CHECK(compute_dtype(a100, DType::fp8, DType::bf16) == DType::bf16);
    CHECK(compute_dtype(h100, DType::mxfp4, DType::bf16) == DType::bf16);
    CHECK(quantises(h100, DType::fp8, true));
    CHECK_FALSE(quantises(h100, DType::fp8, false));
    CHECK_FALSE(quantises(a100, DType::fp8, true));
    const auto toy = test::toy_hardware();
    CHECK(quantiser(toy, 76).seconds(2) == Catch::Approx(10));
    // From L2 while the activations fit: 5 k bytes a row at either rate.
    const auto quantise = quantiser(h100, 4096);
    CHECK(quantise.per_row_in_l2 < quantise.per_row);
    CHECK(quantise.seconds(10) == Catch::Approx(quantise.fixed + 10 * quantise.per_row_in_l2));
    CHECK(quantise.seconds(1e6) == Catch::Approx(quantise.fixed + 1e6 * quantise.per_row));
}

TEST_CASE("training counts every token as a prefill does") {
    const auto train = work_size({.phase = Phase::train, .batch = 2, .input = 8});
    CHECK_FALSE(train.decode);
    CHECK(train.tokens == 16);
}

TEST_CASE("the largest are found in one reading; their pairs are fp32") {
    test::ProgramBuilder b(2, DType::bf16, DType::bf16);
    const int logits = b.buffer("logits", 16, true, Rows::sequences);
    const int own = b.buffer("own", 4, true, Rows::sequences);
    const auto shape = step_shape(b.step(OpKind::largest, "own", {logits}, {own}), b.program);
    CHECK(bytes(shape, work_size({.batch = 3})) == 3 * (8 * 2 + 2 * 4));
    CHECK(flops(shape, work_size({.batch = 3})) == 3 * 8);
}
