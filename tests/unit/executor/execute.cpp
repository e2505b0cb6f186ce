#include "executor/execute.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/unit/executor/tiny_run.h"
#include "tests/unit/planner/programs.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("tiny models of every family give the logits of transformers at every degree",
          "[executor]") {
    const auto file = load_transformers_logits();
    Workload workload{.phase = Phase::prefill, .batch = 1};
    workload.input = static_cast<std::int64_t>(file.tokens.size());
    RunOptions options;
    options.weights = weights_on_file();
    options.tokens = file.tokens;
    for (const auto& [family, expected] : file.all()) {
        const TinyModel tiny(family);
        for (const int tp : {1, 2, 4}) {
            for (const auto kernels : {Kernels::served, Kernels::hf}) {
                const auto program = tiny.program(tp, kernels);
                if (!program) continue;
                INFO(family << " tp " << tp << " kernels " << static_cast<int>(kernels));
                Runner runner(*program, workload, options);
                runner.run();
                const auto logits = runner.outputs();
                double largest = 0, difference = 0;
                for (std::size_t i = 0; i < expected.size(); ++i) {
                    largest = std::max(largest, std::abs(expected[i]));
                    difference = std::max(difference, std::abs(expected[i] - logits.values[i]));
                }
                CHECK(difference / largest < 2e-5);
            }
        }
    }
}

TEST_CASE("memory that does not suffice is refused before loading, unless it is forced",
          "[executor]") {
    const TinyModel tiny("llama");
    const auto two = *tiny.program(2), one = *tiny.program(1);
    const auto backend = make_backend("cpu", 2);
    const Workload small{.phase = Phase::decode, .batch = 2, .context = 10};
    const auto needs = require_runnable(two, small, {}, *backend, &one);
    const auto of = [&](const Program& program, const Workload& workload) {
        return memory_needs(program, workload, DType::fp32, *backend).total();
    };
    CHECK(needs.ranks.size() == 3);
    CHECK(needs.total() == of(two, small) + of(one, small));

    const Workload huge{.phase = Phase::decode, .batch = 1 << 20, .context = 1 << 30};
    CHECK_THROWS_WITH(require_runnable(two, huge, {}, *backend),
                      Catch::Matchers::Contains("memory: the run needs ") &&
                          Catch::Matchers::Contains("; ranks 0 to 1, each: weights ") &&
                          Catch::Matchers::Contains("run fewer layers with --layers"));
    CHECK_THROWS_WITH(require_runnable(two, huge, {}, *backend, &one),
                      Catch::Matchers::Contains("the run, with one rank beside it, needs "));
    CHECK(require_runnable(two, huge, {.force = true}, *backend).total() == of(two, huge));
}

TEST_CASE("a program of integer weights is refused: its prediction is of kernels not here") {
    const Json awq = {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 32}};
    const auto program = lowered(tiny("llama", {{"quantization_config", awq}}), options_for(2));
    const auto backend = make_backend("cpu", 2);
    CHECK_THROWS_WITH(require_runnable(program, {}, {}, *backend, nullptr),
                      Catch::Matchers::Contains("no backend multiplies int4 weights"));
}
