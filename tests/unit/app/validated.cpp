#include "app/validated.h"

#include "app/first_layers.h"
#include "app/plan_file.h"
#include "app/validated_check.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;

namespace {

Measured measured_of(std::vector<TimedSample> samples) {
    Measured measured;
    measured.step_samples = std::move(samples);
    measured.samples = static_cast<int>(measured.step_samples.size());
    measured.clean_fraction = 1;
    measured.step = spread_of(measured.step_samples);
    return measured;
}

Numerics good_numerics() {
    Numerics numerics;
    numerics.ranks_agree = true;
    numerics.pass = true;
    return numerics;
}

Comparison interval(double low, double high) {
    Comparison comparison;
    comparison.interval_90 = {Seconds(low), Seconds(high)};
    return comparison;
}

}  // namespace

TEST_CASE("errors are predicted over measured minus one, joined by id") {
    Estimate predicted;
    predicted.step = Seconds(11);
    predicted.ops.resize(2);
    predicted.ops[0].id = "layers.0.mlp.up_proj";
    predicted.ops[0].time = Seconds(3);
    predicted.ops[1].id = "never.run";
    auto measured = measured_of({{Seconds(10), true}, {Seconds(10), true}});
    measured.ops = {{"layers.0.mlp.up_proj", Seconds(4), Seconds(0)}};
    measured.probes = {{"a", Seconds(1), Seconds(1.1)},
                       {"b", Seconds(1), Seconds(1.0)},
                       {"c", Seconds(1), Seconds(1.2)}};
    const auto comparison = compare(predicted, measured);
    CHECK(comparison.step_error == Catch::Approx(0.1));
    CHECK(comparison.drift == Catch::Approx(1.1));
    CHECK(comparison.step_error_recalibrated == Catch::Approx(0.21));
    REQUIRE(comparison.ops.size() == 1);
    CHECK(comparison.ops[0].error == Catch::Approx(-0.25));
}

TEST_CASE("the verdict of a run") {
    const auto steady =
        measured_of({{Seconds(10), true}, {Seconds(10), true}, {Seconds(10), true}});
    CHECK(judge_run(steady, good_numerics(), interval(9, 11)) == RunVerdict::validated);
    CHECK(judge_run(steady, good_numerics(), interval(5, 6)) == RunVerdict::out_of_interval);

    SECTION("numbers that differ outweigh everything") {
        auto numerics = good_numerics();
        numerics.pass = false;
        CHECK(judge_run(steady, numerics, interval(9, 11)) == RunVerdict::numerics_failed);
    }
    SECTION("a large error alone is never inconclusive") {
        auto comparison = interval(1e-9, 2e-9);
        comparison.step_error = 1000;
        CHECK(judge_run(steady, good_numerics(), comparison) == RunVerdict::out_of_interval);
    }
    SECTION("preempted repetitions are inconclusive") {
        auto noisy = steady;
        noisy.clean_fraction = 0.49;
        CHECK(judge_run(noisy, good_numerics(), interval(9, 11)) == RunVerdict::inconclusive);
    }
    SECTION("a step of another machine is never validated, nor is it noise") {
        auto comparison = interval(9, 11);
        comparison.across_machines = "predicted for h100-sxm (cuda), measured on cpu";
        CHECK(judge_run(steady, good_numerics(), comparison) == RunVerdict::out_of_interval);
        const auto reasons = verdict_reasons(steady, good_numerics(), comparison);
        REQUIRE(reasons.size() == 1);
        CHECK(reasons[0].find("h100-sxm") != std::string::npos);
    }
    SECTION("inconclusive says which of the three it was") {
        auto noisy = measured_of({{Seconds(8), true}, {Seconds(10), true}, {Seconds(10), true}});
        auto comparison = interval(9, 11);
        const auto reasons = [&] { return verdict_reasons(noisy, good_numerics(), comparison); };
        REQUIRE(reasons().size() == 1);
        CHECK(reasons()[0].find("p10") != std::string::npos);
        noisy.clean_fraction = 0.25;
        comparison.drift = 1.5;
        REQUIRE(reasons().size() == 3);
        CHECK(reasons()[0].find("25.0 %") != std::string::npos);
        CHECK(reasons()[2].find("1.50 times") != std::string::npos);
        CHECK(verdict_reasons(steady, good_numerics(), interval(9, 11)).empty());
    }
    SECTION("a wide spread is inconclusive") {
        const auto wide =
            measured_of({{Seconds(8), true}, {Seconds(10), true}, {Seconds(10), true}});
        CHECK(wide.step.median > wide.step.p10 * 1.15);
        CHECK(judge_run(wide, good_numerics(), interval(9, 11)) == RunVerdict::inconclusive);
    }
    SECTION("a machine that drifted since calibration is inconclusive, either way") {
        auto comparison = interval(9, 11);
        comparison.drift = 1.11;
        CHECK(judge_run(steady, good_numerics(), comparison) == RunVerdict::inconclusive);
        comparison.drift = 0.89;
        CHECK(judge_run(steady, good_numerics(), comparison) == RunVerdict::inconclusive);
        comparison.drift = 1.09;
        CHECK(judge_run(steady, good_numerics(), comparison) == RunVerdict::validated);
    }
}

