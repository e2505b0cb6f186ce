#include "executor/cpu/experts.h"

#include <cmath>

#include "executor/numerics.h"
#include "executor/reference.h"
#include "tests/support/catch.h"
#include "tests/unit/executor/tiny_run.h"

using namespace tplan;
using namespace tplan::test;

namespace {

std::size_t at(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

/// What the router makes of logits, with an identity for its weights.
std::vector<float> routed(std::vector<float> logits, std::int64_t top_k, const RoutingSpec& spec,
                          std::vector<float> second = {}) {
    const auto n = static_cast<std::int64_t>(logits.size());
    std::vector<float> identity(at(n * n)), out(at(n)), scratch(at(3 * n));
    for (std::int64_t i = 0; i < n; ++i) identity[at(i * n + i)] = 1;
    Step step;
    step.kind = OpKind::moe_router;
    step.spec.routing = spec;
    step.spec.moe = MoeSpec{.experts = n, .top_k = top_k};
    BoundStep bound;
    bound.step = &step;
    bound.inputs = {{logits.data(), 1, n, n, DType::fp32}};
    bound.outputs = {{out.data(), 1, n, n, DType::fp32}};
    bound.weights = {{identity.data(), n, n, n, DType::fp32}};
    if (!second.empty()) bound.weights.push_back({second.data(), 1, n, n, DType::fp32});
    CHECK(cpu::experts_scratch(bound) == 3 * n);
    cpu::run_router(bound, scratch.data());
    return out;
}

void check_row(const std::vector<float>& got, const std::vector<double>& expected) {
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
        INFO("expert " << i);
        CHECK(std::abs(got[i] - expected[i]) < 1e-6);
    }
}

float ln(double x) {
    return static_cast<float>(std::log(x));
}

/// Every rank holds whole experts.
std::optional<Program> by_experts(const TinyModel& tiny, int tp) {
    PlanOptions options;
    options.tp = tp;
    const auto mlp = "layers.*." + tiny.config.modules.mlp + ".";
    TpPlan rules{{mlp + tiny.config.modules.router, "ep_router"}};
    const auto experts = mlp + tiny.config.modules.experts;
    for (const std::string part : {".gate_up_proj", ".down_proj"}) {
        rules.emplace_back(experts + part, "grouped_gemm");
        if (tiny.config.traits.expert_bias)
            rules.emplace_back(experts + part + "_bias", "grouped_gemm");
    }
    rules.emplace_back(experts, "moe_tp_experts");
    options.tp_plan = rules;
    const auto planned = make_plan(tiny.config, tiny.model, options);
    if (!planned.plan) return std::nullopt;
    return lower(tiny.model, *planned.plan, DType::fp32);
}

}  // namespace

TEST_CASE("a softmax router weighs by probability, over the sum of the chosen if asked",
          "[executor]") {
    // probabilities 0.1, 0.4, 0.3, 0.2
    const std::vector<float> logits{ln(1), ln(4), ln(3), ln(2)};
    check_row(routed(logits, 2, {}), {0, 0.4, 0.3, 0});
    check_row(routed(logits, 2, {.normalise = true}), {0, 4.0 / 7, 3.0 / 7, 0});
    check_row(routed(logits, 3, {.scale = 2.5}), {0, 1.0, 0.75, 0.5});
    check_row(routed(logits, 2, {.score = RouterScore::softmax_of_chosen}),
              {0, 4.0 / 7, 3.0 / 7, 0});
    check_row(routed(logits, 4, {}), {0.1, 0.4, 0.3, 0.2});
    // a bias is added to the logits: ln 8 lifts the first to 8 : 4 : 3 : 2
    check_row(routed(logits, 1, {}, {ln(8), 0, 0, 0}), {8.0 / 17, 0, 0, 0});
}

TEST_CASE("a correction decides who is chosen, not what he weighs", "[executor]") {
    const RoutingSpec spec{.score = RouterScore::sigmoid, .correction = true};
    // sigmoid(0) = 1/2, sigmoid(ln 3) = 3/4
    const std::vector<float> logits{0, ln(3), 0, 0};
    check_row(routed(logits, 1, spec, {0, 0, 0, 0}), {0, 0.75, 0, 0});
    check_row(routed(logits, 1, spec, {0, 0, 0, 1}), {0, 0, 0, 0.5});
    check_row(routed(logits, 2, spec, {0, 0, 0, 1}), {0, 0.75, 0, 0.5});
}

TEST_CASE("only experts of the best groups are chosen", "[executor]") {
    // sigmoids of ln(p / (1 - p)): groups {0.9, 0.1}, {0.6, 0.5}, {0.3, 0.2}
    std::vector<float> logits;
    for (const double p : {0.9, 0.1, 0.6, 0.5, 0.3, 0.2}) logits.push_back(ln(p / (1 - p)));
    RoutingSpec spec{.score = RouterScore::sigmoid, .groups = 3, .top_groups = 1};
    check_row(routed(logits, 2, spec), {0.9, 0.1, 0, 0, 0, 0});
    spec.group_score = GroupScore::two_best;  // 1.0, 1.1, 0.5
    check_row(routed(logits, 2, spec), {0, 0, 0.6, 0.5, 0, 0});
    spec.top_groups = 2;
    check_row(routed(logits, 2, spec), {0.9, 0, 0.6, 0, 0, 0});
}

