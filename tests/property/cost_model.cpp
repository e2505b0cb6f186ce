#include <array>
#include <random>

#include "cost_model/estimate.h"
#include "tests/support/catch.h"
#include "tests/unit/cost_model/hand_program.h"

using namespace tplan;

/// Seeded random decoders on random machines. Properties of prices, not numbers.

namespace {

struct Case {
    test::DecoderSizes sizes;
    Program program;
    HardwareProfile hardware;
    CostOptions options;
    Workload work;
};

std::int64_t pick(std::mt19937& random, std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

Case random_case(unsigned seed) {
    std::mt19937 random(seed);
    const int tp = 1 << pick(random, 0, 3);
    test::DecoderSizes d;
    d.kv_heads = 8 * pick(random, 1, 2);
    d.heads = d.kv_heads * pick(random, 1, 8);
    d.head_dim = 32 * pick(random, 1, 4);
    d.hidden = 64 * pick(random, 1, 100);
    d.ffn = 64 * pick(random, 1, 300);
    d.vocab = 8 * pick(random, 100, 20000);
    d.layers = static_cast<int>(pick(random, 1, 40));
    d.window = pick(random, 0, 1) * pick(random, 1, 5000);
    const auto names = hardware_names();
    const auto& name = names[static_cast<std::size_t>(
        pick(random, 0, static_cast<std::int64_t>(names.size()) - 1))];
    Case c{d, test::decoder(d, tp), load_hardware(name), {}, {}};
    c.work.phase = pick(random, 0, 1) ? Phase::decode : Phase::prefill;
    c.work.batch = pick(random, 1, 64);
    c.work.input = pick(random, 1, 5000);
    c.work.context = pick(random, 1, 50000);
    return c;
}

double step_time(const Case& c) {
    return price(compile(c.program, c.hardware, c.options), c.work).step.value;
}

constexpr unsigned kCases = 60;
constexpr double kRounding = 1 + 1e-12;

}  // namespace

TEST_CASE("one rank: no communication") {
    constexpr std::array kKinds = {OpKind::all_reduce, OpKind::all_gather, OpKind::reduce_scatter,
                                   OpKind::all_to_all};
    for (unsigned seed = 0; seed < kCases; ++seed) {
        const auto c = random_case(seed);
        const auto kind = kKinds[seed % kKinds.size()];
        INFO(seed << " " << c.hardware.name << " " << name_of(kind));
        const auto communication = [&](int tp) {
            const auto step = test::collective(kind, c.sizes.hidden, DType::bf16);
            return price(compile(test::single(step, {}, tp), c.hardware, {}), c.work).collective;
        };
        CHECK(communication(1).value == 0);
        CHECK(communication(2).value > 0);
    }
}

TEST_CASE("more bandwidth, arithmetic or less latency is never slower") {
    for (unsigned seed = 0; seed < kCases; ++seed) {
        INFO(seed);
        const auto c = random_case(seed);
        const double before = step_time(c);
        auto faster = c;
        faster.hardware.memory_bandwidth *= 1.5;
        CHECK(step_time(faster) <= before * kRounding);
        faster = c;
        for (auto& link : faster.hardware.links) link.bandwidth *= 1.5;
        CHECK(step_time(faster) <= before * kRounding);
        faster = c;
        for (auto& link : faster.hardware.links) link.latency *= 0.5;
        CHECK(step_time(faster) <= before * kRounding);
        faster = c;
        for (auto& peak : faster.hardware.peaks) peak.rate *= 2;
        CHECK(step_time(faster) <= before * kRounding);
    }
}

TEST_CASE("more sequences or tokens never take less time or memory") {
    for (unsigned seed = 0; seed < kCases; ++seed) {
        INFO(seed);
        const auto c = random_case(seed);
        const auto compiled = compile(c.program, c.hardware, c.options);
        const auto before = price(compiled, c.work);
        auto more = c.work;
        more.batch += 1 + seed % 7;
        CHECK(price(compiled, more).step.value * kRounding >= before.step.value);
        CHECK(price(compiled, more).memory.total >= before.memory.total);
        more = c.work;
        more.context += 1 + seed;
        more.input += 1 + seed;
        CHECK(price(compiled, more).step.value * kRounding >= before.step.value);
        CHECK(price(compiled, more).memory.total >= before.memory.total);
    }
}

TEST_CASE("the largest batch and context are tight") {
    for (unsigned seed = 0; seed < kCases; ++seed) {
        INFO(seed);
        const auto c = random_case(seed);
        const auto compiled = compile(c.program, c.hardware, c.options);
        const auto memory = price(compiled, c.work).memory;
        CHECK(memory.fits == (memory.max_batch >= c.work.batch));
        auto at = c.work;
        at.batch = memory.max_batch;
        if (at.batch > 0) CHECK(price(compiled, at).memory.fits);
        at.batch += 1;
        if (memory.max_batch < kMaxCount) CHECK_FALSE(price(compiled, at).memory.fits);
        at = c.work;
        at.context = at.input = memory.max_context;
        if (memory.max_context > 0) CHECK(price(compiled, at).memory.fits);
        at.context = at.input = memory.max_context + 1;
        if (memory.max_context < kMaxCount) CHECK_FALSE(price(compiled, at).memory.fits);
    }
}

TEST_CASE("a step is the sum of its rows, and its parts add up") {
    for (unsigned seed = 0; seed < kCases; ++seed) {
        INFO(seed);
        const auto c = random_case(seed);
        const auto compiled = compile(c.program, c.hardware, c.options);
        const auto totals = price(compiled, c.work);
        double sum = 0;
        for (const auto& row : expand(compiled, c.program, c.work)) sum += row.time.value;
        CHECK(totals.step.value == Catch::Approx(sum));
        CHECK(totals.step.value == Catch::Approx((totals.compute + totals.collective).value));
        CHECK(totals.launch <= totals.step);
    }
}

TEST_CASE("products count the same flops however they are cut") {
    for (unsigned seed = 0; seed < kCases; ++seed) {
        const auto c = random_case(seed);
        const auto flops = [&](int tp) {
            const auto program = test::decoder(c.sizes, tp);
            double sum = 0;
            for (const auto& row : expand(compile(program, c.hardware, {}), program, c.work)) {
                if (row.kind == "linear" || row.kind == "attention") sum += row.flops.value * tp;
            }
            return sum;
        };
        INFO("seed " << seed);
        CHECK(flops(8) == Catch::Approx(flops(1)));
    }
}
