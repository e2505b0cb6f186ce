#include "executor/reference.h"

#include <cmath>

#include "executor/numerics.h"
#include "tests/support/catch.h"
#include "tests/unit/executor/tiny_run.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("the reference gives the logits of transformers for every family", "[executor]") {
    const auto file = load_transformers_logits();
    Workload workload{.phase = Phase::prefill, .batch = 1};
    workload.input = static_cast<std::int64_t>(file.tokens.size());
    for (const auto& [family, expected] : file.all()) {
        INFO(family);
        const TinyModel tiny(family);
        const auto logits =
            run_reference(tiny.model, workload, weights_on_file(), file.tokens, 1).values;
        double largest = 0, difference = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            largest = std::max(largest, std::abs(expected[i]));
            difference = std::max(difference, std::abs(expected[i] - logits[i]));
        }
        CHECK(difference <= 1e-5 * largest);
    }
}

TEST_CASE("programs of every family compute what the reference computes, at every degree",
          "[executor]") {
    const std::vector<Workload> workloads = {
        {.phase = Phase::prefill, .batch = 2, .input = 19},  // past the windows of 8
        {.phase = Phase::decode, .batch = 3, .context = 13},
        {.phase = Phase::decode, .batch = 1, .context = 1},
        {.phase = Phase::prefill, .batch = 1, .input = 1},
    };
    RunOptions options;
    options.seed = 7;
    for (const auto& [family, logits] : load_transformers_logits().all()) {
        const TinyModel tiny(family);
        for (const auto& workload : workloads) {
            const auto reference = run_reference(tiny.model, workload, synthetic_weights(7), {}, 7);
            for (const int tp : {1, 2, 4}) {
                const auto program = tiny.program(tp);
                if (!program) continue;
                INFO(family << " tp " << tp << " phase " << static_cast<int>(workload.phase)
                            << " batch " << workload.batch);
                Runner runner(*program, workload, options);
                runner.run();
                runner.run();  // a repetition leaves the state as it was
                const auto difference = deviation(runner.outputs(tp - 1), reference);
                CHECK(difference.within(kToleranceFp32));
                const auto checks = runner.check();
                CHECK(checks.ranks_agree);
                CHECK(checks.finite);
            }
        }
    }
}
