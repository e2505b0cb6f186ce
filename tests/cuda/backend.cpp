// The CUDA backend against the scalar reference and the CPU backend. Skipped, visibly, without a
// GPU.
#include <cmath>

#include "executor/gpu/backend.h"
#include "executor/numerics.h"
#include "executor/reference.h"
#include "tests/support/catch.h"
#include "tests/support/skip.h"
#include "tests/unit/executor/tiny_run.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// Why there is no GPU to test with; empty when there is one.
std::string no_gpu() {
    try {
        make_backend("cuda", 1);
        return {};
    } catch (const Error& error) {
        return error.what();
    }
}

#define SKIP_WITHOUT_GPU() \
    if (const auto why = no_gpu(); !why.empty()) return skip(why.c_str())

RunOptions on_gpu(DType dtype) {
    RunOptions options;
    options.backend = "cuda";
    options.dtype = dtype;
    options.seed = 7;
    return options;
}

/// fp32 products of cuBLASLt run in fp32; sums of exponentials use the fast exponential: some units
/// of 2^-22 per layer.
constexpr double kFp32 = 1e-4;
/// 16-bit activations are rounded after every step of some 10 in each of 2 to 6 layers.
constexpr double kBf16 = 6e-2, kFp16 = 1e-2;

}  // namespace

TEST_CASE("cuda: tiny models of every family compute what the reference computes") {
    SKIP_WITHOUT_GPU();
    const std::vector<Workload> workloads = {
        {.phase = Phase::prefill, .batch = 2, .input = 19},
        {.phase = Phase::decode, .batch = 3, .context = 13},
        {.phase = Phase::decode, .batch = 1, .context = 700},  // keys in several runs
    };
    for (const auto& [family, logits] : load_transformers_logits().all()) {
        const TinyModel tiny(family);
        for (const auto& workload : workloads) {
            if (workload.context > tiny.config.max_positions &&
                !tiny.config.modules.positions.empty())
                continue;  // learned positions end before
            const auto reference = run_reference(tiny.model, workload, synthetic_weights(7), {}, 7);
            for (const int tp : {1, 2, 4}) {
                const auto program = tiny.program(tp);
                if (!program) continue;
                INFO(family << " tp " << tp << " phase " << static_cast<int>(workload.phase)
                            << " context " << workload.context);
                Runner runner(*program, workload, on_gpu(DType::fp32));
                runner.run();
                runner.run();
                CHECK(deviation(runner.outputs(), reference).within(kFp32));
                const auto checks = runner.check();
                CHECK(checks.ranks_agree);
                CHECK(checks.finite);
            }
        }
    }
}

TEST_CASE("cuda: 16-bit types stay near the reference, at degrees up to 8") {
    SKIP_WITHOUT_GPU();
    const Workload workload{.phase = Phase::prefill, .batch = 1, .input = 33};
    for (const std::string family : {"llama", "qwen3", "gemma2", "phi3"}) {
        const TinyModel tiny(family);
        const auto reference = run_reference(tiny.model, workload, synthetic_weights(7), {}, 7);
        for (const auto dtype : {DType::bf16, DType::fp16}) {
            for (const int tp : {1, 2, 4}) {
                const auto program = tiny.program(tp);
                if (!program) continue;
                INFO(family << " tp " << tp << " " << name_of(dtype));
                Runner runner(*program, workload, on_gpu(dtype));
                runner.run();
                CHECK(deviation(runner.outputs(), reference)
                          .within(dtype == DType::bf16 ? kBf16 : kFp16));
            }
        }
    }
}

TEST_CASE("cuda: whole numbers are exact at every degree") {
    SKIP_WITHOUT_GPU();
    // One product and one sum: no rounding anywhere, so that a wrong or missing part cannot hide.
    Program program;
    program.tp = 4;
    ShardedTensor weight;
    weight.name = "probe.weight";
    weight.shape = {96, 256};
    weight.dtype = DType::fp32;
    weight.split = {.kind = SplitKind::chunk, .dim = 1, .parts = 4};
    program.tensors.push_back(weight);
    ShardedTensor first = weight;
    first.name = "first.weight";
    first.shape = {256, 1};
    first.split = {.kind = SplitKind::chunk, .dim = 0, .parts = 4};
    program.tensors.push_back(first);
    const auto cut = Layout::columns({.kind = SplitKind::chunk, .dim = 1, .parts = 4});
    program.buffers = {{.name = "one", .width = 1},
                       {.name = "x", .width = 256, .layout = cut},
                       {.name = "y", .width = 96, .layout = Layout::replicated()}};
    Section section{.name = "probe", .layers = {-1}};
    Step up;
    up.name = "up";
    up.inputs = {0};
    up.outputs = {1};
    up.weights = {{1}};
    Step down;
    down.name = "down";
    down.inputs = {1};
    down.outputs = {2};
    down.weights = {{0}};
    Step all;
    all.kind = OpKind::all_reduce;
    all.name = "down.all_reduce";
    all.inputs = all.outputs = {2};
    section.steps = {up, down, all};
    program.sections = {section};
    program.order = {0};
    program.order_layer = {-1};
    const Workload workload{.phase = Phase::prefill, .batch = 1, .input = 5};
    auto options = on_gpu(DType::fp32);
    options.weights = whole_number_weights(3, 7);
    Runner gpu(program, workload, options);
    gpu.run();
    options.backend = "cpu";
    Runner cpu(program, workload, options);
    cpu.run();
    CHECK(gpu.outputs().values == cpu.outputs().values);
    CHECK(gpu.check().ranks_agree);
}
