#include "planner/mixed_plan.h"

#include "cost_model/mixed_hardware.h"
#include "planner/check.h"
#include "planner/document.h"
#include "tests/support/catch.h"
#include "tests/unit/cost_model/toy_hardware.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;
using Catch::Matchers::Contains;

namespace {

/// The toy with no launches, `speed` times as fast, over links that cost nearly nothing.
HardwareProfile toy(const std::string& name, double speed, double memory = 1e9) {
    auto h = toy_hardware();
    h.name = name;
    h.devices = 1;
    h.launch = h.attention_launch = Seconds(0);
    h.memory = Bytes(memory);
    h.memory_bandwidth = h.memory_bandwidth * speed;
    h.peaks[0].rate = h.peaks[0].rate * speed;
    for (auto& link : h.links) {
        link.bandwidth = Bandwidth(1e12);
        link.latency = link.base_latency = Seconds(1e-12);
    }
    return h;
}

/// 12 heads of 16, and 12 units of 16 in every other width.
ModelConfig twelve() {
    return tiny("llama", {{"hidden_size", 192},
                          {"num_attention_heads", 12},
                          {"num_key_value_heads", 12},
                          {"head_dim", 16},
                          {"intermediate_size", 192},
                          {"vocab_size", 192}});
}

Workload prompt() {
    Workload workload;
    workload.phase = Phase::prefill;
    workload.input = 64;
    workload.dtype = workload.kv_dtype = DType::fp32;
    return workload;
}

PlanOptions best(int tp) {
    return options_for(tp, LayoutChoice::best, Kernels::served);
}

MixedPlan plan_on(const HardwareProfile& group, const ModelConfig& config = twelve()) {
    return plan_mixed(config, build_model(config), best(group.devices), group, {}, prompt());
}

double ratio(const Shares& shares) {
    return static_cast<double>(shares.first) / shares.rest;
}

/// Rows of a weight of layer 0 on each rank.
std::vector<std::int64_t> rows_of(const MixedPlan& made, const std::string& weight) {
    for (const auto& tensor :
         shard_tensors(made.planned.program->model, made.planned.program->plan)) {
        if (tensor.name != "model.layers.0." + weight) continue;
        std::vector<std::int64_t> rows;
        for (const auto& shard : tensor.shards) rows.push_back(shard.pieces.front().shape[0]);
        return rows;
    }
    throw Error(weight, "no such tensor");
}

PlanRequest request_on(const HardwareProfile& group) {
    PlanRequest request;
    request.plan = best(group.devices);
    request.workload = prompt();
    return request;
}

}  // namespace

TEST_CASE("mixed plan: ratios are those of whole heads, and of small numbers, once each") {
    // 4 heads over 1 + 1: 3, 2 or 1 of them; 2:1, 3:2, 4:3 and their reverses leave each a head
    const std::vector<Shares> expected{{1, 1, 1}, {1, 1, 3}, {1, 3, 1}, {1, 1, 2}, {1, 2, 1},
                                       {1, 2, 3}, {1, 3, 2}, {1, 3, 4}, {1, 4, 3}};
    CHECK(shares_to_weigh(1, 1, 4) == expected);
    // 2 heads over 1 + 1 and 1 over 1 + 1: nothing to weigh
    CHECK(shares_to_weigh(1, 1, 2) == std::vector<Shares>{{1, 1, 1}});
    CHECK(shares_to_weigh(1, 1, 1) == std::vector<Shares>{{1, 1, 1}});
    const auto many = shares_to_weigh(1, 1, 1000);
    CHECK(many.size() > kMostShares / 2);
    CHECK(many.size() <= kMostShares);
    CHECK(many.front() == Shares{1, 1, 1});
}

TEST_CASE("mixed plan: every rank has a head under every ratio") {
    for (int first = 1; first <= 4; ++first) {
        for (int second = 1; second <= 4; ++second) {
            for (std::int64_t heads = first + second; heads < 70; heads += 3) {
                for (const auto& shares : shares_to_weigh(first, second, heads)) {
                    const Split split{
                        .kind = SplitKind::balanced, .parts = first + second, .shares = shares};
                    for (int rank = 0; rank < split.parts; ++rank) {
                        INFO(first << "+" << second << ", " << heads << " heads, " << shares.first
                                   << ":" << shares.rest << ", rank " << rank);
                        CHECK(local_extent(split, heads, rank) > 0);
                    }
                }
            }
        }
    }
}

TEST_CASE("mixed plan: a kind twice as fast gets twice the columns") {
    const auto made = plan_on(join_kinds(toy("fast", 2), toy("slow", 1)));
    CHECK(ratio(made.decision.shares) == Catch::Approx(2));
    CHECK(rows_of(made, "self_attn.q_proj.weight") == std::vector<std::int64_t>{128, 64});
    CHECK(rows_of(made, "mlp.gate_proj.weight") == std::vector<std::int64_t>{128, 64});
    CHECK(made.planned.program->certificate->gap == 0);
    CHECK_THAT(made.decision.sentence, Contains("2:1 for 1 x fast and 1 x slow by speed"));
    CHECK_THAT(made.decision.sentence, Contains("faster than equal shares"));
    const auto reversed = plan_on(join_kinds(toy("slow", 1), toy("fast", 2)));
    CHECK(ratio(reversed.decision.shares) == Catch::Approx(0.5));
    CHECK(reversed.planned.program->totals.step.value ==
          Catch::Approx(made.planned.program->totals.step.value));
}