TEST_CASE("of equal experts the lower number is chosen", "[executor]") {
    check_row(routed({0, 0, 0, 0}, 2, {}), {0.25, 0.25, 0, 0});
}

TEST_CASE("a row costs the experts it chose, in halves or in turn", "[executor]") {
    // One column in, inner width 1, two experts: gate and up are the input times their weights.
    std::vector<float> x{2, 3}, weights{0, 0.5F, 1, 0}, out{7, 7};
    std::vector<float> gate_up{1, 10, 2, 20}, down{1, 100};
    Step step;
    step.kind = OpKind::moe_experts;
    step.spec.moe = MoeSpec{.experts = 2, .top_k = 1, .hidden = 1, .ffn = 1};
    step.spec.moe->activation = ActivationKind::relu;
    BoundStep bound;
    bound.step = &step;
    bound.inputs = {{x.data(), 2, 1, 1, DType::fp32}, {weights.data(), 2, 2, 2, DType::fp32}};
    bound.outputs = {{out.data(), 2, 1, 1, DType::fp32}};
    bound.weights = {{gate_up.data(), 4, 1, 1, DType::fp32}, {down.data(), 2, 1, 1, DType::fp32}};
    std::vector<float> scratch(at(cpu::experts_scratch(bound)));
    cpu::run_experts(bound, scratch.data());
    // row 0 visits expert 1: 4 * 40 * 100 / 2; row 1 expert 0: 3 * 30
    CHECK(out == std::vector<float>{8000, 90});

    std::vector<float> first{1, 2, 3, 4}, second{5, 50};  // biases of [2, 2] and [2, 1]
    bound.weights.push_back({first.data(), 2, 2, 2, DType::fp32});
    bound.weights.push_back({second.data(), 2, 1, 1, DType::fp32});
    cpu::run_experts(bound, scratch.data());
    // row 0: ((4 + 3) (40 + 4) 100 + 50) / 2; row 1: (3 + 1) (30 + 2) + 5
    CHECK(out == std::vector<float>{15425, 133});

    // The rank holds expert 1 alone.
    bound.first_expert = 1;
    for (auto& weight : bound.weights) {
        weight.data = weight.row(weight.rows / 2);
        weight.rows /= 2;
    }
    cpu::run_experts(bound, scratch.data());
    CHECK(out == std::vector<float>{15425, 0});
}

TEST_CASE("a NaN among the routing weights reaches the output", "[executor]") {
    std::vector<float> x{1}, weights{std::nanf("")}, out{0}, gate_up{1, 1}, down{1};
    Step step;
    step.kind = OpKind::moe_experts;
    step.spec.moe = MoeSpec{.experts = 1, .top_k = 1, .hidden = 1, .ffn = 1};
    BoundStep bound;
    bound.step = &step;
    bound.inputs = {{x.data(), 1, 1, 1, DType::fp32}, {weights.data(), 1, 1, 1, DType::fp32}};
    bound.outputs = {{out.data(), 1, 1, 1, DType::fp32}};
    bound.weights = {{gate_up.data(), 2, 1, 1, DType::fp32}, {down.data(), 1, 1, 1, DType::fp32}};
    std::vector<float> scratch(at(cpu::experts_scratch(bound)));
    cpu::run_experts(bound, scratch.data());
    CHECK(std::isnan(out[0]));
}

TEST_CASE("experts in whole on each rank give what the reference gives", "[executor]") {
    const Workload workload{.phase = Phase::prefill, .batch = 2, .input = 11};
    RunOptions options;
    options.seed = 3;
    for (const auto& [family, logits] : load_transformers_logits().expert_logits) {
        const TinyModel tiny(family);
        const auto reference = run_reference(tiny.model, workload, synthetic_weights(3), {}, 3);
        for (const int tp : {2, 3, 8}) {  // 3: ranks with 3, 3 and 2 of 8 experts
            const auto program = by_experts(tiny, tp);
            INFO(family << " tp " << tp);
            if (!program) {
                CHECK(tp == 3);
                continue;
            }
            Runner runner(*program, workload, options);
            runner.run();
            CHECK(deviation(runner.outputs(), reference).within(kToleranceFp32));
            CHECK(runner.check().ranks_agree);
        }
    }
}

TEST_CASE("experts count in the memory that a run needs", "[executor]") {
    const TinyModel tiny("mixtral");  // hidden 64, ffn 128, 8 experts, 2 layers
    const Workload workload{.phase = Phase::prefill, .batch = 1, .input = 4};
    const Runner one(*tiny.program(1), workload, {});
    const Runner two(*tiny.program(2), workload, {});
    const double experts = 2.0 * 8 * 3 * 64 * 128 * 4;
    CHECK(one.memory().ranks[0].weights - two.memory().ranks[0].weights > experts / 2);
    CHECK(one.memory().ranks[0].weights < 1.5 * experts);
}
