// Training steps against central differences of the scalar reference, and degree against degree.
#include <cmath>

#include "core/error.h"
#include "executor/backend.h"
#include "executor/gradient_check.h"
#include "executor/optimizer.h"
#include "executor/reference.h"
#include "planner/train.h"
#include "tests/support/catch.h"
#include "tests/unit/executor/tiny_run.h"

using namespace tplan;
using namespace tplan::test;
using Catch::Matchers::Contains;

namespace {

constexpr std::uint64_t kSeed = 7;
// Longer than the tiny sliding windows (8).
constexpr Workload kWork{
    .phase = Phase::train, .batch = 2, .input = 11, .context = 11, .dtype = DType::fp32};

struct TinyTraining {
    ModelConfig config;
    Model model;
    explicit TinyTraining(const std::string& family)
        : config(read_model_config(tiny_config(family), "tiny " + family)),
          model(training_model(build_model(config))) {}

    /// Nothing where the degree does not work or cannot be trained.
    std::optional<Program> program(int tp, Kernels kernels, Training training = {}) const {
        PlanOptions options;
        options.tp = training.mesh.tp = tp;
        options.kernels = kernels;
        const auto planned = make_plan(config, model, options);
        if (!planned.plan) return std::nullopt;
        const auto forward = lower(model, *planned.plan, DType::fp32);
        if (!training_fault(forward).empty()) return std::nullopt;
        return training_program(forward, training, kernels);
    }
};

RunOptions options_of_test() {
    RunOptions options;
    options.backend = "cpu";
    options.seed = kSeed;
    return options;
}

const std::vector<std::string> kDense = {
    "cohere", "falcon",   "gemma",   "gemma2", "gemma3_text", "glm4",
    "gpt2",   "gpt_neox", "granite", "llama",  "mistral",     "olmo2",
    "phi",    "phi3",     "qwen2",   "qwen3",  "stablelm",    "starcoder2"};

}  // namespace

TEST_CASE("training: one rank's loss and gradients are those of the scalar reference") {
    for (const auto& family : kDense) {
        const TinyTraining tiny(family);
        const auto weights = synthetic_weights(kSeed);
        const double loss = reference_loss(tiny.model, kWork, weights, {}, kSeed);
        for (const auto kernels : {Kernels::hf, Kernels::served}) {
            INFO(family << ", " << name_of(kernels));
            Runner runner(tiny.program(1, kernels).value(), kWork, options_of_test());
            runner.run();
            CHECK(std::abs(runner.loss() - loss) <= 1e-5 * loss);
            const auto worst = check_slopes(runner, tiny.model, kWork, weights, kSeed);
            INFO(worst.name << ": " << worst.apart << " of " << worst.length);
            CHECK(worst.length > 0);
            CHECK(worst.apart <= 1e-4 * worst.length);
        }
    }
}

TEST_CASE("training: two and four ranks make the gradients and the update of one") {
    int runs = 0;
    for (const auto& family : kDense) {
        const TinyTraining tiny(family);
        for (const auto kernels : {Kernels::hf, Kernels::served}) {
            const Training sgd{.optimizer = Optimizer::sgd};
            Runner one(tiny.program(1, kernels, sgd).value(), kWork, options_of_test());
            one.run();
            for (const int tp : {2, 4}) {
                const auto program = tiny.program(tp, kernels, sgd);
                if (!program) continue;
                ++runs;
                INFO(family << ", " << name_of(kernels) << ", TP " << tp);
                Runner runner(*program, kWork, options_of_test());
                const auto checks = runner.check();
                CHECK(checks.finite);
                INFO(checks.disagreement);
                CHECK(checks.ranks_agree);
                CHECK(std::abs(runner.loss() - one.loss()) <= 1e-6 * one.loss());
                REQUIRE(runner.parameters() == one.parameters());
                for (std::size_t i = 0; i < one.parameters(); ++i) {
                    const auto got = runner.parameter(i), expected = one.parameter(i);
                    INFO(got.name);
                    REQUIRE(got.name == expected.name);
                    CHECK(got.agree);
                    const auto gradient = distance(got.gradient, expected.gradient);
                    CHECK(gradient.reference > 0);
                    CHECK(gradient.apart <= 1e-4 * gradient.reference);
                    const auto value = distance(got.value, expected.value);
                    CHECK(value.apart <= 1e-6 * value.reference);
                }
            }
        }
    }
    CHECK(runs >= 30);  // what their heads and plans allow
}

