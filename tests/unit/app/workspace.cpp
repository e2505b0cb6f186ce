#include "app/workspace.h"

#include <sys/wait.h>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// Waits for a worker by looking at it; the child ends by itself.
void finish(Worker& worker) {
    while (worker.running()) worker.poll();
}

}  // namespace

TEST_CASE("workspace: a new model begins at its best degree") {
    auto workspace = make_workspace();
    apply(workspace, {ActionKind::set_model, "llama-3.1-70b"});
    REQUIRE(workspace.study);
    const auto& curve = workspace.study->curves.front();
    CHECK(workspace.inputs.request.plan.tp ==
          curve.points[static_cast<std::size_t>(curve.best)].tp);
    CHECK(workspace.undo.empty());
}

TEST_CASE("workspace: undo and redo restore inputs and every output") {
    auto workspace = make_workspace();
    apply(workspace, {ActionKind::set_model, "llama-3.1-8b"});
    const auto inputs = workspace.inputs;
    const auto step = workspace.study->totals->step;
    apply(workspace, {ActionKind::set_tp, {}, 2});
    apply(workspace, {ActionKind::swap_link});
    const auto changed = workspace.study->totals->step;
    CHECK_FALSE(changed == step);
    apply(workspace, {ActionKind::undo});
    apply(workspace, {ActionKind::undo});
    CHECK(workspace.inputs == inputs);
    CHECK(workspace.study->totals->step == step);
    apply(workspace, {ActionKind::redo});
    apply(workspace, {ActionKind::redo});
    CHECK(workspace.study->totals->step == changed);
    CHECK(workspace.redo.empty());
}

TEST_CASE("workspace: hardware without the link in use takes its own fastest") {
    auto workspace = make_workspace();
    apply(workspace, {ActionKind::set_model, "llama-3.1-8b"});
    apply(workspace, {ActionKind::set_link, "nvlink"});
    apply(workspace, {ActionKind::set_hardware, "l40s"});
    CHECK(workspace.error.empty());
    CHECK(workspace.study->request.cost.link == "pcie");
}

TEST_CASE("workspace: what is out of range changes nothing") {
    auto workspace = make_workspace();
    apply(workspace, {ActionKind::set_tp, {}, 2});
    CHECK_FALSE(workspace.error.empty());
    apply(workspace, {ActionKind::set_model, "qwen3-0.6b"});
    const auto inputs = workspace.inputs;
    for (const auto& action :
         {Action{ActionKind::set_tp, {}, 0}, Action{ActionKind::set_tp, {}, 9},
          Action{ActionKind::set_batch, {}, -1}, Action{ActionKind::set_length, {}, 0},
          Action{ActionKind::set_phase, "train"}, Action{ActionKind::set_hardware, "h1000"},
          Action{ActionKind::open, "/no/such/file.json"}}) {
        apply(workspace, action);
        CHECK_FALSE(workspace.error.empty());
        CHECK(workspace.inputs == inputs);
    }
}

TEST_CASE("workspace: a plan for a GPU is not run here, and says what to do") {
    auto workspace = make_workspace();
    CHECK(run_refusal(workspace) == "there is no plan yet");
    apply(workspace, {ActionKind::set_model, "qwen3-0.6b"});
    CHECK_THAT(run_refusal(workspace), Catch::Contains("calibrate"));
    apply(workspace, {ActionKind::run});
    CHECK_THAT(workspace.error, Catch::Contains("calibrate"));
    CHECK(workspace.run == RunState::none);
}

TEST_CASE("worker: progress, other lines and the exit code are taken in") {
    Worker worker({"sh", "-c", "echo ' 40 % weights' >&2; echo 'tplan: rank 1 died' >&2; exit 2"});
    finish(worker);
    CHECK(worker.exit_code() == 2);
    CHECK(worker.done() == 0.4);
    CHECK(worker.what() == "weights");
    CHECK(worker.last_line() == "tplan: rank 1 died");
}

TEST_CASE("worker: stopping asks once and then ends it") {
    Worker worker({"sh", "-c", "trap '' TERM; while :; do sleep 1; done"});
    worker.stop();
    CHECK(worker.stopping());
    worker.stop();
    finish(worker);
    CHECK(worker.exit_code() >= 128);
}

TEST_CASE("worker: a program that is not there is an error") {
    CHECK_THROWS_AS(Worker({"/no/such/program"}), Error);
}
