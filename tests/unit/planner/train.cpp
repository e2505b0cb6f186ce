#include "planner/train.h"

#include <algorithm>

#include "cost_model/estimate.h"
#include "cost_model/train_memory.h"
#include "cost_model/train_price.h"
#include "tests/support/catch.h"
#include "tests/unit/cost_model/hand_program.h"
#include "tests/unit/cost_model/toy_hardware.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

// tiny llama: hidden 64, 4 heads of 16 over 2 KV heads, ffn 128, vocabulary 256, 2 layers.
constexpr double kQ = 64 * 64, kKv = 32 * 64, kFfn = 128 * 64, kTable = 256 * 64;
constexpr double kLayerElements = 2 * kQ + 2 * kKv + 3 * kFfn + 2 * 64;

Training mesh_of(int replicas, int shards, int tp) {
    return {.mesh = {.dp_replicate = replicas, .dp_shard = shards, .tp = tp}};
}

Program trained(const ModelConfig& config, const Training& training, Kernels kernels) {
    const auto model = training_model(build_model(config));
    const auto options = options_for(training.mesh.tp, LayoutChoice::hf, kernels);
    const auto planned = make_plan(config, model, options);
    return training_program(lower(model, planned.plan.value(), DType::bf16), training, kernels);
}

std::int64_t count(const Section& section, OpKind kind) {
    return std::count_if(section.steps.begin(), section.steps.end(),
                         [&](const Step& step) { return step.kind == kind; });
}

/// How often collectives of activations of a kind run in one layer.
std::int64_t a_layer(const Program& program, OpKind kind) {
    std::int64_t found = 0;
    for (const auto* name : {"layer", "layer backward"}) {
        for (const auto& step : section(program, name).steps)
            found += step.kind == kind && step.pass != Pass::parameters ? 1 : 0;
    }
    return found;
}

HardwareProfile toy() {
    auto hardware = toy_hardware();
    hardware.devices = 8;
    for (auto& link : hardware.links) link.devices = 8;
    hardware.peaks = {{DType::bf16, FlopRate(24)}};
    return hardware;
}

constexpr Workload kWork{.phase = Phase::train, .batch = 1, .input = 8, .context = 8};

}  // namespace

TEST_CASE("train: a llama layer back has five all-reduces under transformers' hooks, two fused") {
    const auto config = tiny("llama");
    const auto hooks = trained(config, mesh_of(1, 1, 2), Kernels::hf);
    const auto& back = section(hooks, "layer backward");
    CHECK(collectives(back) ==
          std::vector<std::string>{"mlp.up_proj.input_gradient.all_reduce",
                                   "mlp.gate_proj.input_gradient.all_reduce",
                                   "self_attn.v_proj.input_gradient.all_reduce",
                                   "self_attn.k_proj.input_gradient.all_reduce",
                                   "self_attn.q_proj.input_gradient.all_reduce"});
    for (const auto& step : back.steps) {
        if (is_collective(step.kind)) CHECK(step.n == 64);  // T x hidden x 2 bytes
    }
    CHECK(count(section(hooks, "layer"), OpKind::all_reduce) == 2);
    const auto fused = trained(config, mesh_of(1, 1, 2), Kernels::served);
    CHECK(count(section(fused, "layer backward"), OpKind::all_reduce) == 2);
    CHECK(count(section(fused, "layer"), OpKind::all_reduce) == 2);

    const auto compiled = compile(hooks, toy(), {});
    double payload = 0;
    for (const auto& op : expand(compiled, hooks, kWork)) {
        if (op.layer == 0 && op.id.find("gradient.all_reduce") != std::string::npos)
            payload += op.payload.value;
    }
    CHECK(payload == 5 * 8 * 64 * 2);
}

TEST_CASE("train: one rank has no collective, and full recomputation repeats the forward ones") {
    const auto config = tiny("llama");
    const auto alone = trained(config, mesh_of(1, 1, 1), Kernels::hf);
    for (const auto& part : alone.sections) CHECK(collectives(part).empty());
    auto training = mesh_of(1, 1, 2);
    training.recompute = Recompute::full;
    CHECK(a_layer(trained(config, training, Kernels::hf), OpKind::all_reduce) == 9);
    CHECK(a_layer(trained(config, training, Kernels::served), OpKind::all_reduce) == 6);
    training.recompute = Recompute::selective;
    CHECK(a_layer(trained(config, training, Kernels::hf), OpKind::all_reduce) == 7);
}