TEST_CASE("training: the update is the optimizer's") {
    struct Case {
        const char* family;
        int tp;
    };
    for (const auto optimizer : {Optimizer::adamw, Optimizer::sgd}) {
        // Weights stored [in, out], biases; biases that are cut and that follow a reduction.
        for (const auto [family, tp] : {Case{"gpt2", 1}, Case{"phi", 2}}) {
            const TinyTraining tiny(family);
            const auto program = tiny.program(tp, Kernels::served, {.optimizer = optimizer});
            Runner runner(program.value(), kWork, options_of_test());
            runner.run();
            for (std::size_t i = 0; i < runner.parameters(); ++i) {
                const auto got = runner.parameter(i);
                INFO(name_of(optimizer) << ", TP " << tp << ", " << got.name);
                const auto before = runner.initial_parameter(i);
                const auto update = update_distance(optimizer, before, got.gradient, got.value);
                CHECK(update.moved > 0);
                CHECK(update.apart <= 1e-4 * update.moved);
                CHECK_FALSE(update_distance(optimizer, before, got.gradient, before).apart <=
                            1e-4 * update.moved);
            }
        }
    }
}

TEST_CASE("training: updates lower the loss of the tokens they are made from") {
    const TinyTraining tiny("qwen3");
    for (const int tp : {1, 2}) {
        Runner runner(tiny.program(tp, Kernels::hf).value(), kWork, options_of_test());
        runner.run();
        const double first = runner.loss();
        for (int i = 0; i < 20; ++i) runner.run();
        CHECK(runner.loss() < 0.9 * first);
    }
}

TEST_CASE("training: what is not run is refused before anything is allocated") {
    const auto refusal = [](const Program& program, Workload work, DType dtype) {
        auto options = options_of_test();
        options.dtype = dtype;
        try {
            Runner(program, work, options);
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    const TinyTraining llama("llama");
    const auto plain = llama.program(1, Kernels::hf).value();
    CHECK_THAT(refusal(plain, kWork, DType::bf16), Contains("--dtype fp32"));
    auto single = kWork;
    single.input = 1;
    CHECK_THAT(refusal(plain, single, DType::fp32), Contains("--seq"));
    const auto sharded = llama.program(1, Kernels::hf, {.mesh = {.dp_shard = 2}}).value();
    CHECK_THAT(refusal(sharded, kWork, DType::fp32), Contains("dp_shard=2") && Contains("--tp"));
    const auto again = llama.program(1, Kernels::hf, {.recompute = Recompute::full}).value();
    CHECK_THAT(refusal(again, kWork, DType::fp32), Contains("--recompute none"));
    const auto experts = TinyTraining("mixtral").program(1, Kernels::hf).value();
    CHECK_THAT(refusal(experts, kWork, DType::fp32), Contains("dense models"));
}

TEST_CASE("training: gradients and moments are counted in the memory that is asked for") {
    const TinyTraining tiny("llama");
    const auto backend = make_backend("cpu", 2);
    const auto needs = [&](Optimizer optimizer) {
        const auto program = tiny.program(2, Kernels::hf, {.optimizer = optimizer}).value();
        return memory_needs(program, kWork, DType::fp32, *backend).ranks[0];
    };
    // Matrices of two layers and the head halved; the table and five norms of 64 whole.
    const double elements =
        2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64) / 2.0 + 1.5 * 256 * 64 + 5 * 64;
    const auto adamw = needs(Optimizer::adamw), sgd = needs(Optimizer::sgd);
    CHECK(adamw.weights == 4 * elements);
    CHECK(adamw.gradients == 4 * elements);
    CHECK(adamw.optimizer == 8 * elements);
    CHECK(sgd.optimizer == 0);
    CHECK(adamw.activations == sgd.activations);
}
