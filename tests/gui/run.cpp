// A run from the window: the program itself as worker, on the CPU.
#include <signal.h>
#include <unistd.h>

#include <fstream>

#include "app/step_rows.h"
#include "core/files.h"
#include "gui/panels.h"
#include "tests/gui/tiny.h"
#include "tests/support/catch.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// The processes that a process has started.
std::vector<int> children_of(int process) {
    std::vector<int> children;
    std::ifstream file(fmt::format("/proc/{0}/task/{0}/children", process));
    for (int child = 0; file >> child;) children.push_back(child);
    return children;
}

/// A run of so many repetitions that only a stop or a failure ends it; returns once it measures.
void start_endless(Driver& driver, const TempDir& folder, std::vector<std::string> flags) {
    auto& work = driver.app.work;
    const auto plan = folder / "plan.json";
    apply(work, {ActionKind::save, plan});
    REQUIRE(work.error.empty());
    work.run_output = folder / "out.json";
    flags.insert(flags.begin(),
                 {TPLAN_PROGRAM, "run", plan, "--reps", "100000", "-o", work.run_output});
    work.worker = std::make_unique<Worker>(flags);
    work.run = RunState::running;
    work.run_what = "run";
    driver.app.view.strip = "run";
    frames_until(driver, [&] { return work.worker->what().starts_with("repetition"); });
    REQUIRE(work.worker);
}

void run_to_its_end(Driver& driver) {
    driver.click("run.button");
    INFO(driver.work().error);
    REQUIRE(driver.work().run == RunState::running);
    while (driver.work().worker) driver.frames(1);
}

}  // namespace

TEST_CASE("explorer: a run fills in the measurement beside the prediction") {
    TempDir folder;
    Driver driver;
    open_tiny(driver, folder);
    REQUIRE(run_refusal(driver.work()).empty());
    run_to_its_end(driver);
    INFO(driver.work().run_what);
    REQUIRE(driver.work().run == RunState::done);
    REQUIRE(driver.study().validation);
    CHECK(driver.study().validation->numerics.pass);
    driver.frames(2);
    CHECK(driver.has("run.verdict"));
    CHECK(driver.has("run.tick"));
    CHECK_FALSE(driver.has("run.cross"));
    CHECK(driver.has("measured:tp:2"));  // a star on the curve
    // Every step that is executed has its measurement in the table.
    for (const auto& row : step_rows(driver.study())) {
        INFO(row.name);
        CHECK(row.measured > Seconds{});
    }
    driver.click("strip.steps");
    CHECK(driver.has("steps.head.measured"));
    // Another plan has no measurement; the one that was run gets it back.
    apply(driver.app.work, {ActionKind::set_tp, {}, 1});
    CHECK_FALSE(driver.study().validation);
    apply(driver.app.work, {ActionKind::undo});
    CHECK(driver.study().validation);
    // Saved and opened again it is still there.
    const auto path = folder / "validated.json";
    apply(driver.app.work, {ActionKind::save, path});
    CHECK(driver.work().error.empty());
    Driver other;
    apply(other.app.work, {ActionKind::open, path});
    REQUIRE(other.work().study);
    CHECK(other.study().validation == driver.study().validation);
}

TEST_CASE("explorer: a run of a GPU's plan on the CPU says that it does not judge it") {
    TempDir folder;
    Driver driver;
    open_tiny(driver, folder);
    gui::show(driver.app.view, "run");
    driver.frames(2);
    CHECK_FALSE(driver.has("run.caveat"));
    apply(driver.app.work, {ActionKind::set_hardware, "h100-sxm"});
    apply(driver.app.work, {ActionKind::set_tp, {}, 2});
    driver.frames(2);
    CHECK(driver.has("run.caveat"));
    run_to_its_end(driver);
    INFO(driver.work().run_what);
    REQUIRE(driver.study().validation);
    driver.frames(2);
    CHECK(driver.has("run.across_machines"));
    CHECK(driver.study().validation->verdict != RunVerdict::validated);
}

