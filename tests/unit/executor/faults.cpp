// Planted faults: each must be seen, by the numerics or as an error that names its place.
#include <chrono>
#include <cmath>
#include <thread>

#include "core/error.h"
#include "executor/numerics.h"
#include "executor/reference.h"
#include "tests/support/catch.h"
#include "tests/unit/executor/tiny_run.h"

using namespace tplan;
using namespace tplan::test;

namespace {

const Workload kPrefill{.phase = Phase::prefill, .batch = 1, .input = 6};

/// The deviation from the reference of a run with changed weights or a changed program.
Deviation deviation_of(const Program& program, const TinyModel& tiny, WeightSource weights) {
    RunOptions options;
    options.weights = std::move(weights);
    Runner runner(program, kPrefill, options);
    runner.run();
    return deviation(runner.outputs(),
                     run_reference(tiny.model, kPrefill, synthetic_weights(1), {}, 1));
}

Step& find_step(Program& program, OpKind kind) {
    for (auto& section : program.sections) {
        for (auto& step : section.steps) {
            if (step.kind == kind && section.layers.size() > 1) return step;
        }
    }
    throw Error("test", "no such step");
}

/// Calls `fault` on what the synthetic source wrote for parameters whose name contains `word`.
template <class Fault>
WeightSource with_fault(const std::string& word, const Fault& fault) {
    return [good = synthetic_weights(1), word, fault](const WeightPart& part, float* out) {
        if (part.name.find(word) == std::string::npos) return good(part, out);
        fault(good, part, out);
    };
}

}  // namespace

TEST_CASE("without a fault the run passes", "[executor][fault]") {
    const TinyModel tiny("llama");
    CHECK(deviation_of(*tiny.program(2), tiny, synthetic_weights(1)).within(kToleranceFp32));
}

TEST_CASE("a shard of the wrong sign fails the numerics", "[executor][fault]") {
    const TinyModel tiny("llama");
    for (const std::string word : {"layers.1.self_attn.o_proj", "layers.0.mlp.up_proj"}) {
        const auto flipped = with_fault(word, [](const auto& good, const auto& part, float* out) {
            good(part, out);
            if (part.rows.offset == 0 && part.columns.offset == 0) return;  // rank 0's
            for (std::int64_t i = 0; i < part.rows.extent * part.stride; ++i) out[i] = -out[i];
        });
        INFO(word);
        CHECK_FALSE(deviation_of(*tiny.program(2), tiny, flipped).within(kToleranceFp32));
    }
}

TEST_CASE("two ranks with each other's slices fail the numerics", "[executor][fault]") {
    const TinyModel tiny("llama");
    const auto swapped =
        with_fault("layers.0.mlp.down_proj", [](const auto& good, WeightPart part, float* out) {
            part.columns.offset = part.columns.offset == 0 ? part.columns.extent : 0;
            good(part, out);
        });
    CHECK_FALSE(deviation_of(*tiny.program(2), tiny, swapped).within(kToleranceFp32));
}

TEST_CASE("a dropped all-reduce fails the numerics, and the ranks disagree", "[executor][fault]") {
    const TinyModel tiny("llama");
    auto program = *tiny.program(2);
    auto& dropped = find_step(program, OpKind::all_reduce);
    dropped.kind = OpKind::scale;  // by one: the partial sums stay as they are
    dropped.spec = {};
    CHECK_FALSE(deviation_of(program, tiny, synthetic_weights(1)).within(kToleranceFp32));
}

TEST_CASE("NaN in one rank's shard is reported with rank and step", "[executor][fault]") {
    const TinyModel tiny("llama");
    RunOptions options;
    options.weights =
        with_fault("layers.1.mlp.gate_proj", [](const auto& good, const auto& part, float* out) {
            good(part, out);
            if (part.rows.offset > 0) out[0] = std::nanf("");
        });
    Runner runner(*tiny.program(2), kPrefill, options);
    const auto checks = runner.check();
    CHECK_FALSE(checks.finite);
    CHECK(checks.not_finite == "rank 1, layers.1.mlp.gate_up_proj");
}

TEST_CASE("a rank that throws ends the run of all with its own words", "[executor][fault]") {
    const TinyModel tiny("llama");
    for (const int culprit : {0, 1, 3}) {
        RunOptions options;
        bool armed = false;
        options.before_step = [&](int rank, std::size_t step) {
            if (armed && rank == culprit && step == 5) throw Error("rank", "power failure");
        };
        Runner runner(*tiny.program(4), kPrefill, options);
        runner.run();
        armed = true;
        CHECK_THROWS_WITH(runner.run(), Catch::Contains("power failure"));
        CHECK_THROWS_WITH(runner.run(),
                          Catch::Contains("failed before") && Catch::Contains("power failure"));
    }
}

TEST_CASE("a rank that hangs is named by the one that waits for it", "[executor][fault]") {
    const TinyModel tiny("llama");
    RunOptions options;
    options.deadline_s = 0.02;
    options.before_step = [](int rank, std::size_t step) {
        if (rank != 1 || step != 4) return;
        // A rank of threads cannot be killed: it hangs until the other one must have given up.
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
        while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
    };
    Runner runner(*tiny.program(2), kPrefill, options);
    CHECK_THROWS_WITH(runner.run(), Catch::Contains("rank 0") &&
                                        Catch::Contains("rank 1 has not arrived") &&
                                        Catch::Contains("all_reduce"));
}

TEST_CASE("a weight source that throws, and a stop request, end the loading", "[executor][fault]") {
    const TinyModel tiny("llama");
    RunOptions options;
    options.weights = with_fault("layers.1.", [](const auto&, const auto& part, float*) {
        throw Error(part.name, "file is truncated");
    });
    CHECK_THROWS_WITH(Runner(*tiny.program(2), kPrefill, options),
                      Catch::Contains("layers.1.") && Catch::Contains("truncated"));

    std::stop_source stop;
    RunOptions stopped;
    stopped.stop = stop.get_token();
    stopped.progress = [&](double fraction) {
        if (fraction > 0.3) stop.request_stop();
    };
    CHECK_THROWS_WITH(Runner(*tiny.program(2), kPrefill, stopped), Catch::Contains("stopped"));
}

TEST_CASE("what the executor cannot do is refused in words", "[executor][fault]") {
    const TinyModel tiny("llama");
    RunOptions options;
    options.dtype = DType::fp8;
    CHECK_THROWS_WITH(Runner(*tiny.program(1), kPrefill, options),
                      Catch::Contains("fp32 and bf16"));
    options = {};
    options.backend = "abacus";
    CHECK_THROWS_WITH(Runner(*tiny.program(1), kPrefill, options),
                      Catch::Contains("no backend is called \"abacus\""));
    options = {};
    options.tokens = {1, 2};
    CHECK_THROWS_WITH(Runner(*tiny.program(1), kPrefill, options),
                      Catch::Contains("2 given for 6 rows"));
    const Workload huge{.phase = Phase::decode, .batch = 1 << 20, .context = 1 << 20};
    CHECK_THROWS_WITH(Runner(*tiny.program(2), huge, {}),
                      Catch::Contains("KV cache") && Catch::Contains("are there"));
}
