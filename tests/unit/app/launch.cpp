// Runs by processes as the program makes them, and what is kept of one that is cut short.
#include <csignal>

#include "app/plan_file.h"
#include "app/run.h"
#include "app/validated_check.h"
#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/app/tiny_plan.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("a run of processes gives a validation that recomputes from its document") {
    const auto plan = tiny_plan("mixtral", Phase::prefill);
    const auto result = launch_plan(plan, quick(Launcher::processes));
    REQUIRE(result);
    CHECK(result->numerics.pass);
    CHECK(result->numerics.reference.size() == 2);
    CHECK(result->measured.ranks == 2);
    CHECK(result->measured.devices.size() == 2);
    CHECK(result->measured.samples == 3);
    CHECK(result->measured.ops.size() == plan.predicted.ops.size());
    CHECK_FALSE(result->last_steps);
    auto again = *result;
    derive(plan, again);
    CHECK(again == *result);
}

TEST_CASE("a killed rank leaves what was measured, and the last steps of all ranks") {
    const test::TempDir folder;
    const auto plan = tiny_plan("llama", Phase::prefill);
    auto request = quick(Launcher::processes);
    request.partial = folder / "out.json.partial.json";
    request.reps = 1000;
    int calls = 0;
    request.before_step = [&](int rank, std::size_t step) {
        if (rank == 1 && step == 3 && ++calls == 6) ::raise(SIGKILL);
    };
    CHECK_THROWS_WITH(launch_plan(plan, request), Catch::Contains("rank 1 ") &&
                                                      Catch::Contains("killed by signal 9") &&
                                                      Catch::Contains("step #2"));
    const auto kept = read_plan_file(request.partial);
    REQUIRE(kept.validation);
    CHECK(kept.validation->verdict == RunVerdict::failed);
    CHECK(kept.validation->measured.samples >= 1);
    CHECK(kept.validation->measured.samples < 1000);
    REQUIRE(kept.validation->last_steps);
    CHECK(kept.validation->last_steps->size() == 2);
    CHECK(kept.validation->last_steps->at(1).steps.back().index == 2);
    CHECK(check_file(request.partial).ok);
    CHECK(folder.listing().find("out.json.partial.json") != std::string::npos);
}

TEST_CASE("rank 0 dying before anything was measured leaves a partial too") {
    const test::TempDir folder;
    auto request = quick(Launcher::processes);
    request.partial = folder / "p.json";
    request.before_step = [](int, std::size_t) { ::raise(SIGKILL); };
    CHECK_THROWS_AS(launch_plan(tiny_plan("llama", Phase::prefill), request), RunFailure);
    const auto kept = read_plan_file(request.partial);
    REQUIRE(kept.validation);
    CHECK(kept.validation->verdict == RunVerdict::failed);
    CHECK(kept.validation->measured.samples == 0);
}

TEST_CASE("what is refused before it began leaves nothing") {
    const test::TempDir folder;
    auto request = quick(Launcher::processes);
    request.partial = folder / "p.json";
    request.backend = "abacus";
    CHECK_THROWS_WITH(launch_plan(tiny_plan("llama", Phase::prefill), request),
                      Catch::Contains("abacus"));
    CHECK(folder.listing().empty());
}

TEST_CASE("the deadline follows the prediction and is never short") {
    auto plan = tiny_plan("llama", Phase::prefill);
    auto request = quick(Launcher::processes);
    plan.predicted.step = Seconds(0.001);
    CHECK(deadline_of(plan, request) == 10);
    plan.predicted.step = Seconds(2);
    CHECK(deadline_of(plan, request) == 40);
    request.deadline_s = 0.5;
    CHECK(deadline_of(plan, request) == 0.5);
}