TEST_CASE("explorer: progress advances while the window goes on drawing") {
    TempDir folder;
    Driver driver;
    open_tiny(driver, folder);
    driver.app.view.strip = "run";
    // The worker waits for a line after each report, from a pipe of its own: no frame waits for it.
    const auto gate = [&](int percent) { return folder / fmt::format("gate{}", percent); };
    start_script(driver, folder,
                 "for p in 10 40 70; do mkfifo " + folder.path() +
                     "/gate$p; echo \" $p % repetition $p\" >&2; read line < " + folder.path() +
                     "/gate$p; done; echo 'tplan: gone' >&2; exit 2");
    for (const int percent : {10, 40, 70}) {
        const double share = percent / 100.0;
        frames_until(driver, [&] { return driver.work().run_done == share; });
        REQUIRE(driver.work().run_done == share);
        const int before = driver.app.frames;
        driver.frames(20);
        CHECK(driver.app.frames == before + 20);
        CHECK(driver.work().run == RunState::running);
        CHECK(driver.work().run_done == share);
        CHECK(driver.has("run.progress"));
        CHECK(driver.work().worker->what() == fmt::format("repetition {}", percent));
        std::ofstream(gate(percent)) << "on\n";
    }
    while (driver.work().worker) driver.frames(1);
    CHECK(driver.work().run == RunState::failed);
}

TEST_CASE("explorer: a run can be cancelled and another one started") {
    TempDir folder;
    Driver driver;
    open_tiny(driver, folder);
    start_endless(driver, folder, {});
    driver.click("run.cancel");
    if (driver.work().worker) {
        CHECK(driver.work().run == RunState::stopping);
        CHECK(driver.has("run.state"));
    }
    while (driver.work().worker) driver.frames(1);
    CHECK(driver.work().run == RunState::failed);
    CHECK(driver.work().run_what == "cancelled");
    // What was measured is there, said to be partial, and stands beside no prediction.
    REQUIRE(driver.work().partial);
    CHECK(driver.work().partial->verdict == RunVerdict::failed);
    CHECK_FALSE(driver.work().partial->measured.step_samples.empty());
    CHECK_FALSE(driver.study().validation);
    driver.frames(2);
    CHECK(driver.has("run.partial"));
    CHECK_FALSE(driver.has("run.verdict"));
    run_to_its_end(driver);
    CHECK(driver.work().run == RunState::done);
    CHECK_FALSE(driver.work().partial);
    CHECK(driver.study().validation);
}

TEST_CASE("explorer: a rank that dies is named with its step, and the window goes on") {
    TempDir folder;
    Driver driver;
    open_tiny(driver, folder);
    auto& work = driver.app.work;
    start_endless(driver, folder, {"--launcher", "processes"});
    const auto run = children_of(::getpid());
    REQUIRE(run.size() == 1);
    const auto ranks = children_of(run.front());
    REQUIRE(ranks.size() == 2);
    ::kill(ranks[1], SIGKILL);
    while (driver.work().worker) driver.frames(1);
    CHECK(driver.work().run == RunState::failed);
    CHECK_THAT(driver.work().run_what, Catch::Contains("rank 1"));
    CHECK_THAT(driver.work().run_what, Catch::Contains("killed by signal 9"));
    CHECK_THAT(driver.work().run_what, Catch::Contains("step #"));
    REQUIRE(work.partial);
    REQUIRE(work.partial->last_steps);
    CHECK(work.partial->last_steps->size() == 2);
    driver.frames(2);
    CHECK(driver.has("run.failure"));
    CHECK(driver.has("run.partial"));
    run_to_its_end(driver);
    CHECK(driver.work().run == RunState::done);
}

TEST_CASE("explorer: a worker that fails says why and the window goes on") {
    TempDir folder;
    Driver driver;
    open_tiny(driver, folder);
    driver.app.view.strip = "run";
    start_script(driver, folder, "echo 'tplan: rank 1: step o_proj: died' >&2; exit 2");
    while (driver.work().worker) driver.frames(1);
    CHECK(driver.work().run == RunState::failed);
    CHECK(driver.work().run_what == "tplan: rank 1: step o_proj: died");
    driver.frames(2);
    CHECK(driver.has("run.failure"));
    driver.click("run.copy");
    CHECK(std::string(ImGui::GetClipboardText()) == "tplan: rank 1: step o_proj: died");
    run_to_its_end(driver);
    CHECK(driver.work().run == RunState::done);
}
