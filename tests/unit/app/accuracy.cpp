#include "app/accuracy.h"

#include "tests/support/catch.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// Rows of a product whose predictions are `ratios` times what was "measured".
std::string products(const std::vector<double>& ratios) {
    const auto cost =
        price_single(toy_hardware(), ProductSize{.dtype = DType::fp32, .m = 3, .n = 4, .k = 5});
    std::string text = "dtype,m,n,k,latency_us,system\n";
    for (const double ratio : ratios)
        text += fmt::format("fp32,3,4,5,{},{}\n", cost.time.value * 1e6 / ratio,
                            ratio < 1 ? "low" : "high");
    return text;
}

AccuracyDocument judge(const std::string& text, const RowFilter& filter = {}) {
    return accuracy(toy_hardware(), parse_csv(text, "t.csv"), filter);
}

}  // namespace

TEST_CASE("accuracy: errors, bias, coverage and width by hand") {
    // toy_hardware's half width is 0.2: measured within [0.8, 1.2] of the prediction is inside.
    const auto document = judge(products({0.5, 1.0, 1.1, 2.0}));
    REQUIRE(document.groups.size() == 2);  // one regime, and all
    const auto& g = document.groups[1];
    CHECK(g.op == "gemm");
    CHECK(g.dtype == "fp32");
    CHECK(g.impl.empty());
    CHECK(g.regime == "all");
    CHECK(document.groups[0].regime == "m<=64");
    CHECK(g.n == 4);
    CHECK(g.mape == Approx((0.5 + 0 + 0.1 + 1) / 4).margin(1e-6));
    CHECK(g.median_ape == Approx(0.3).margin(1e-6));             // between 0.1 and 0.5
    CHECK(g.p90_ape == Approx(0.5 + 0.7 * 0.5).margin(1e-6));    // 2.7 places along 0, .1, .5, 1
    CHECK(g.bias == Approx(std::pow(1.1, 0.25)).epsilon(1e-6));  // 0.5 x 1 x 1.1 x 2 = 1.1
    CHECK(g.coverage_90 == Approx(0.5));                         // 1.0 and 1.1
    CHECK(g.half_width_90 == Approx(0.2));
}

TEST_CASE("accuracy: filters are exact and say what there is") {
    const auto text = products({0.5, 1.0, 2.0});
    CHECK(judge(text, {.system = "low"}).groups.back().n == 1);
    CHECK(judge(text, {.where = {{"m", "3"}, {"system", "high"}}}).groups.back().n == 2);
    CHECK_THROWS_WITH(judge(text, {.system = "lo"}),
                      Catch::Matchers::Contains("no row is left with system = \"lo\"") &&
                          Catch::Matchers::Contains("low, high"));
    CHECK_THROWS_WITH(judge(text, {.impl = "nccl"}),
                      Catch::Matchers::Contains("no column \"impl\""));
    CHECK_THROWS_WITH(judge("dtype,m,n,k\nfp32,1,1,1\n"),
                      Catch::Matchers::Contains("no column \"latency_us\""));
    CHECK_THROWS_WITH(judge("dtype,m,n,k,latency_us\n"), Catch::Matchers::Contains("no rows"));
    CHECK_THROWS_WITH(judge("dtype,m,n,k,latency_us\nfp32,1,1,1,0\n"),
                      Catch::Matchers::Contains("t.csv:2:12"));
}

TEST_CASE("accuracy: an implementation matches with or without its version, groups keep it") {
    const std::string text =
        "op,dtype,num_gpus,message_bytes,impl,latency_us\n"
        "all_reduce,fp16,2,8,nccl-1,1\nall_reduce,fp16,2,8,nccl-2,1\nall_reduce,fp16,2,8,vllm-1,"
        "1\n";
    CHECK(judge(text, {.impl = "nccl"}).groups.size() == 4);  // two versions, each with its regime
    const auto one = judge(text, {.impl = "nccl-2"});
    REQUIRE(one.groups.size() == 2);
    CHECK(one.groups[0].impl == "nccl-2");
}

TEST_CASE("accuracy: sums of a layer add the half widths of one kind of op") {
    // Four linears of one kind: their half width is 0.2 of the sum, not less.
    const auto document = judge(
        "gpu,tp,num_tokens,hidden,intermediate,num_heads,num_kv_heads,gated,mlp_up_proj_us,"
        "linear_us\nx,1,2,8,8,2,2,1,5,9\n");
    REQUIRE(document.groups.size() == 4);
    CHECK(document.groups[2].op == "linear");
    CHECK(document.groups[2].half_width_90 == Approx(0.2));
}

TEST_CASE("predict: appended columns follow the row's own") {
    const auto table = parse_csv("note,dtype,m,n,k\n\"a, b\",fp32,3,4,5\n", "t.csv");
    const auto document = predict(toy_hardware(), table);
    REQUIRE(document.rows.size() == 1);
    CHECK(document.rows[0].line == 2);
    CHECK(document.rows[0].low.value == Approx(document.rows[0].time.value * 0.8));
    const auto text = predict_csv(document, table);
    CHECK(text.starts_with(
        "note,dtype,m,n,k,predicted_us,low_us,high_us,provenance,domain\n\"a, b\",fp32,3,4,5,"));
    CHECK(text.ends_with(",datasheet,datasheet-only\n"));
    const auto taken = parse_csv("dtype,m,n,k,low_us\nfp32,3,4,5,1\n", "t.csv");
    CHECK_THROWS_WITH(predict_csv(predict(toy_hardware(), taken), taken),
                      Catch::Matchers::Contains("has a column \"low_us\" already"));
}

TEST_CASE("predict: what cannot be priced names its line") {
    const auto table = parse_csv(
        "op,dtype,num_gpus,message_bytes,impl\nall_reduce,bf16,2,8,nccl\nall_reduce,bf16,5,8,"
        "nccl\n",
        "t.csv");
    CHECK_THROWS_WITH(predict(toy_hardware(), table), Catch::Matchers::Contains("t.csv:3"));
}