TEST_CASE("a run cut short before its first sample still has finite figures") {
    const auto config = read_model_config(test::tiny_config("llama"), "tiny llama");
    PlanRequest request;
    request.plan.tp = 2;
    const auto plan =
        make_plan_document(config, load_hardware("h100-sxm"), request).document.value();
    Validation validation;
    validation.measured.layers = 2;
    derive(plan, validation);
    CHECK(validation.measured.speedup_vs_tp1 == 0);
    CHECK(validation.comparison.drift == 1);
    const auto document = write_validated(plan, validation);
    CHECK(check_plan_file(take_apart(document, "cut.json"), "cut.json").ok);

    auto absurd = document;
    absurd["measured"]["step_tp1_s"]["median"] = 1e308;
    const auto report = check_plan_file(take_apart(absurd, "absurd.json"), "absurd.json");
    REQUIRE_FALSE(report.ok);
    CHECK(report.differences.front().path == "measured/step_tp1_s/median");
}

TEST_CASE("a program cut to its first layers keeps embedding and head") {
    Program program;
    program.sections.resize(3);
    program.sections[1].layers = {0, 1, 2};
    program.order = {0, 1, 1, 1, 2};
    program.order_layer = {-1, 0, 1, 2, -1};
    const auto cut = first_layers(program, 2);
    CHECK(cut.order == std::vector<int>{0, 1, 1, 2});
    CHECK(cut.order_layer == std::vector<int>{-1, 0, 1, -1});
    CHECK(cut.sections[1].layers == std::vector<int>{0, 1});
}

TEST_CASE("a program cut short ends with a layer that the head can begin with") {
    // Buffers: 0 the stream whole, 1 the stream by rows. Layers 0, 1-2 and 3 lie unlike.
    const auto layer = [](int from, int to) {
        Section section;
        section.steps = {{.kind = OpKind::add, .inputs = {from}, .outputs = {to}}};
        return section;
    };
    Program program;
    Section embedding;
    embedding.steps = {{.kind = OpKind::embedding, .outputs = {0}}};
    Section head;
    head.steps = {{.kind = OpKind::linear, .inputs = {0}, .outputs = {2}}};
    program.sections = {embedding, layer(0, 1), layer(1, 1), layer(1, 0), head};
    program.order = {0, 1, 2, 2, 3, 4};
    program.order_layer = {-1, 0, 1, 2, 3, -1};
    const auto two = first_layers(program, 2);
    CHECK(two.order == std::vector<int>{0, 1, 3, 4});
    CHECK(two.sections[3].layers == std::vector<int>{1});
    CHECK(two.sections[2].layers.empty());
    CHECK(first_layers(program, 4).order == program.order);
    // No layer goes from whole to whole.
    CHECK_THROWS_AS(first_layers(program, 1), Error);
}
