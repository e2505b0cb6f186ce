// The program with a CUDA plugin that needs no GPU: see tests/fake_cuda.
#include <filesystem>

#include "tests/e2e/commands.h"
#include "tests/support/skip.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// It is built from the kernels, with headers of the CUDA toolkit.
bool has_plugin() {
    return std::filesystem::exists(TPLAN_FAKE_CUDA "/libtplan_cuda.so");
}

/// With the fake plugin, and `folder` as home of calibrated profiles.
ProcessOptions with_gpu(const TempDir& folder) {
    ProcessOptions options;
    options.environment = {{"TPLAN_PLUGIN_PATH", TPLAN_FAKE_CUDA},
                           {"XDG_CACHE_HOME", folder / "cache"}};
    return options;
}

}  // namespace

TEST_CASE("calibrate --backend cuda lays replayed graphs over the profile it is told") {
    if (!has_plugin()) return skip("no CUDA toolkit headers on this machine");
    const TempDir folder;
    const auto told = run_tplan({"calibrate", "--backend", "cuda"}, with_gpu(folder));
    CHECK(told.exit_code == 2);
    CHECK_THAT(told.err, Catch::Contains("--hw") && Catch::Contains("Test GPU") &&
                             Catch::Contains("h200-sxm"));

    const auto result =
        run_tplan({"calibrate", "--backend", "cuda", "--hw", "l4", "--budget-s", "0.1", "--json"},
                  with_gpu(folder));
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    const auto profile = parse_json(result.out, "stdout");
    CHECK(profile["name"] == "this-cuda");
    CHECK(profile["sources"]["tables"]["kind"] == "measured");
    CHECK_THAT(profile["sources"]["tables"]["ref"].get<std::string>(),
               Catch::Contains("a driver of the tests"));
    const auto& products = profile["tables"]["gemm"];
    REQUIRE_FALSE(products.empty());
    for (const auto& p : products) {
        // Nothing but the arithmetic: the gaps of launching are not part of a graph.
        const double flops = 2 * p["m"].get<double>() * p["n"].get<double>() * p["k"].get<double>();
        CHECK(p["time_s"].get<double>() == Approx(flops / 1e14).epsilon(1e-6));
    }
    for (const auto& p : profile["tables"]["attention"])
        CHECK(p["time_s"].get<double>() == Approx(2e-6).epsilon(1e-6));

    const auto found = run_tplan({"hardware", "this-cuda"}, with_gpu(folder));
    INFO(found.err);
    CHECK(found.exit_code == 0);
    CHECK_THAT(found.out, Catch::Contains("Test GPU"));
}

TEST_CASE("hardware --detect shows the GPUs of the driver and what lies between them") {
    const TempDir folder;
    auto options = with_gpu(folder);
    options.environment.emplace_back("LD_LIBRARY_PATH", TPLAN_FAKE_CUDA);
    const auto result = run_tplan({"hardware", "--detect"}, options);
    REQUIRE(result.exit_code == 0);
    CHECK_THAT(result.out, Catch::Contains("0000:f3:00.0, PCIe 4 x16, 4 NVLink lanes") &&
                               Catch::Contains("across sockets, no P2P"));
    if (has_plugin()) {  // whose one GPU is all that CUDA sees
        CHECK_THAT(result.out, Catch::Contains("not measured: CUDA sees fewer than two GPUs"));
    }
    const auto json = run_tplan({"hardware", "--detect", "--json"}, options);
    const auto machine = parse_json(json.out, "stdout");
    CHECK(machine["driver"] == "999.99");
    REQUIRE(machine["gpus"].size() == 4);
    CHECK(machine["gpus"][2]["name"] == "Test GPU");
    REQUIRE(machine["paths"].size() == 6);
    for (const auto& path : machine["paths"]) {
        const bool pair = path["a"].get<int>() / 2 == path["b"].get<int>() / 2;
        CHECK(path["path"] == (pair ? "NVLink" : "across sockets"));
        CHECK(path["peer"] == pair);
    }
}

TEST_CASE("a GPU's step is timed as one graph, its ops one by one") {
    if (!has_plugin()) return skip("no CUDA toolkit headers on this machine");
    const TempDir folder;
    const auto plan = folder / "plan.json", out = folder / "run.json";
    REQUIRE(run_tplan({"plan", "qwen3-0.6b", "--hw", "l4", "--tp", "1", "--batch", "1", "--context",
                       "64", "-o", plan})
                .exit_code == 0);
    const auto result =
        run_tplan({"run", plan, "--backend", "cuda", "--layers", "1", "--reps", "4", "-o", out},
                  with_gpu(folder));
    INFO(result.err);
    CHECK(result.exit_code == 1);  // its clock is no GPU's
    const auto run = load_json(out);
    CHECK(run["verdict"] == "out-of-interval");
    CHECK(run["numerics"]["pass"] == true);
    double one_by_one = 0, kernels = 0;
    for (const auto& op : run["measured"]["ops"]) {
        one_by_one += op["time_s"].get<double>();
        ++kernels;
    }
    const double step = run["measured"]["step_s"]["median"].get<double>();
    CHECK(step > 0);
    // Every op has one gap or, of several kernels, more.
    CHECK(one_by_one - step > 5e-6 * (kernels - 0.5));
}

TEST_CASE("hardware --detect measures copies between GPUs, and says which go by the host") {
    if (!has_plugin()) return skip("no CUDA toolkit headers on this machine");
    const TempDir folder;
    auto options = with_gpu(folder);
    options.environment.emplace_back("LD_LIBRARY_PATH", TPLAN_FAKE_CUDA);
    options.environment.emplace_back("TPLAN_FAKE_GPUS", "4");
    const auto result = run_tplan({"hardware", "--detect"}, options);
    REQUIRE(result.exit_code == 0);
    CHECK_THAT(result.out, Catch::Contains("measured copies of 64 MiB") &&
                               Catch::Contains("50.0 GB/s") && !Catch::Contains("WRONG"));
    const auto json = run_tplan({"hardware", "--detect", "--json"}, options);
    const auto machine = parse_json(json.out, "stdout");
    REQUIRE(machine["copies"].size() == 12);
    for (const auto& copy : machine["copies"]) {
        CHECK(copy["right"] == true);
        const bool pair = copy["from"].get<int>() / 2 == copy["to"].get<int>() / 2;
        CHECK(copy["direct"] == pair);
        const double rate = copy["bytes_per_s"].get<double>();
        // A slow machine has no time for the last ones.
        if (rate > 0) CHECK(rate == Approx(pair ? 50e9 : 25e9));
    }
}
