#include "cost_model/gemm.h"

#include <algorithm>

#include "cost_model/hardware.h"
#include "cost_model/op_cost.h"
#include "tests/support/catch.h"

using namespace tplan;

namespace {

constexpr double kEndless = 1e30;

/// Four SMs that take a second for a tile of 128 x 128 and one column of k; nothing else costs.
GemmDevice four_sms() {
    return {.sm_count = 4,
            .peak = 4 * 2 * 128 * 128,
            .fp32_peak = 4,
            .memory_bandwidth = kEndless,
            .l2_bytes = 1e6};
}

GemmParameters arithmetic_only() {
    GemmParameters p;
    p.peak_share = p.memory_share = 1;
    p.sm_l2_ratio = p.sm_memory_ratio = p.l2_ratio = kEndless;
    p.least_split = kEndless;
    return p;
}

double seconds(const GemmParameters& p, double m, double n, double k, double groups = 1,
               Residency weights = Residency::cold, GemmDevice device = four_sms()) {
    return gemm_time(gemm_kernel(device, p, n, k, {}), m, groups, weights).seconds;
}

}  // namespace

TEST_CASE("a product takes as many waves as its tiles fill") {
    auto p = arithmetic_only();
    CHECK(seconds(p, 128, 512, 1) == Catch::Approx(1));  // all four SMs busy for a second
    CHECK(seconds(p, 128, 512, 7) == Catch::Approx(7));
    // Five tiles of 64 x 32, an eighth of a second each: four SMs need two waves.
    CHECK(seconds(p, 64, 160, 1) == Catch::Approx(0.25));
    p.wave_rounding = 0;
    CHECK(seconds(p, 64, 160, 1) == Catch::Approx(1.25 * 0.125));
    // One row costs as much as the 32 of the lowest tile: 4 columns of 32 x 64.
    CHECK(seconds(p, 1, 256, 1) == Catch::Approx(0.125));
    CHECK(seconds(p, 32, 256, 1) == Catch::Approx(0.125));
    p.wave = Seconds(8);  // half a second for a wave of 64 x 32
    CHECK(seconds(p, 64, 128, 1) == Catch::Approx(0.125 + 0.5));
    p.launch = Seconds(3);
    CHECK(seconds(p, 64, 128, 1) == Catch::Approx(3 + 0.125 + 0.5));
}

TEST_CASE("small tiles are slower where the parameters say so") {
    auto p = arithmetic_only();
    p.tile_loss = 1;  // 128 x 256 as it is, 128 x 128 half more, 64 x 64 two and a half
    CHECK(seconds(p, 512, 256, 1) == Catch::Approx(2));        // 4 of 128 x 256
    CHECK(seconds(p, 256, 256, 1) == Catch::Approx(1.5));      // 4 of 128 x 128
    CHECK(seconds(p, 128, 128, 1) == Catch::Approx(3.5 / 4));  // 4 of 64 x 64
}

TEST_CASE("k is split where tiles leave SMs idle, unless that costs more") {
    auto p = arithmetic_only();
    p.least_split = 25;
    // One tile of 64 x 32 takes 12.5 s; four parts a quarter of it.
    CHECK(seconds(p, 64, 32, 100) == Catch::Approx(12.5 / 4));
    CHECK(seconds(p, 64, 32, 50) == Catch::Approx(12.5 / 4));  // two parts: none below 25 columns
    p.split = Seconds(1);
    CHECK(seconds(p, 64, 32, 100) == Catch::Approx(12.5 / 4 + 1));
    p.split = Seconds(10);
    CHECK(seconds(p, 64, 32, 100) == Catch::Approx(12.5));
}

TEST_CASE("experts share the SMs and each brings its own weights") {
    auto p = arithmetic_only();
    CHECK(seconds(p, 128, 64, 1, 2) == Catch::Approx(0.125));  // 2 x 2 tiles of 64 x 32
    auto device = four_sms();
    device.memory_bandwidth = 10;
    device.peak = kEndless;
    device.l2_bytes = 1e9;
    CHECK(seconds(p, 64, 50, 100, 1, Residency::cold, device) == Catch::Approx(1000));
    CHECK(seconds(p, 64, 50, 100, 3, Residency::cold, device) == Catch::Approx(3000));
    CHECK(seconds(p, 64, 50, 100, 3, Residency::warm, device) == Catch::Approx(0).margin(1e-9));
    p.cold = Seconds(2);
    CHECK(seconds(p, 64, 50, 100, 1, Residency::cold, device) == Catch::Approx(1002));
}