TEST_CASE("train: linears take twice the arithmetic back, attention two and a half times") {
    for (const auto kernels : {Kernels::hf, Kernels::served}) {
        const auto program = trained(tiny("llama"), mesh_of(1, 1, 2), kernels);
        const auto compiled = compile(program, toy(), {});
        double linear[2] = {0, 0}, attention[2] = {0, 0};
        for (const auto& op : expand(compiled, program, kWork)) {
            const bool back = op.id.find("gradient") != std::string::npos;
            if (op.kind == "linear") linear[back] += op.flops.value;
            if (op.kind == "attention") attention[back] += op.flops.value;
        }
        // 8 tokens over 2 ranks: layers and head.
        CHECK(linear[0] == 2 * 8 * (2 * (2 * kQ + 2 * kKv + 3 * kFfn) + kTable) / 2);
        CHECK(linear[1] == 2 * linear[0]);
        CHECK(attention[1] == 2.5 * attention[0]);
    }
}

TEST_CASE("train: the loss is over the split vocabulary where the layout is fused") {
    const auto config = tiny("llama");
    const auto fused = trained(config, mesh_of(1, 1, 2), Kernels::served);
    CHECK(collectives(section(fused, "loss")) == std::vector<std::string>{"loss.max.all_reduce",
                                                                          "loss.label.all_reduce",
                                                                          "loss.sum.all_reduce"});
    for (const auto& step : section(fused, "loss").steps) {
        if (is_collective(step.kind)) {
            CHECK(step.n == (step.name == "loss.max.all_reduce" ? 2 : 1));  // a column a rank
            CHECK(step.dtype == DType::fp32);
        } else {
            CHECK(step.n == 128);
        }
    }
    CHECK(count(section(fused, "head"), OpKind::all_gather) == 0);
    const auto hooks = trained(config, mesh_of(1, 1, 2), Kernels::hf);
    CHECK(collectives(section(hooks, "loss")).empty());
    CHECK(count(section(hooks, "head"), OpKind::all_gather) == 1);
    const auto& back = section(hooks, "head backward");
    CHECK(count(back, OpKind::slice) == 1);  // the gather's gradient is a local slice
    CHECK(step(back, "lm_head.input_gradient.all_reduce").n == 64);
    for (const auto& buffer : hooks.buffers) CHECK(buffer.rows == Rows::tokens);
}

TEST_CASE("train: a contribution to a gradient never lies where another value still reads") {
    for (const auto& family : tiny_families()) {
        for (const auto kernels : {Kernels::hf, Kernels::served}) {
            INFO(family << ", " << name_of(kernels));
            const auto program = trained(tiny(family), mesh_of(1, 1, 1), kernels);
            for (const auto& part : program.sections) {
                for (const auto& step : part.steps) {
                    if (step.kind != OpKind::add || step.outputs.empty() || !step.pass) continue;
                    CHECK(step.inputs[0] != step.inputs[1]);  // a sum of one with itself
                }
            }
        }
    }
}

TEST_CASE("train: the factor of a residual sum and a bias behind a reduction have gradients") {
    const auto granite = trained(tiny("granite"), mesh_of(1, 1, 1), Kernels::hf);
    const auto& scaled = step(section(granite, "layer backward"), "mlp_residual.gradient.1");
    CHECK(scaled.kind == OpKind::scale);
    CHECK(scaled.spec.factor == 0.22);
    const auto phi = trained(tiny("phi"), mesh_of(1, 1, 2), Kernels::served);
    std::int64_t reduced = 0;
    for (const auto& one : section(phi, "layer backward").steps)
        reduced += one.name.find("all_reduce.bias_gradient") != std::string::npos ? 1 : 0;
    CHECK(reduced == 2);  // of the attention's output and of the second product of the ffn
}

