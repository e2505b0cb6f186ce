#include "cost_model/train_price.h"

#include "planner/train.h"
#include "tests/support/catch.h"
#include "tests/unit/cost_model/toy_hardware.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

HardwareProfile toy() {
    auto hardware = toy_hardware();
    hardware.devices = 8;
    for (auto& link : hardware.links) link.devices = 8;
    hardware.peaks = {{DType::bf16, FlopRate(24)}};
    hardware.memory = Bytes(1e9);
    return hardware;
}

constexpr Workload kWork{.phase = Phase::train, .batch = 2, .input = 8, .context = 8};

struct Made {
    Program program;
    TrainingMemory memory;
    TrainingPrice price;
};

Made made(const Training& training, const HardwareProfile& hardware,
          const ModelConfig& config = tiny("llama")) {
    const auto model = training_model(build_model(config));
    const auto planned = make_plan(config, model, options_for(training.mesh.tp));
    Made m;
    m.program =
        training_program(lower(model, planned.plan.value(), DType::bf16), training, Kernels::hf);
    m.memory = training_memory(m.program, training, hardware, {});
    m.price = price_training(compile(m.program, hardware, {}), m.memory, training, kWork);
    return m;
}

double kept_per_layer(Recompute recompute) {
    Training training;
    training.recompute = recompute;
    const auto at = [&](int layers) {
        return made(training, toy(), tiny("llama", {{"num_hidden_layers", layers}}))
            .memory.activations_per_token;
    };
    return at(3) - at(2);
}

}  // namespace

TEST_CASE("training price: a step is its micro-batches and one update") {
    const auto one = made({}, toy()).price;
    const auto three = made({.mesh = {}, .accumulate = 3}, toy()).price;
    const double update = one.parts.update.value;
    CHECK(three.totals.step.value == Catch::Approx(3 * (one.totals.step.value - update) + update));
    CHECK(one.totals.tokens_per_s == Catch::Approx(16 / one.totals.step.value));
    CHECK(one.totals.step.value ==
          Catch::Approx((one.parts.forward + one.parts.loss + one.parts.backward).value + update));
    CHECK(one.totals.collective.value == 0);
    const auto& interval = one.totals.interval_90;
    // Upwards a whole step more than the kinds' own errors.
    const auto around = one.totals.kinds.interval(one.totals.step);
    CHECK(interval[0] == around[0]);
    CHECK(interval[1].value == Catch::Approx((around[1] + one.totals.step).value));
    const auto pair = made({.mesh = {.dp_shard = 2}}, toy()).price.totals;
    CHECK(pair.tokens_per_s == Catch::Approx(2 * 16 / pair.step.value));
}

TEST_CASE(
    "training price: parameters' collectives hide behind compute as long as they are shorter") {
    auto fast = toy();
    for (auto& link : fast.links) {
        link.bandwidth = Bandwidth(1e9);
        link.latency = link.base_latency = Seconds(0);
    }
    fast.launch = Seconds(0);
    const Training shards{.mesh = {.dp_shard = 4}};
    const auto hidden = made(shards, fast);
    const auto& parts = hidden.price.parts;
    // Beside the first gather and the last reduction of a layer stand those of the rest, whose own
    // sections compute little; of six gathers and reductions of layers four are hidden.
    CHECK(parts.exposed_parameters < parts.parameters);
    auto slow = fast;
    for (auto& link : slow.links) link.bandwidth = Bandwidth(0.001);
    const auto exposed = made(shards, slow).price;
    CHECK(exposed.parts.exposed_parameters / exposed.parts.parameters > 0.99);
    CHECK(exposed.parts.exposed_parameters <= exposed.parts.parameters);
    // However little is known of the link, the step takes what nothing can hide.
    auto vague = slow;
    vague.interval_collective = 3;
    const auto wide = made(shards, vague).price.totals;
    CHECK(wide.interval_90[0] > 0.5 * wide.compute);
    CHECK(wide.interval_90[0] < 0.5 * wide.step);
    // TP's collectives stand in the way.
    const auto tp = made({.mesh = {.tp = 2}}, toy()).price.totals;
    CHECK(tp.exposed_collective == tp.collective);
    CHECK(tp.step.value == Catch::Approx((tp.compute + tp.collective).value));
}

TEST_CASE("training price: what no row measured is extrapolated, at twice the width") {
    auto hardware = toy();
    hardware.interval_compute = 0.2;
    const auto m = made({}, hardware);
    CHECK(m.price.totals.domain == Domain::datasheet_only);
    const auto compiled = compile(m.program, hardware, {});
    for (std::size_t s = 0; s < m.program.sections.size(); ++s) {
        const auto& steps = m.program.sections[s].steps;
        for (std::size_t i = 0; i < steps.size(); ++i) {
            const auto cost = price_step(compiled, static_cast<int>(s), static_cast<int>(i), kWork);
            if (steps[i].kind != OpKind::linear) continue;
            CHECK(cost.half_width == Catch::Approx(steps[i].pass ? 0.4 : 0.2));
        }
    }
}

TEST_CASE("training memory: parameters, gradients and optimizer state in fp32, over the shards") {
    // 2 layers of 2 x 64 x 64 + 2 x 32 x 64 + 3 x 128 x 64 + 2 x 64, two tables of 256 x 64, a norm
    const double layer = 2 * 4096 + 2 * 2048 + 3 * 8192 + 128, root = 2 * 16384 + 64;
    const double all = 2 * layer + root;
    const auto alone = made({}, toy()).memory;
    CHECK(alone.weights == 2 * all);
    CHECK(alone.gradients == 4 * all);
    CHECK(alone.optimizer == 12 * all);
    const auto sgd = made({.mesh = {}, .optimizer = Optimizer::sgd}, toy()).memory;
    CHECK(sgd.optimizer == 4 * all);
    const auto shards = made({.mesh = {.dp_shard = 4}}, toy()).memory;
    CHECK(shards.weights == 2 * (root + 2 * layer));
    CHECK(shards.gradients == all);
    CHECK(shards.optimizer == 3 * all);
    CHECK(shards.communication == 2 * std::max(layer, root));
    CHECK(alone.logits_per_token == 256 * (2 + 4 + 4));
}

TEST_CASE("training memory: what a layer keeps, counted by hand") {
    // Both norms' inputs and outputs, q, k, v and the attention's output, gate, up and their
    // product, in bf16; a logarithm for each of 4 heads.
    const double none = 2 * (4 * 64 + (64 + 2 * 32) + 64 + 3 * 128) + 4 * 4;
    CHECK(kept_per_layer(Recompute::none) == none);
    // Less both norms' outputs and the product of gate and up.
    CHECK(kept_per_layer(Recompute::selective) == none - 2 * (2 * 64 + 128));
    CHECK(kept_per_layer(Recompute::full) == 2 * 64);
}

TEST_CASE("training memory: the largest micro-batch fits, one more does not") {
    auto hardware = toy();
    hardware.memory = Bytes(4e6);
    const auto m = made({}, hardware);
    const auto use = memory_use(m.memory, kWork);
    REQUIRE(use.max_batch > 0);
    auto work = kWork;
    work.batch = use.max_batch;
    CHECK(memory_use(m.memory, work).fits);
    ++work.batch;
    CHECK_FALSE(memory_use(m.memory, work).fits);
    work = kWork;
    work.input = use.max_context;
    CHECK(memory_use(m.memory, work).fits);
    ++work.input;
    CHECK_FALSE(memory_use(m.memory, work).fits);
}
