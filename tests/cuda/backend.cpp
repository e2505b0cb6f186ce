// The CUDA backend against the scalar reference and the CPU backend. Skipped, visibly, without a
// GPU.
#include <algorithm>
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
constexpr std::int64_t kVocab = 64;

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

namespace {

/// Queries, keys and values looked up for every token, and attention over them.
Program attention_program(const AttentionSpec& spec) {
    Program program;
    auto& section = program.sections.emplace_back();
    section = {.name = "probe", .layers = {-1}, .steps = {}};
    const std::int64_t widths[] = {spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim,
                                   spec.kv_heads * spec.v_head_dim};
    Step attention;
    attention.kind = OpKind::attention;
    attention.name = "attention";
    attention.spec.attention = spec;
    for (int i = 0; i < 3; ++i) {
        const auto name = std::string(1, "qkv"[i]);
        ShardedTensor table;
        table.name = "probe." + name + ".weight";
        table.shape = {kVocab, widths[i]};
        table.dtype = DType::fp32;
        program.tensors.push_back(table);
        program.buffers.push_back({.name = name, .width = widths[i], .layout = {}});
        Step lookup;
        lookup.kind = OpKind::embedding;
        lookup.name = name;
        lookup.outputs = {i};
        lookup.weights = {{i}};
        lookup.spec.factor = 1;
        section.steps.push_back(lookup);
        attention.inputs.push_back(i);
    }
    program.buffers.push_back({.name = "out", .width = spec.heads * spec.v_head_dim, .layout = {}});
    attention.outputs = {3};
    attention.n = spec.heads * spec.v_head_dim;
    section.steps.push_back(attention);
    program.order = {0};
    program.order_layer = {-1};
    return program;
}

}  // namespace