TEST_CASE("train: sequence parallelism turns gathers and scatters round, and gathers again") {
    ProgramBuilder b(2, DType::bf16, DType::bf16);
    const int x = b.buffer("hidden", 4), normed = b.buffer("normed", 4), all = b.buffer("all", 4);
    const int wide = b.buffer("wide", 8, true), sums = b.buffer("sums", 4),
              own = b.buffer("own", 4);
    for (const int rows : {x, normed, own})
        b.program.buffers[static_cast<std::size_t>(rows)].layout = Layout::tokens(2);
    const int norm = b.tensor("layers.*.norm.weight", {4}, -1);
    const int up = b.tensor("layers.*.up.weight", {8, 4}, 0);
    const int down = b.tensor("layers.*.down.weight", {4, 8}, 1);
    auto layer = ProgramBuilder::section("layer", {0});
    const auto add = [&](OpKind kind, const char* name, std::vector<int> in, std::vector<int> out,
                         int weight, std::int64_t n, std::int64_t k) {
        auto step = b.step(kind, name, std::move(in), std::move(out));
        step.weights.clear();
        if (weight >= 0) step.weights.push_back({.tensor = weight});
        step.n = n;
        step.k = k;
        layer.steps.push_back(std::move(step));
    };
    add(OpKind::norm, "norm", {x}, {normed}, norm, 4, 0);
    add(OpKind::all_gather, "normed.all_gather", {normed}, {all}, -1, 4, 0);
    add(OpKind::linear, "up", {all}, {wide}, up, 4, 4);
    add(OpKind::linear, "down", {wide}, {sums}, down, 4, 4);
    add(OpKind::reduce_scatter, "down.reduce_scatter", {sums}, {own}, -1, 4, 0);
    add(OpKind::add, "residual", {x, own}, {x}, -1, 4, 0);
    b.program.sections = {layer};
    b.program.order = {0};
    b.program.order_layer = {0};
    const auto program = training_program(b.program, mesh_of(1, 1, 2), Kernels::served);
    CHECK(collectives(section(program, "layer backward")) ==
          std::vector<std::string>{
              "down.reduce_scatter.gradient.all_gather", "normed.all_gather.again",
              "normed.all_gather.gradient.reduce_scatter", "norm.weight_gradient.all_reduce"});
    CHECK(
        step(section(program, "layer backward"), "norm.weight_gradient.all_reduce").weight_bytes ==
        4 * 2);
}

TEST_CASE("train: shards gather a layer twice and scatter its gradients, replicas reduce theirs") {
    const auto config = tiny("llama");
    const auto program = trained(config, mesh_of(2, 4, 1), Kernels::hf);
    CHECK(step(section(program, "layer"), "parameters.all_gather").weight_bytes ==
          2 * kLayerElements);
    const auto& back = section(program, "layer backward");
    CHECK(back.steps.front().name == "parameters.all_gather");
    const auto& scatter = step(back, "parameters.gradient.reduce_scatter");
    CHECK(scatter.over == MeshAxis::dp_shard);
    CHECK(scatter.weight_bytes == 2 * kLayerElements);
    const auto& reduce = step(back, "parameters.gradient.all_reduce");
    CHECK(reduce.over == MeshAxis::dp_replicate);
    CHECK(reduce.weight_bytes == 2 * kLayerElements / 4);
    CHECK(step(section(program, "embedding"), "parameters.all_gather").weight_bytes ==
          2 * (2 * kTable + 64));
    const double elements = 2 * kLayerElements + 2 * kTable + 64;
    CHECK(section(program, "update").steps[0].weight_bytes == elements / 4 * 28);

    const auto replicas = trained(config, mesh_of(4, 1, 1), Kernels::hf);
    CHECK(
        step(section(replicas, "layer gradients"), "parameters.gradient.all_reduce").weight_bytes ==
        4 * kLayerElements);
    CHECK(collectives(section(replicas, "layer backward")).empty());
}

TEST_CASE("train: quantised weights cannot be trained") {
    auto program = lowered(tiny("llama"), options_for(1));
    CHECK(training_fault(program).empty());
    program.tensors[2].dtype = DType::fp8;
    CHECK_THAT(training_fault(program), Catch::Matchers::Contains(program.tensors[2].name));
}

TEST_CASE("train: every family goes backwards, and every value's gradient is read where it lies") {
    for (const auto& family : tiny_families()) {
        INFO(family);
        const auto config = tiny(family);
        for (const int tp : {1, 2}) {
            const auto model = training_model(build_model(config));
            const auto planned = make_plan(config, model, options_for(tp));
            if (!planned.plan) continue;
            const auto forward = lower(model, *planned.plan, DType::bf16);
            if (!training_fault(forward).empty()) continue;
            for (const auto recompute : {Recompute::none, Recompute::full}) {
                auto training = mesh_of(1, 2, tp);
                training.recompute = recompute;
                const auto program = training_program(forward, training, Kernels::hf);
                // Each weight of the forward pass has one gradient.
                std::vector<int> weights, gradients;
                for (const auto& part : program.sections) {
                    for (const auto& step : part.steps) {
                        if (step.pass && step.pass != Pass::weight_gradient) continue;
                        if (step.kind != OpKind::linear) continue;
                        for (const auto& ref : step.weights)
                            (step.pass ? gradients : weights).push_back(ref.tensor);
                    }
                }
                std::sort(weights.begin(), weights.end());
                std::sort(gradients.begin(), gradients.end());
                CHECK(weights == gradients);
                const auto compiled = compile(program, toy(), {});
                const auto memory = training_memory(program, training, toy(), {});
                const auto price = price_training(compiled, memory, training, kWork);
                CHECK(price.totals.step.value > 0);
                CHECK(price.totals.memory.activations.value > 0);
            }
        }
    }
}
