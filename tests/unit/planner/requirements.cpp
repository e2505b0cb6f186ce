#include "planner/requirements.h"

#include <limits>

#include "tests/support/catch.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("a model without a graph and one with a device_map are refused with what to do") {
    CHECK(error_text([] { require_graph(tiny("llama")); }).empty());
    auto config = tiny("llama");
    config.family.clear();
    CHECK(holds(error_text([&] { require_graph(config); }),
                {"tiny llama/model_type", "no op graph for \"llama\"", "tplan inspect", "qwen3"}));
    CHECK(error_text([] { require_no_device_map(tiny("llama")); }).empty());
    config.device_map = true;
    CHECK(holds(error_text([&] { require_no_device_map(config); }),
                {"tiny llama/device_map", "drop one of the two"}));
}

TEST_CASE("a size out of range is named by its flag or by its path") {
    const auto refused = [](auto change, const std::string& where) {
        PlanRequest request;
        change(request);
        return error_text([&] { require_ranges(request, where); });
    };
    CHECK(refused([](PlanRequest&) {}, "").empty());
    const auto no_batch = [](PlanRequest& request) { request.workload.batch = 0; };
    CHECK(holds(refused(no_batch, ""), {"--batch: 0 is out of range", "from 1 to 2147483648"}));
    CHECK(holds(refused(no_batch, "plan.json/request"), {"plan.json/request/workload/batch"}));
    CHECK(holds(refused([](PlanRequest& r) { r.gpus.value = -1; }, "request"), {"request/gpus"}));
    CHECK(holds(refused([](PlanRequest& r) { r.plan.tp = 0; }, ""), {"--tp"}));
    CHECK(holds(refused([](PlanRequest& r) { r.cost.nodes = 1025; }, ""), {"--nodes"}));
    for (const double fraction : {0.0, 1.01, std::numeric_limits<double>::quiet_NaN()}) {
        CHECK(holds(refused([&](PlanRequest& r) { r.cost.memory_fraction = fraction; }, ""),
                    {"--memory-fraction"}));
    }
    CHECK(holds(refused([](PlanRequest& r) { r.cost.reserve = Bytes(-1); }, ""),
                {"--reserve-bytes"}));
}

TEST_CASE("a bound is a positive time of the phase that is planned") {
    const auto refused = [](Phase phase, auto change) {
        PlanRequest request;
        request.workload.phase = phase;
        change(request);
        return error_text([&] { require_ranges(request, ""); });
    };
    const auto tpot = [](double bound) {
        return [=](PlanRequest& request) { request.max_tpot.value = Seconds(bound); };
    };
    const auto ttft = [](PlanRequest& request) { request.max_ttft.value = Seconds(1); };
    CHECK(refused(Phase::decode, tpot(0.01)).empty());
    CHECK(refused(Phase::prefill, ttft).empty());
    CHECK(holds(refused(Phase::prefill, tpot(0.01)), {"--max-tpot-s", "prefill", "--max-ttft-s"}));
    CHECK(holds(refused(Phase::decode, ttft), {"--max-ttft-s", "decode", "--max-tpot-s"}));
    for (const double bad : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity()})
        CHECK(holds(refused(Phase::decode, tpot(bad)), {"--max-tpot-s", "above 0"}));
}