TEST_CASE("cuda: attention by head size, grouping, window and cap, of many tokens and of one") {
    SKIP_WITHOUT_GPU();
    struct Case {
        std::int64_t heads, kv_heads, head_dim, v_head_dim, window, tokens;
        double softcap;
    };
    const std::vector<Case> cases = {{2, 1, 64, 64, 0, 70, 0},   {4, 2, 128, 128, 0, 65, 0},
                                     {1, 1, 80, 80, 0, 33, 0},   {2, 2, 192, 128, 0, 40, 0},
                                     {2, 1, 64, 64, 20, 100, 0}, {1, 1, 256, 256, 0, 50, 30},
                                     {1, 1, 16, 16, 0, 16, 0},   {1, 1, 24, 24, 0, 20, 0},
                                     {20, 1, 64, 64, 0, 30, 0},  {3, 3, 128, 128, 50, 100, 0}};
    for (const auto& c : cases) {
        AttentionSpec spec{.heads = c.heads,
                           .kv_heads = c.kv_heads,
                           .head_dim = c.head_dim,
                           .v_head_dim = c.v_head_dim,
                           .scale = 8 / std::sqrt(static_cast<double>(c.head_dim))};
        spec.window = c.window;
        spec.softcap = c.softcap;
        const auto program = attention_program(spec);
        for (const auto phase : {Phase::prefill, Phase::decode}) {
            const Workload workload{
                .phase = phase, .batch = 2, .input = c.tokens, .context = c.tokens};
            auto options = on_gpu(DType::fp32);
            options.weights = synthetic_weights(7);
            options.backend = "cpu";
            Runner cpu(program, workload, options);
            cpu.run();
            options.backend = "cuda";
            for (const auto dtype : {DType::bf16, DType::fp16}) {
                options.dtype = dtype;
                Runner gpu(program, workload, options);
                gpu.run();
                INFO(c.heads << " heads of " << c.head_dim << ", " << c.tokens << " tokens, window "
                             << c.window << ", " << name_of(dtype) << ", " << name_of(phase));
                CHECK(deviation(gpu.outputs(), cpu.outputs())
                          .within(dtype == DType::bf16 ? 2e-2 : 3e-3));
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
    program.buffers = {{.name = "one", .width = 1, .layout = {}},
                       {.name = "x", .width = 256, .layout = cut},
                       {.name = "y", .width = 96, .layout = Layout::replicated()}};
    Section section{.name = "probe", .layers = {-1}, .steps = {}};
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

TEST_CASE("cuda: the choice of tokens is that of the CPU, where the vocabulary is cut too") {
    SKIP_WITHOUT_GPU();
    const Workload workload{.phase = Phase::decode, .batch = 5, .context = 9};
    for (const std::string family : {"llama", "qwen3", "gemma2"}) {
        const TinyModel tiny(family);
        for (const int tp : {1, 2, 4}) {
            const auto greedy = tiny.program(tp, Kernels::served, Sampling::greedy);
            const auto logits = tiny.program(tp, Kernels::served, Sampling::logits);
            if (!greedy || !logits) continue;
            INFO(family << " tp " << tp);
            auto options = on_gpu(DType::fp32);
            options.backend = "cpu";
            Runner cpu(*greedy, workload, options);
            cpu.run();
            options.backend = "cuda";
            Runner gpu(*greedy, workload, options);
            gpu.run();
            CHECK(gpu.outputs().chosen);
            CHECK(gpu.outputs().greedy == cpu.outputs().greedy);
            const auto checks = gpu.check();
            CHECK(checks.ranks_agree);
            // Of 16-bit logits it is the first of the largest, whatever number its token has.
            options.dtype = DType::bf16;
            Runner chooses(*greedy, workload, options), shows(*logits, workload, options);
            chooses.run();
            shows.run();
            CHECK(chooses.outputs().greedy == shows.outputs().greedy);
            CHECK(chooses.outputs().rounded);
            CHECK_FALSE(gpu.outputs().rounded);
        }
    }
}

TEST_CASE("cuda: an index that 16 bits do not hold is chosen exactly") {
    SKIP_WITHOUT_GPU();
    // One column of weights over 70,001 tokens: the largest products are at places that bf16 would
    // round, equal ones among them.
    constexpr std::int64_t kTokens = 70001;
    const auto choose = [&](int tp, const std::vector<std::int64_t>& largest) {
        const Split cut{.kind = SplitKind::chunk, .dim = 0, .parts = tp};
        Program program;
        program.tp = tp;
        ShardedTensor first, head;
        first.name = "first.weight";
        first.shape = {kVocab, 1};
        first.dtype = head.dtype = DType::fp32;
        head.name = "head.weight";
        head.shape = {kTokens, 1};
        head.split = cut;
        program.tensors = {first, head};
        Split columns = cut;
        columns.dim = 1;
        const auto over = Layout::columns(columns);
        const auto pairs =
            Layout::columns({.kind = SplitKind::chunk, .dim = 1, .parts = tp, .unit = 2 * tp});
        const auto buffer = [](const std::string& name, std::int64_t width, const Layout& layout) {
            return Buffer{.name = name, .rows = Rows::tokens, .width = width, .layout = layout};
        };
        program.buffers = {buffer("one", 1, {}), buffer("logits", kTokens, over),
                           buffer("candidates", 2 * tp * tp, pairs), buffer("all", 2 * tp * tp, {}),
                           buffer("choice", 2, {})};
        Step lookup, project, keep, gather, best;
        lookup.kind = OpKind::embedding;
        lookup.name = "one";
        lookup.outputs = {0};
        lookup.weights = {{0}};
        lookup.spec.factor = 1;
        project.name = "head";
        project.inputs = {0};
        project.outputs = {1};
        project.weights = {{1}};
        keep.kind = best.kind = OpKind::largest;
        keep.name = "candidates";
        keep.inputs = {1};
        keep.outputs = {2};
        keep.spec.largest = LargestSpec{.of_pairs = false};
        gather.kind = OpKind::all_gather;
        gather.name = "candidates.all_gather";
        gather.inputs = {2};
        gather.outputs = {3};
        best.name = "choice";
        best.inputs = {3};
        best.outputs = {4};
        best.spec.largest = LargestSpec{.of_pairs = true};
        Section section{
            .name = "probe", .layers = {-1}, .steps = {lookup, project, keep, gather, best}};
        program.sections = {section};
        program.order = {0};
        program.order_layer = {-1};
        auto options = on_gpu(DType::bf16);
        options.weights = [largest](const WeightPart& part, float* out) {
            for (std::int64_t r = 0; r < part.rows.extent; ++r) {
                const auto row = part.rows.offset + r;
                const bool top = std::count(largest.begin(), largest.end(), row) > 0;
                const bool head_row = part.name == "head.weight";
                out[r * part.stride] = head_row ? (top ? 5.0F : static_cast<float>(row % 4)) : 1.0F;
            }
        };
        Runner gpu(program, {.phase = Phase::decode, .batch = 2, .context = 3}, options);
        gpu.run();
        return gpu.outputs().greedy;
    };
    for (const int tp : {2, 4}) {
        using Tokens = std::vector<std::int32_t>;
        CHECK(choose(tp, {69997}) == Tokens{69997, 69997});
        CHECK(choose(tp, {257, 40001, 69999}) == Tokens{257, 257});
        CHECK(choose(tp, {40001, 69999}) == Tokens{40001, 40001});
    }
}
