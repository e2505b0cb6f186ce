#include "planner/decision.h"

#include "cost_model/single_op.h"
#include "planner/document.h"
#include "planner/pareto.h"
#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// Seconds of products and of all-reduces, with their 90 % half widths.
KindSums times_of(double linear, double linear_width, double reduce, double reduce_width) {
    KindSums times;
    times.add(CostKind::linear, linear, linear_width);
    times.add(CostKind::all_reduce, reduce, reduce_width);
    return times;
}

PlanDocument weighed(const std::string& preset, const std::string& hardware, int gpus,
                     Objective objective, std::int64_t batch,
                     const std::optional<double>& usd_per_hour = {}) {
    const auto config = load_model_config(preset);
    auto profile = load_hardware(hardware);
    profile.usd_per_hour = usd_per_hour;
    PlanRequest request;
    request.gpus.value = gpus;
    request.objective = objective;
    request.workload.batch = batch;
    request.workload.dtype = request.workload.kv_dtype = config.dtype;
    return make_plan_document(config, profile, request).document.value();
}

}  // namespace

TEST_CASE("decision: errors that both share do not blur the difference") {
    // Only products, 50 % unsure: a standard deviation of 0.304. Of its square 4/5 act on the
    // difference of 1 and 1/5 on each: 0.304 sqrt(0.8 + 0.2 * 5) = 0.408, 2.452 of which are 1.
    const double alone = probability_ahead(times_of(1, 0.5, 0, 0), 1, times_of(2, 0.5, 0, 0), 1);
    CHECK(alone == Catch::Approx(0.99290).margin(0.0001));
    // A tie within a percent is not settled by shapes that miss by more each.
    CHECK(probability_ahead(times_of(1, 0.1, 0, 0), 1, times_of(1.01, 0.1, 0, 0), 1) < 0.65);
    // One saves in products what the other saves in all-reduces: a coin, whatever the widths.
    CHECK(probability_ahead(times_of(2, 0.3, 1, 0.3), 1, times_of(1, 0.3, 2, 0.3), 1) ==
          Catch::Approx(0.5));
    // Certain numbers decide for certain.
    CHECK(probability_ahead(times_of(1, 0, 1, 0), 1, times_of(1, 0, 1.1, 0), 1) == 1);
    CHECK(probability_ahead(times_of(1, 0, 1.1, 0), 1, times_of(1, 0, 1, 0), 1) == 0);
    // A scale turns seconds into cost: twice the GPUs for less than twice the speed.
    CHECK(probability_ahead(times_of(1, 0, 0, 0), 1, times_of(0.6, 0, 0, 0), 2) == 1);
}

TEST_CASE("decision: one sentence with margin, probability and what would change it") {
    const auto plan = weighed("llama-3.1-8b", "h100-sxm", 8, Objective::latency, 4);
    REQUIRE(plan.decision);
    const auto& decision = *plan.decision;
    REQUIRE(decision.runner_up.value);
    REQUIRE(decision.margin.value);
    CHECK(*decision.margin.value >= 0);
    REQUIRE(decision.probability.value);
    CHECK(*decision.probability.value >= 0.5);
    CHECK(*decision.probability.value <= 1);
    CHECK(decision.measurement.empty() == (*decision.probability.value >= 0.95));
    CHECK(decision.sentence.find(fmt::format("TP {}", plan.tp)) != std::string::npos);
    // Every flip is one: planned again under it, the other degree wins.
    for (const auto& flip : decision.flips) {
        CHECK(flip.tp != plan.tp);
        if (flip.what != "batch") continue;
        const auto batch = std::llround(4 * flip.factor);
        CHECK(weighed("llama-3.1-8b", "h100-sxm", 8, Objective::latency, batch).tp == flip.tp);
    }
}

TEST_CASE("decision: replicas fill the GPUs, and idle ones count") {
    const auto plan = weighed("llama-3.1-8b", "l40s", 8, Objective::throughput, 16);
    CHECK(plan.mesh.tp == plan.tp);
    CHECK(plan.mesh.dp_replicate == 8 / plan.tp);
    for (const auto& other : plan.alternatives) {
        if (other.stages > 1 || !other.feasible) continue;
        CHECK(other.replicas == 8 / other.tp);
        // 3 GPUs twice leave 2 of 8 idle
        if (other.tp == 3) {
            CHECK(*other.tokens_per_s_per_gpu.value ==
                  Catch::Approx(16 / other.step.value->value * 2 / 8));
        }
    }
}

TEST_CASE("decision: a token passes the hops between pipeline stages") {
    const auto plan = weighed("llama-3.1-8b", "h100-sxm", 8, Objective::latency, 16);
    const auto hop = price_single(
        load_hardware("h100-sxm"),
        CollectiveSize{.op = OpKind::all_to_all, .ranks = 2, .bytes = 2 * 16 * 4096 * 2});
    int staged = 0;
    for (const auto& row : plan.alternatives) {
        if (row.stages < 2 || row.tp != 1) continue;
        ++staged;
        const auto& whole = *std::ranges::find_if(plan.alternatives, [](const auto& other) {
            return other.tp == 1 && other.stages == 1;
        });
        CHECK(row.step.value->value - whole.step.value->value ==
              Catch::Approx((row.stages - 1) * hop.time.value).epsilon(1e-3));
    }
    CHECK(staged == 3);
}

TEST_CASE("decision: no Pareto point beats another, and a price gives dollars") {
    const auto plan = weighed("llama-3.1-8b", "h100-sxm", 8, Objective::throughput, 16, 2.5);
    const auto& points = plan.decision->pareto;
    REQUIRE(points.size() > 2);
    for (std::size_t i = 1; i < points.size(); ++i) {
        CHECK(points[i].tokens_per_s_per_user <= points[i - 1].tokens_per_s_per_user);
        CHECK(points[i].tokens_per_s_per_gpu > points[i - 1].tokens_per_s_per_gpu);
    }
    // $2.5 an hour at 1,000 tokens/s: 3.6 million tokens an hour
    auto profile = load_hardware("h100-sxm");
    CHECK_FALSE(usd_per_million_tokens(profile, 1000).value);
    profile.usd_per_hour = 2.5;
    CHECK(*usd_per_million_tokens(profile, 1000).value == Catch::Approx(2.5 / 3.6));
}

TEST_CASE("decision: says why two GPUs are slower than one") {
    // A step of about 2 ms, and 49 all-reduces of at least 0.1 ms each.
    auto slow_link = load_hardware("rtx-4090");
    for (auto& link : slow_link.links) {
        link.algorithms.clear();
        link.latency = Seconds(1e-4);
    }
    auto request = weighed("qwen2.5-0.5b", "rtx-4090", 2, Objective::latency, 1).request;
    request.plan.layout = LayoutChoice::hf;
    const auto plan = make_plan_document(load_model_config("qwen2.5-0.5b"), slow_link, request);
    REQUIRE(plan.document);
    CHECK(plan.document->tp == 1);
    CHECK(plan.document->decision->two_gpus.find("slower than one GPU") != std::string::npos);
}
