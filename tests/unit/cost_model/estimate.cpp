#include "cost_model/estimate.h"

#include <cmath>

#include "cost_model/single_op.h"
#include "tests/support/catch.h"
#include "tests/unit/cost_model/hand_program.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;
using Catch::Matchers::Contains;

namespace {

/// Sums of the rows of the document, by hand.
void check_sums(const Program& program, const HardwareProfile& hardware, const CostOptions& options,
                const Workload& workload) {
    const auto compiled = compile(program, hardware, options);
    const auto totals = price(compiled, workload);
    double compute = 0, collective = 0, launch = 0, layers = 0, rows_time = 0;
    for (std::size_t p = 0; p < program.order.size(); ++p) {
        const int section = program.order[p];
        const auto& steps = program.sections[static_cast<std::size_t>(section)].steps;
        for (std::size_t s = 0; s < steps.size(); ++s) {
            const auto cost = price_step(compiled, section, static_cast<int>(s), workload);
            (is_collective(steps[s].kind) ? collective : compute) += cost.time.value;
            launch += cost.launch.value;
            if (program.order_layer[p] >= 0) layers += cost.time.value;
        }
    }
    const auto rows = expand(compiled, program, workload);
    for (const auto& row : rows) rows_time += row.time.value;
    CHECK(totals.compute.value == Catch::Approx(compute));
    CHECK(totals.collective.value == Catch::Approx(collective));
    CHECK(totals.launch.value == Catch::Approx(launch));
    CHECK(totals.layer.value == Catch::Approx(layers / compiled.layers));
    CHECK(totals.step.value == Catch::Approx(rows_time));
    CHECK(totals.exposed_collective == totals.collective);
    CHECK(totals.interval_90[0] < totals.step);
    CHECK(totals.interval_90[1] > totals.step);
}

std::string compile_error(int tp, const CostOptions& options) {
    try {
        compile(test::decoder({}, tp), load_hardware("h100-sxm"), options);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("one product on the toy machine") {
    // 24 flops at 24 flop/s and 3*4*4 + 7*4 = 76 bytes at 76 bytes/s: a second each.
    const auto program = test::single(test::product(3, 4, DType::fp32));
    const auto compiled = compile(program, test::toy_hardware(), {});
    const auto cost = price_step(compiled, 0, 0, {.batch = 1});
    CHECK(cost.time.value == Catch::Approx(1 + std::sqrt(2.0)));
    CHECK(cost.launch.value == 1);
    CHECK(cost.flops.value == 24);
    CHECK(cost.bytes.value == 76);
    CHECK(cost.provenance == Provenance::datasheet);
    CHECK(cost.domain == Domain::datasheet_only);
    const auto totals = price(compiled, {.batch = 1});
    CHECK(totals.interval_90[1].value == Catch::Approx(1.2 * (1 + std::sqrt(2.0))));
    CHECK(totals.tokens_per_s == Catch::Approx(1 / (1 + std::sqrt(2.0))));
    CHECK(price_step(compiled, 0, 0, {.batch = 1000}).bound == Bound::compute);
}

TEST_CASE("one all-reduce on the toy machine") {
    // 8 rows of 5 fp32: 160 bytes over 2 ranks. LL: 1 + 2 + 2*0.5 + 160/5 = 36 s; in chunks:
    // 1 + 12 + 2 + 160/10 = 31 s; lines of 128 bytes: 1 + 4 + 1.5 + 160/9.2.
    const auto program = test::single(test::collective(OpKind::all_reduce, 5, DType::fp32), {}, 2);
    const auto compiled = compile(program, test::toy_hardware(), {});
    const auto cost = price_step(compiled, 0, 0, {.batch = 8});
    CHECK(cost.payload.value == 160);
    CHECK(cost.time.value == Catch::Approx(1 + 4 + 1.5 + 160 / 9.2));
    CHECK(cost.bound == Bound::link);
    CHECK(collective_algorithm(compiled, 0, 0, {.batch = 8}) == "ring-ll128");
    CHECK(price_step(compiled, 0, 0, {.batch = 1}).bound == Bound::latency);
    const auto pcie = compile(program, test::toy_hardware(), {.link = "pcie"});
    CHECK(price_step(pcie, 0, 0, {.batch = 8}).time.value == Catch::Approx(1 + 12 + 2 + 160.0));
}

TEST_CASE("totals are the sums of the steps and of the rows") {
    for (const auto* name : {"h100-sxm", "rtx-4090"}) {
        for (const int tp : {1, 2, 8}) {
            for (const auto phase : {Phase::decode, Phase::prefill}) {
                check_sums(test::decoder({}, tp), load_hardware(name), {},
                           {.phase = phase, .batch = 3, .input = 100, .context = 700});
            }
        }
    }
}

TEST_CASE("one rank pays nothing for collectives") {
    auto program = test::decoder({}, 1);
    program.sections[1].steps.push_back(test::collective(OpKind::all_reduce, 8192, DType::bf16));
    const auto totals = price(compile(program, load_hardware("h100-sxm"), {}), {});
    CHECK(totals.collective.value == 0);
    CHECK(totals.memory.communication.value == 0);
}

TEST_CASE("rows of the document say what they are") {
    const auto program = test::decoder({}, 2);
    const Workload work{.batch = 3, .context = 500};
    const auto rows = expand(compile(program, load_hardware("h100-sxm"), {}), program, work);
    REQUIRE(rows.size() == 3 + 80 * 11 + 3);
    CHECK(rows[0].kind == "embedding");
    CHECK(rows[0].layer == -1);
    const auto& qkv = rows[3];
    CHECK(qkv.layer == 0);
    CHECK(qkv.kind == "linear");
    CHECK(qkv.shape == std::vector<std::int64_t>{3, 10240 / 2, 8192});
    CHECK(rows[5].shape == std::vector<std::int64_t>{3, 1, 500, 32, 4, 128});
    CHECK(rows[7].kind == "all_reduce");
    CHECK(rows[7].shape == std::vector<std::int64_t>{3, 8192});
    CHECK(rows[7].payload.value == 3 * 8192 * 2);
    CHECK(rows[8].kind == "norm");
    CHECK(rows[3 + 79 * 11].layer == 79);
}

TEST_CASE("half widths add inside a kind and in squares between kinds") {
    Program program = test::single(test::product(3, 4, DType::fp32));
    auto& steps = program.sections[0].steps;
    steps.push_back(steps[0]);
    auto norm = steps[0];
    norm.kind = OpKind::norm;
    steps.push_back(norm);
    const auto compiled = compile(program, test::toy_hardware(), {});
    const double a = price_step(compiled, 0, 0, {}).time.value;
    const double b = price_step(compiled, 0, 2, {}).time.value;
    const auto totals = price(compiled, {});
    CHECK(totals.interval_90[1].value - totals.step.value ==
          Catch::Approx(0.2 * std::hypot(2 * a, b)));
}

TEST_CASE("fp8 activations pay for their quantisation only when dynamic") {
    auto step = test::product(4096, 4096, DType::bf16);
    step.weight_dtype = DType::fp8;
    step.weight_bytes = 4096.0 * 4096;
    const auto program = test::single(step);
    const auto h100 = load_hardware("h100-sxm");
    const Workload work{.batch = 64};
    const auto dynamic_time =
        price_step(compile(program, h100, {.quant_dynamic = true}), 0, 0, work).time;
    const auto static_time =
        price_step(compile(program, h100, {.quant_dynamic = false}), 0, 0, work).time;
    CHECK((dynamic_time - static_time).value == Catch::Approx(quantiser(h100, 4096).seconds(64)));
}

TEST_CASE("a product says how far it is from what was fitted") {
    const auto priced = [](const char* name, std::int64_t n, std::int64_t batch, DType dtype) {
        const auto program = test::single(test::product(n, 4096, dtype));
        return price_step(compile(program, load_hardware(name), {}), 0, 0, {.batch = batch});
    };
    const auto h100 = load_hardware("h100-sxm");
    const auto& fitted = *gemm_parameters(h100, DType::bf16);
    const auto small = priced("h100-sxm", 4096, 64, DType::bf16);
    CHECK(small.provenance == Provenance::predicted);
    CHECK(small.domain == Domain::interpolated);
    CHECK(small.half_width == fitted.width[0]);
    CHECK(small.shared == SharedError{.common = 0.5, .harness = fitted.harness_width[0]});
    CHECK(priced("h100-sxm", 4096, 65, DType::bf16).half_width == fitted.width[1]);
    CHECK(priced("h100-sxm", 4096, 1024, DType::bf16).half_width == fitted.width[2]);

    const auto warm = price_single(
        h100, ProductSize{.m = 64, .n = 4096, .k = 4096, .residency = Residency::warm});
    CHECK(warm.half_width == fitted.width_warm[0]);
    CHECK(warm.time < small.time);
    CHECK(
        price_single(h100, ProductSize{.m = 65, .n = 4096, .k = 4096, .residency = Residency::edge})
            .half_width == fitted.width_edge[1]);

    // The head of 128,256 tokens lies within a factor of two of the largest side fitted, 65,536.
    const auto head = priced("h100-sxm", 128256, 64, DType::bf16);
    CHECK(head.domain == Domain::interpolated);
    CHECK(head.half_width == fitted.width[0]);
    const auto wide = priced("h100-sxm", 1 << 20, 64, DType::bf16);
    CHECK(wide.domain == Domain::extrapolated);
    CHECK(wide.half_width == Catch::Approx(2 * fitted.width[0]));
    const auto tall = priced("h100-sxm", 4096, 1 << 20, DType::bf16);
    CHECK(tall.domain == Domain::extrapolated);
    CHECK(tall.half_width == Catch::Approx(2 * fitted.width[2]));
    const auto borrowed = priced("h100-sxm", 4096, 64, DType::fp32);
    CHECK(borrowed.domain == Domain::extrapolated);
    CHECK(borrowed.half_width == Catch::Approx(2 * fitted.width[0]));

    const auto transferred = priced("h200-sxm", 4096, 64, DType::bf16);
    CHECK(transferred.provenance == Provenance::datasheet);
    CHECK(transferred.domain == Domain::extrapolated);
    CHECK(transferred.half_width > fitted.width[0]);
    CHECK(transferred.shared.common == 1);  // what the transfer misses by is common
    CHECK(transferred.time < small.time);   // more bandwidth
}

TEST_CASE("a step whose parts all lie inside what was fitted does so itself") {
    const test::DecoderSizes sizes{.heads = 48, .kv_heads = 24, .ffn = 24576};
    const auto domain = [&](const char* name, int tp, std::int64_t batch = 128) {
        const auto program = test::decoder(sizes, tp);
        return price(compile(program, load_hardware(name), {}), {.batch = batch}).domain;
    };
    CHECK(domain("h100-sxm", 1) == Domain::interpolated);
    CHECK(domain("h100-sxm", 8) == Domain::interpolated);
    CHECK(domain("h100-sxm", 6) == Domain::extrapolated);  // all-reduces of 2, 4 and 8 were fitted
    // No measured cache in memory is smaller than the last-level cache.
    CHECK(domain("h100-sxm", 1, 1) == Domain::extrapolated);
    CHECK(domain("h200-sxm", 1) == Domain::extrapolated);  // most parameters are the H100's
}

TEST_CASE("what another device's parameters price is the datasheet's, of whatever kind it is") {
    const auto provenance = [](const char* name, const char* link, const Step& step, int tp) {
        const CostOptions options{.link = link};
        const auto program = test::single(step, {}, tp);
        return price_step(compile(program, load_hardware(name), options), 0, 0, {}).provenance;
    };
    const auto reduce = test::collective(OpKind::all_reduce, 4096, DType::bf16);
    CHECK(provenance("a100-sxm", "nvlink", reduce, 2) == Provenance::predicted);
    CHECK(provenance("a100-sxm", "pcie", reduce, 2) == Provenance::datasheet);
    auto norm = test::product(4096, 4096, DType::bf16);
    norm.kind = OpKind::norm;
    CHECK(provenance("h100-sxm", "", norm, 1) == Provenance::predicted);
    CHECK(provenance("h200-sxm", "", norm, 1) == Provenance::datasheet);
    const auto attention = [](const char* name) {
        return price_single(load_hardware(name), AttentionSize{.kv_len = 512}).provenance;
    };
    CHECK(attention("h100-sxm") == Provenance::predicted);
    CHECK(attention("h200-sxm") == Provenance::datasheet);
    const auto experts = [](const char* name) {
        return price_single(load_hardware(name), ExpertsSize{.dtype = DType::bf16,
                                                             .tokens = 64,
                                                             .hidden = 4096,
                                                             .inter = 4096,
                                                             .top_k = 2,
                                                             .experts = 8})
            .provenance;
    };
    CHECK(experts("h100-sxm") == Provenance::predicted);
    CHECK(experts("a100-sxm") == Provenance::datasheet);
}

TEST_CASE("memory: capacity, fit and the largest batch and context") {
    const auto program = test::decoder({}, 8);
    const auto hardware = load_hardware("h100-sxm");
    const CostOptions options{.memory_fraction = 0.8, .reserve = Bytes(1e9)};
    const auto compiled = compile(program, hardware, options);
    const auto memory = price(compiled, {.batch = 16, .context = 4096}).memory;
    CHECK(memory.capacity.value == Catch::Approx(hardware.memory.value * 0.8 - 1e9));
    CHECK(memory.kv_cache.value == 16.0 * 4096 * 80 * 2 * 128 * 2);
    CHECK(memory.total.value ==
          Catch::Approx((memory.weights + memory.kv_cache + memory.activations + memory.logits +
                         memory.communication + memory.workspace)
                            .value));
    CHECK(memory.fits);
    CHECK(price(compiled, {.batch = memory.max_batch, .context = 4096}).memory.fits);
    CHECK_FALSE(price(compiled, {.batch = memory.max_batch + 1, .context = 4096}).memory.fits);
    CHECK(price(compiled, {.batch = 16, .context = memory.max_context}).memory.fits);
    CHECK_FALSE(price(compiled, {.batch = 16, .context = memory.max_context + 1}).memory.fits);

    const auto none = price(compile(test::decoder({}, 1), hardware, {}), {}).memory;
    CHECK_FALSE(none.fits);
    CHECK(none.max_batch == 0);
    CHECK(none.max_context == 0);
}

TEST_CASE("what cannot be priced is an error that names what can") {
    CHECK_THAT(compile_error(2, {.link = "ethernet"}), Contains("nvlink, pcie"));
    CHECK_THAT(compile_error(16, {}), Contains("--tp 8") && Contains("--nodes 2"));
    CHECK(compile_error(16, {.nodes = 2}).empty());
    CHECK_THAT(compile_error(17, {.nodes = 2}), Contains("--tp 16") && Contains("--nodes 3"));
    const auto compiled = compile(test::decoder({}, 1), load_hardware("h100-sxm"), {});
    CHECK_THROWS_AS(price(compiled, {.phase = Phase::train}), Error);
}

TEST_CASE("a substituted implementation is noted") {
    CostOptions options;
    options.collectives.value = CollectiveImpl::vllm;
    const auto h100 = load_hardware("h100-sxm");
    const auto step = test::collective(OpKind::all_reduce, 64, DType::bf16);
    const auto odd = compile(test::single(step, {}, 3), h100, options);
    REQUIRE(odd.notes.size() == 1);
    CHECK_THAT(odd.notes[0], Contains("vllm has no all_reduce for 3 ranks"));
    const auto even = compile(test::single(step, {}, 4), load_hardware("a100-sxm"), options);
    REQUIRE(even.notes.size() == 1);
    CHECK_THAT(even.notes[0], Contains("above 8 MiB"));
    const auto newer = compile(test::single(step, {}, 4), h100, options);
    REQUIRE(newer.notes.size() == 1);
    CHECK_THAT(newer.notes[0], Contains("above 32 MiB"));
}

TEST_CASE("measured collectives count on the link that so many devices use by themselves") {
    auto hardware = test::toy_hardware();
    hardware.tables.collectives = {
        {OpKind::all_reduce, CollectiveImpl::nccl, 2, 100, Seconds(3)},
        {OpKind::all_reduce, CollectiveImpl::nccl, 2, 1000, Seconds(12)}};
    const auto program = test::single(test::collective(OpKind::all_reduce, 25, DType::fp32), {}, 2);
    CostOptions over_pcie;
    over_pcie.link = "pcie";
    const auto time = [&](const HardwareProfile& h, const CostOptions& options) {
        return price_step(compile(program, h, options), 0, 0, {.batch = 1}).time.value;
    };
    CHECK(time(hardware, {}) == Catch::Approx(3));
    CHECK(time(hardware, over_pcie) == time(test::toy_hardware(), over_pcie));
}

TEST_CASE("measured tables: points are hit, inside is interpolated, outside says so") {
    auto hardware = test::toy_hardware();
    hardware.tables.gemm = {{DType::fp32, 2, 1, 8, 8, Seconds(7)},
                            {DType::fp32, 2, 16, 8, 8, Seconds(90)}};
    hardware.tables.collectives = {
        {OpKind::all_reduce, CollectiveImpl::nccl, 2, 100, Seconds(3)},
        {OpKind::all_reduce, CollectiveImpl::nccl, 2, 1000, Seconds(12)}};
    hardware.tables.elementwise = {{OpKind::norm, 2, 64, Seconds(2)}};
    hardware.tables.attention = {{DType::fp32, 2, 3, 1, 50, 4, 2, 8, Seconds(11)}};

    const auto linear =
        compile(test::single(test::product(8, 8, DType::fp32), {}, 2), hardware, {});
    const auto one = price_step(linear, 0, 0, {.batch = 1});
    CHECK(one.time.value == Catch::Approx(7));
    CHECK(one.provenance == Provenance::calibrated);
    CHECK(one.domain == Domain::interpolated);
    CHECK(price_step(linear, 0, 0, {.batch = 16}).time.value == Catch::Approx(90));
    const auto beyond = price_step(linear, 0, 0, {.batch = 17});
    CHECK(beyond.domain == Domain::extrapolated);
    CHECK(beyond.half_width == Catch::Approx(0.4));

    const auto step = test::collective(OpKind::all_reduce, 25, DType::fp32);
    const auto reduce = compile(test::single(step, {}, 2), hardware, {});
    CHECK(price_step(reduce, 0, 0, {.batch = 1}).time.value == Catch::Approx(3));
    CHECK(price_step(reduce, 0, 0, {.batch = 10}).time.value == Catch::Approx(12));
    const auto four = compile(test::single(step, {}, 4), hardware, {});
    CHECK(price_step(four, 0, 0, {.batch = 10}).time.value > 12);
    CHECK(price_step(four, 0, 0, {.batch = 10}).domain == Domain::extrapolated);

    auto attention = test::collective(OpKind::attention, 32, DType::fp32);
    attention.spec.attention =
        AttentionSpec{.heads = 4, .kv_heads = 2, .head_dim = 8, .v_head_dim = 8};
    const auto attend = compile(test::single(attention, {}, 2), hardware, {});
    const Workload decode{.batch = 3, .context = 50, .kv_dtype = DType::fp32};
    CHECK(price_step(attend, 0, 0, decode).time.value == Catch::Approx(11));
    CHECK(price_step(attend, 0, 0, decode).domain == Domain::interpolated);

    auto prefill = decode;
    prefill.phase = Phase::prefill;
    CHECK(price_step(attend, 0, 0, prefill).provenance == Provenance::predicted);
}
