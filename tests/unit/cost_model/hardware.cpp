#include "cost_model/hardware.h"

#include <algorithm>

#include "tests/support/catch.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

std::string load_error(const std::string& hw) {
    try {
        load_hardware(hw);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

std::string message_of(const Json& document) {
    try {
        read_hardware(document, "toy.json");
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("every shipped profile reads, with a source for every figure") {
    const auto names = hardware_names();
    for (const auto* name :
         {"a100-sxm", "a100-sxm-40gb", "a100-pcie", "h100-sxm", "h100-pcie", "h200-sxm", "b200-sxm",
          "l4", "l40s", "a10", "rtx-4090", "rtx-pro-6000-server", "v100-sxm"}) {
        CHECK(std::count(names.begin(), names.end(), name) == 1);
    }
    for (const auto& name : names) {
        INFO(name);
        auto hardware = load_hardware(name);
        CHECK(hardware.name == name);
        hardware.origin.clear();  // not in the document
        CHECK(hardware.sources.size() == figure_keys(hardware).size());
        CHECK(std::any_of(hardware.links.begin(), hardware.links.end(),
                          [](const auto& link) { return link.kind == LinkKind::pcie; }));
        CHECK(read_hardware(to_json(hardware), name) == hardware);
    }
}

TEST_CASE("peaks are the dense ones of the datasheets") {
    const auto h100 = load_hardware("h100-sxm");
    CHECK(peak_rate(h100, DType::bf16).value == 989.4e12);
    CHECK(peak_rate(h100, DType::fp8).value == 1978.9e12);
    CHECK(peak_rate(h100, DType::fp32).value == 67e12);
    CHECK(peak_rate(load_hardware("a100-sxm"), DType::bf16).value == 312e12);
    CHECK(load_hardware("a100-sxm").memory_bandwidth.value == 2.039e12);
}

TEST_CASE("a dtype the device lacks runs in the nearest wider one") {
    const auto v100 = load_hardware("v100-sxm"), a100 = load_hardware("a100-sxm");
    CHECK(usable_dtype(v100, DType::fp16) == DType::fp16);
    CHECK(usable_dtype(v100, DType::bf16) == DType::fp32);
    CHECK(usable_dtype(a100, DType::fp8) == DType::bf16);
    auto none = test::toy_hardware();
    none.peaks = {{DType::bf16, FlopRate(1)}};
    CHECK_THROWS_AS(peak_rate(none, DType::fp32), Error);
}

TEST_CASE("an unknown profile names the nearest") {
    CHECK_THAT(load_error("h100-smx"), Contains("h100-sxm"));
    CHECK_THAT(load_error("zzzzzzzzzzzz"), Contains("a100-pcie"));
}

TEST_CASE("a profile is read strictly") {
    const auto good = to_json(test::toy_hardware());
    REQUIRE_NOTHROW(read_hardware(good, "toy.json"));

    auto bad = good;
    bad["sm_count"] = 3.7;
    CHECK_THAT(message_of(bad), Contains("toy.json/sm_count"));
    bad = good;
    bad["memory_bytes"] = 0;
    CHECK_THAT(message_of(bad), Contains("toy.json/memory_bytes: expected more than 0"));
    bad = good;
    bad["gemm_efficiency"] = 1.01;
    CHECK_THAT(message_of(bad), Contains("gemm_efficiency"));
    bad = good;
    bad["peaks"] = Json::array();
    CHECK_THAT(message_of(bad), Contains("peak"));
    bad = good;
    bad["links"][1]["bytes_per_s"] = -1;
    CHECK_THAT(message_of(bad), Contains("links/1/bytes_per_s"));
    bad = good;
    bad["colour"] = "red";
    CHECK_THAT(message_of(bad), Contains("colour"));
    bad = good;
    bad["schema"] = "tplan.hardware/2";
    CHECK_THAT(message_of(bad), Contains("schema"));
}

TEST_CASE("parameters of products are checked against the peaks they are ratios to") {
    const auto good = to_json(load_hardware("h100-sxm"));
    REQUIRE_NOTHROW(read_hardware(good, "h100.json"));
    REQUIRE(good["gemm"].size() == 2);

    auto bad = good;
    bad["gemm"][1]["dtype"] = "bf16";
    CHECK_THAT(message_of(bad), Contains("gemm/1/dtype: a second bf16"));
    bad = good;
    bad["gemm"][0]["dtype"] = "mxfp4";
    CHECK_THAT(message_of(bad), Contains("gemm/0/dtype: no peak rate for mxfp4"));
    bad = good;
    bad["gemm"][0]["peak_share"] = 1.2;
    CHECK_THAT(message_of(bad), Contains("gemm/0/peak_share"));
    bad = good;
    bad["gemm"][0]["split_s"] = -1e-6;
    CHECK_THAT(message_of(bad), Contains("gemm/0/split_s: expected at least 0"));
    bad = good;
    bad["gemm"][1]["width"][2] = 0;
    CHECK_THAT(message_of(bad), Contains("gemm/1/width"));
    bad = good;
    bad["gemm"][0]["fitted_rows"] = {2, 1};
    CHECK_THAT(message_of(bad), Contains("gemm/0/fitted_rows"));
    bad = good;
    bad["peaks"].erase(0);  // fp32
    bad["sources"].erase("peaks/fp32");
    CHECK_THAT(message_of(bad), Contains("fp32"));
    bad = good;
    bad["sources"].erase("gemm/fp8");
    CHECK_THAT(message_of(bad), Contains("gemm/fp8"));
}

TEST_CASE("every figure has exactly one source") {
    auto missing = to_json(test::toy_hardware());
    missing["sources"].erase("launch_s");
    CHECK_THAT(message_of(missing), Contains("launch_s"));

    auto extra = to_json(test::toy_hardware());
    extra["sources"]["launch"] = extra["sources"]["launch_s"];
    CHECK_THAT(message_of(extra), Contains("sources/launch: ") && Contains("launch_s"));

    CHECK(assumed_figures(test::toy_hardware()).size() == figure_keys(test::toy_hardware()).size());
}

TEST_CASE("measured points are checked too") {
    auto hardware = test::toy_hardware();
    hardware.tables.gemm = {{DType::fp32, 1, 1, 2, 3, Seconds(1)}};
    hardware.sources.emplace_back("tables", Source{SourceKind::measured, "a test", "2026-01-01"});
    REQUIRE_NOTHROW(read_hardware(to_json(hardware), "toy.json"));
    hardware.tables.gemm[0].time = Seconds(0);
    CHECK_THAT(message_of(to_json(hardware)), Contains("tables/gemm/0/time_s"));
}
