#include "app/run.h"

#include "app/plan_file.h"
#include "app/validated_check.h"
#include "tests/support/catch.h"
#include "tests/unit/app/tiny_plan.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("a run of a plan measures every step, agrees with one rank and recomputes") {
    const std::pair<Phase, LayoutChoice> kinds[] = {{Phase::prefill, LayoutChoice::hf},
                                                    {Phase::decode, LayoutChoice::hf},
                                                    {Phase::decode, LayoutChoice::best}};
    for (const auto& [phase, layout] : kinds) {
        const auto plan = tiny_plan("qwen3", phase, layout);
        const auto result = run_program(plan, plan.program, quick());
        CHECK(result.numerics.pass);
        CHECK(result.numerics.reference.size() == 2);
        CHECK(result.measured.ranks == 2);
        CHECK(result.measured.samples == 3);
        CHECK(result.measured.ops.size() == plan.predicted.ops.size());
        CHECK(result.comparison.ops.size() == plan.predicted.ops.size());
        auto again = result;
        derive(plan, again);
        CHECK(again == result);
        // The plan is for a GPU: nothing that a processor takes can bear it out.
        CHECK(result.verdict != RunVerdict::validated);
        CHECK(result.comparison.across_machines ==
              "predicted for h100-sxm (cuda), measured on cpu");
        const auto document = write_validated(plan, result);
        CHECK(check_plan_file(take_apart(document, "validated.json"), "validated.json").ok);
    }
}

TEST_CASE("fewer layers are run and compared with the prediction for as many") {
    const auto plan = tiny_plan("llama", Phase::prefill);
    auto request = quick();
    request.layers = 1;
    const auto result = run_program(plan, plan.program, request);
    CHECK(result.measured.layers == 1);
    CHECK(result.comparison.predicted_step < plan.predicted.step);
    CHECK(result.measured.ops.size() < plan.predicted.ops.size());
}

TEST_CASE("planted faults give numerics-failed") {
    const auto plan = tiny_plan("qwen3", Phase::prefill);
    auto request = quick();
    const auto sound = synthetic_weights(request.seed);

    SECTION("the sign of one rank's shard flipped") {
        request.weights = [sound](const WeightPart& part, float* out) {
            sound(part, out);
            const bool second_rank =
                part.columns.offset > 0 && part.name.ends_with("down_proj.weight");
            if (!second_rank) return;
            for (std::int64_t r = 0; r < part.rows.extent; ++r) {
                for (std::int64_t c = 0; c < part.columns.extent; ++c)
                    out[r * part.stride + c] *= -1;
            }
        };
        CHECK(run_program(plan, plan.program, request).verdict == RunVerdict::numerics_failed);
    }
    SECTION("two ranks' slices swapped") {
        request.weights = [sound](const WeightPart& part, float* out) {
            auto swapped = part;
            if (part.name.ends_with("up_proj.weight")) {
                swapped.rows.offset = part.rows.offset == 0 ? part.rows.extent : 0;
            }
            sound(swapped, out);
        };
        CHECK(run_program(plan, plan.program, request).verdict == RunVerdict::numerics_failed);
    }
    SECTION("one all-reduce dropped") {
        auto program = plan.program;
        bool dropped = false;
        for (auto& section : program.sections) {
            for (auto step = section.steps.begin(); step != section.steps.end() && !dropped;
                 ++step) {
                if (step->kind != OpKind::all_reduce ||
                    !step->name.ends_with("down_proj.all_reduce"))
                    continue;
                section.steps.erase(step);
                dropped = true;
                break;
            }
        }
        REQUIRE(dropped);
        CHECK(run_program(plan, program, request).verdict == RunVerdict::numerics_failed);
    }
}

TEST_CASE("a run that is stopped keeps what it measured") {
    const auto plan = tiny_plan("llama", Phase::prefill);
    std::stop_source source;
    auto request = quick();
    request.reps = 1000;
    request.stop = source.get_token();
    request.progress = [&](double done, const std::string&) {
        if (done > 0.101) source.request_stop();
    };
    try {
        run_program(plan, plan.program, request);
        FAIL("the run was not stopped");
    } catch (const RunFailure& failure) {
        CHECK(failure.partial.verdict == RunVerdict::failed);
        CHECK(failure.partial.measured.samples >= 1);
        CHECK(failure.partial.measured.samples < 1000);
    }
}

TEST_CASE("an edited plan is refused before anything runs") {
    auto document = to_json(tiny_plan("llama", Phase::decode));
    document["tp"] = 1;
    CHECK_THROWS_AS(run_plan(document, "plan.json", quick()), Error);
}