TEST_CASE("arithmetic and traffic overlap as far as the parameters say") {
    auto p = arithmetic_only();
    auto device = four_sms();
    device.memory_bandwidth = 32768;  // 128 x 128 weights of two bytes take a second
    CHECK(seconds(p, 128, 128, 4, 1, Residency::cold, device) == Catch::Approx(1));
    p.overlap_loss = 4;  // not at all where both are equal: 64 x 128 tiles, 1 s beside 1/32 s
    const double compute = 1, memory = 1.0 / 32;
    CHECK(seconds(p, 128, 128, 4, 1, Residency::cold, device) ==
          Catch::Approx(
              0.5 * (compute + memory +
                     std::sqrt((compute - memory) * (compute - memory) + 4 * compute * memory))));
}

TEST_CASE("data stays in L2 up to half of it") {
    CHECK(l2_resident(0.5) == 1);
    CHECK(l2_resident(1) == 0.5);
    CHECK(l2_resident(1.5) == 0);
}

TEST_CASE("no profile prices a larger product below a smaller one") {
    for (const auto& name : hardware_names()) {
        const auto hardware = load_hardware(name);
        for (const auto& p : hardware.gemm) {
            const auto device = gemm_device(hardware, p.dtype);
            const double element = bytes_of(p.dtype);
            const auto time = [&](double m, double n, double k, Residency weights) {
                return gemm_time(gemm_kernel(device, p, n, k, {element, element, 2}), m, 1, weights)
                    .seconds;
            };
            const auto grows = [&](auto&& at) {
                double last = 0;
                for (double x = 1; x < 40000; x = std::ceil(x * 1.02)) {
                    const double now = at(x);
                    if (now < last * (1 - 1e-12)) return x;
                    last = now;
                }
                return 0.0;
            };
            INFO(name << " " << name_of(p.dtype));
            for (const auto weights : {Residency::cold, Residency::warm}) {
                for (const double side : {64.0, 1000.0, 8192.0}) {
                    CHECK(grows([&](double x) { return time(x, side, 4096, weights); }) == 0);
                    CHECK(grows([&](double x) { return time(side, x, 4096, weights); }) == 0);
                    CHECK(grows([&](double x) { return time(side, 4096, x, weights); }) == 0);
                }
                CHECK(time(64, 4096, 4096, Residency::warm) <
                      time(64, 4096, 4096, Residency::cold));
            }
        }
    }
}

TEST_CASE("more memory bandwidth never makes a product slower") {
    const auto hardware = load_hardware("h100-sxm");
    auto device = gemm_device(hardware, DType::bf16), faster = device;
    faster.memory_bandwidth *= 1.5;
    const auto& p = *gemm_parameters(hardware, DType::bf16);
    for (const double m : {1.0, 64.0, 300.0, 8192.0}) {
        const double now = gemm_time(gemm_kernel(device, p, 8192, 8192, {}), m).seconds;
        const double then = gemm_time(gemm_kernel(faster, p, 8192, 8192, {}), m).seconds;
        CHECK(then <= now);
        if (m == 1) CHECK(then < now * 0.75);
    }
}

TEST_CASE("a product finds its parameters by the tensor cores it uses") {
    const auto h100 = load_hardware("h100-sxm"), v100 = load_hardware("v100-sxm");
    const auto* bf16 = gemm_parameters(h100, DType::bf16);
    CHECK(bf16->dtype == DType::bf16);
    CHECK(gemm_parameters(h100, DType::fp16) == bf16);
    CHECK_FALSE(borrows(*bf16, DType::fp16));
    CHECK(gemm_parameters(h100, DType::fp8)->dtype == DType::fp8);
    CHECK(gemm_parameters(h100, DType::fp32) == bf16);
    CHECK(borrows(*bf16, DType::fp32));
    CHECK(gemm_parameters(v100, DType::fp16)->transferred);
    auto plain = h100;
    plain.gemm.clear();
    CHECK(gemm_parameters(plain, DType::bf16) == nullptr);
}

TEST_CASE("regimes change at 64 rows and at 1024") {
    CHECK(gemm_regime(64) == 0);
    CHECK(gemm_regime(65) == 1);
    CHECK(gemm_regime(1023) == 1);
    CHECK(gemm_regime(1024) == 2);
}
