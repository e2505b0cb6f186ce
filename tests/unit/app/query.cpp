#include "app/query.h"

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_configs.h"
#include "tests/unit/app/queries.h"

using namespace tplan;
using Catch::Matchers::Contains;
using test::query_of;

namespace {

std::string complaint(const Query& query) {
    try {
        resolve(query);
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

}  // namespace

TEST_CASE("a query takes its dtypes from the model and refuses what cannot be") {
    auto query = query_of("llama-3.1-8b", "h100-sxm");
    CHECK(resolve(query).request.workload.kv_dtype == DType::bf16);
    query.dtype = DType::fp8;
    CHECK(resolve(query).request.workload.kv_dtype == DType::fp8);

    query.request.plan.tp = 9;
    CHECK_THAT(complaint(query), Contains("--tp 9") && Contains("8 GPUs"));
    query.request.plan.tp = 1;
    query.request.workload.context = 0;
    CHECK_THAT(complaint(query), Contains("--context"));
    query.request.workload.context = 1;
    query.request.workload.phase = Phase::train;
    CHECK_THAT(complaint(query), Contains("--phase") && Contains("--mesh"));
}

TEST_CASE("a device_map excludes every plan, and a plan by hand beside the verdict") {
    const test::TempDir folder;
    auto config = test::tiny_config("llama");
    config["device_map"] = "auto";
    auto query = query_of(folder.file("config.json", json_text(config)), "h100-sxm");
    CHECK_THAT(complaint(query), Contains("device_map"));
    const auto by_hand = folder.file("plan.json", R"({"layers.*.mlp.up_proj": "colwise"})");
    CHECK_THROWS_AS(plan_by_hand(read_model_config(config, "tiny"), by_hand), Error);
}