TEST_CASE("mixed plan: a kind with little memory gets less than its speed") {
    const auto roomy = plan_on(join_kinds(toy("a", 1), toy("b", 1)));
    CHECK(roomy.decision.shares == Shares{1, 1, 1});
    const double needs = roomy.planned.program->totals.memory.total.value;
    const auto made = plan_on(join_kinds(toy("a", 1), toy("b", 1, 0.8 * needs / 0.9)));
    CHECK(ratio(made.decision.shares) > 1);
    CHECK(made.planned.program->totals.memory.fits);
    CHECK_THAT(made.decision.sentence, Contains("by memory"));
    CHECK_THAT(made.decision.sentence, Contains("equal shares do not fit"));
}

TEST_CASE("mixed plan: no ratio of shares is faster than the one chosen") {
    for (const double speed : {1.0, 1.4, 3.0, 7.0}) {
        const auto group = join_kinds(toy("a", speed), toy("b", 1));
        const auto made = plan_on(group);
        const auto model = build_model(twelve());
        double least = kIllegal;
        for (int a = 1; a <= 24; ++a) {
            for (int b = 1; b <= 24; ++b) {
                auto options = best(2);
                options.shares = Shares{1, a, b};
                if (12 * std::min(a, b) < a + b) continue;  // somebody has no head
                const auto found = search_layout(model, options, group, {}, prompt());
                least = std::min(least, found.totals.step.value);
            }
        }
        INFO(speed);
        CHECK(made.planned.program->totals.step.value == Catch::Approx(least).epsilon(1e-9));
    }
}

TEST_CASE("mixed plan: two kinds that are the same give the plan of one kind") {
    const auto config = load_model_config("qwen3-0.6b");
    const auto plain_profile = load_hardware("l40s");
    auto one = plain_profile, three = plain_profile;
    one.devices = 1;
    three.devices = 3;
    for (const auto& [first, tp] : {std::pair(one, 2), {three, 4}}) {
        const auto group = join_kinds(first, one);
        auto request = request_on(group);
        request.workload = {};
        const auto mixed = make_plan_document(config, group, request).document.value();
        const auto plain = make_plan_document(config, plain_profile, request).document.value();
        INFO(tp);
        CHECK(mixed.tp == tp);
        CHECK(mixed.shares->shares.first == mixed.shares->shares.rest);
        CHECK(mixed.program == plain.program);
        CHECK(mixed.tensors == plain.tensors);
        CHECK(mixed.certificate == plain.certificate);
        CHECK(mixed.predicted.step == plain.predicted.step);
        CHECK(mixed.predicted.interval_90 == plain.predicted.interval_90);
        CHECK(mixed.predicted.memory == plain.predicted.memory);
    }
}

TEST_CASE("mixed plan: the document checks, and an edited share does not") {
    const auto group = load_group("h100-sxm:1+l4:1");
    auto request = request_on(group);
    request.workload.input = 4096;
    const auto made = make_plan_document(tiny("llama"), group, request).document.value();
    REQUIRE(made.predicted.kinds);
    CHECK(made.predicted.kinds->size() == 2);
    CHECK(made.predicted.shares == made.shares->shares);
    const auto document = to_json(made);
    CHECK(check_plan(document, "plan").empty());
    for (const auto& path : {"/request/plan/shares/first", "/shares/shares/first",
                             "/shares/weighed/0/step_s", "/hardware/kinds/1/memory_bytes",
                             "/predicted/kinds/1/compute_s", "/hardware/kinds/0/devices"}) {
        auto edited = document;
        auto& number = edited[Json::json_pointer(path)];
        number = number.get<double>() > 1 ? 7 : 3;
        INFO(path);
        CHECK(!check_plan(edited, "plan").empty());
    }
}

TEST_CASE("mixed plan: transformers' own plan cuts evenly") {
    const auto group = load_group("l40s:1+rtx-4090:1");
    auto options = options_for(2, LayoutChoice::hf, Kernels::served);
    const auto config = load_model_config("qwen3-0.6b");
    const auto made = plan_mixed(config, build_model(config), options, group, {}, {});
    CHECK(made.decision.shares == Shares{1, 1, 1});
    CHECK(made.decision.weighed.empty());
    CHECK(made.planned.program->totals.step.value > 0);
}

TEST_CASE("mixed plan: what two kinds of GPU are not planned for is refused in words") {
    const auto group = load_group("l40s:1+rtx-4090:1");
    const auto refused = [&](auto change) {
        auto request = request_on(group);
        change(request);
        return error_text([&] { make_plan_document(tiny("llama"), group, request); });
    };
    CHECK_THAT(refused([](PlanRequest& r) { r.plan.tp = 1; }), Contains("--tp"));
    CHECK_THAT(refused([](PlanRequest& r) { r.gpus.value = 2; }), Contains("--gpus"));
    CHECK_THAT(refused([](PlanRequest& r) { r.cost.nodes = 2; }), Contains("--nodes"));
    CHECK_THAT(refused([](PlanRequest& r) {
                   r.workload.phase = Phase::train;
                   r.training.emplace();
                   r.training->mesh.tp = 2;
               }),
               Contains("--phase train"));
}
