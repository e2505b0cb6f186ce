#include "cost_model/calibrate.h"

#include <cmath>

#include "cost_model/estimate.h"
#include "tests/support/catch.h"
#include "tests/unit/cost_model/hand_program.h"

using namespace tplan;

namespace {

/// A machine whose truth is known: 100 Gflop/s with a loss at few rows, 25 GB/s a rank, 2 us a
/// step.
double true_product(double m, double n, double k) {
    const double compute = 2 * m * n * k / (100e9 * m / (m + 3));
    const double memory = 4 * (n * k + m * (n + k)) / 25e9;
    return 2e-6 + std::pow(std::pow(compute, 3) + std::pow(memory, 3), 1.0 / 3);
}

Tables measure() {
    Tables t;
    for (const int ranks : {1, 2}) {
        for (const std::int64_t m : {1, 16, 128}) {
            for (const std::int64_t n : {512, 1024, 2048, 4096, 8192}) {
                for (const std::int64_t k : {1024, 2048, 4096}) {
                    const double time = true_product(double(m), double(n), double(k));
                    t.gemm.push_back({DType::fp32, ranks, m, n, k, Seconds(time)});
                }
            }
        }
    }
    for (const double bytes : {4e3, 64e3, 1e6, 16e6}) {
        t.collectives.push_back(
            {OpKind::all_reduce, CollectiveImpl::cpu_shm, 2, bytes, Seconds(1e-6 + bytes / 40e9)});
        t.elementwise.push_back({OpKind::norm, 2, bytes, Seconds(2e-6 + bytes / 20e9)});
    }
    return t;
}

MachineFacts facts() {
    MachineFacts f;
    f.name = "this-cpu";
    f.description = "a known machine";
    f.backend = "cpu";
    f.architecture = "x86-64";
    f.devices = 2;
    f.memory = Bytes(8e9);
    f.l2_cache = Bytes(1 << 20);
    f.streaming = Bandwidth(24e9);
    f.method = "a formula";
    f.date = "2026-01-01";
    return f;
}

}  // namespace

TEST_CASE("a fitted profile reads back, with measured sources") {
    const auto profile = fit_profile(facts(), measure());
    CHECK(read_hardware(to_json(profile), "fitted") == profile);
    CHECK(profile.memory_bandwidth.value == Catch::Approx(25e9).epsilon(0.05));
    CHECK(profile.peaks.at(0).rate.value == Catch::Approx(97.7e9).epsilon(0.02));
    CHECK(profile.launch.value == Catch::Approx(2e-6).epsilon(0.05));
    CHECK(profile.links.at(0).kind == LinkKind::shared_memory);
    CHECK(profile.links.at(0).bandwidth.value == Catch::Approx(40e9).epsilon(0.01));
    CHECK(profile.interval_compute == 0.10);  // the floor: the truth is smooth
}

TEST_CASE("a machine that does not repeat itself gets a wider interval") {
    auto unsteady = facts();
    unsteady.repeatability = 0.24;
    const auto profile = fit_profile(unsteady, measure());
    CHECK(profile.interval_compute == Catch::Approx(0.24).epsilon(0.02));
    CHECK(profile.interval_collective == 0.24);
}

TEST_CASE("products between the calibrated ones are predicted within a few percent") {
    const auto profile = fit_profile(facts(), measure());
    for (const double n : {700.0, 1408.0, 5632.0}) {
        for (const double k : {1100.0, 2816.0, 4000.0}) {
            const auto program =
                test::single(test::product(std::int64_t(n), std::int64_t(k), DType::fp32), {}, 2);
            const auto compiled = compile(program, profile, {});
            for (const std::int64_t m : {1, 16, 128}) {
                const auto cost = price_step(compiled, 0, 0, {.batch = m});
                CHECK(cost.time.value ==
                      Catch::Approx(true_product(double(m), n, k)).epsilon(0.03));
                CHECK(cost.domain == Domain::interpolated);
            }
            // Off the grid in m too, where only the analytic shape carries it.
            CHECK(price_step(compiled, 0, 0, {.batch = 48}).time.value ==
                  Catch::Approx(true_product(48, n, k)).epsilon(0.10));
        }
    }
}

TEST_CASE("what cannot be fitted is an error") {
    CHECK_THROWS_AS(fit_profile(facts(), {}), Error);
    auto no_collective = measure();
    no_collective.collectives.clear();
    CHECK_THROWS_AS(fit_profile(facts(), no_collective), Error);
    auto alone = facts();
    alone.devices = 1;
    CHECK(fit_profile(alone, no_collective).links.empty());
}

TEST_CASE("tables laid over a datasheet correct it") {
    const auto base = load_hardware("h100-sxm");
    Tables tables;
    tables.gemm = {{DType::bf16, 1, 64, 8192, 8192, Seconds(70e-6)}};
    auto laid = with_tables(base, tables, {SourceKind::measured, "a file", "2026-01-01"});
    laid.origin.clear();  // not in the document
    CHECK(read_hardware(to_json(laid), "laid") == laid);
    const auto program = test::single(test::product(8192, 8192, DType::bf16));
    CHECK(price_step(compile(program, laid, {}), 0, 0, {.batch = 64}).time.value ==
          Catch::Approx(70e-6));
    CHECK(laid.peaks == base.peaks);
}
