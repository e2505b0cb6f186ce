#include "app/workspace.h"

#include <sys/wait.h>

#include "app/query.h"

#include "planner/document.h"
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

TEST_CASE("workspace: a plan for a GPU can be run here, which does not judge it") {
    auto workspace = make_workspace();
    CHECK(run_refusal(workspace) == "there is no plan yet");
    apply(workspace, {ActionKind::run});
    CHECK_THAT(workspace.error, Catch::Contains("there is no plan yet"));
    CHECK(workspace.run == RunState::none);
    CHECK(run_caveat(workspace).empty());
    apply(workspace, {ActionKind::set_model, "qwen3-0.6b"});
    CHECK(run_refusal(workspace).empty());
    CHECK(run_caveat(workspace) ==
          "across machines: predicted for h100-sxm (cuda), measured on cpu: a step of one machine "
          "does not judge a prediction for another");
    auto cpu = std::make_shared<HardwareProfile>(*workspace.inputs.hardware);
    cpu->backend = "cpu";
    auto study = std::make_shared<Study>(*workspace.study);
    study->hardware = cpu;
    workspace.study = study;
    CHECK(run_caveat(workspace).empty());
}

TEST_CASE("workspace: a plan for four of eight GPUs opens again as that") {
    TempDir folder;
    const auto path = folder / "plan.json";
    auto workspace = make_workspace();
    apply(workspace, {ActionKind::set_model, "llama-3.1-8b"});
    apply(workspace, {ActionKind::set_gpus, {}, 4});
    apply(workspace, {ActionKind::set_tp, {}, 2});
    apply(workspace, {ActionKind::save, path});
    REQUIRE(workspace.error.empty());
    const auto gpus_of = [](const std::string& file) {
        auto other = make_workspace();
        apply(other, {ActionKind::open, file});
        INFO(other.error);
        REQUIRE(other.study);
        CHECK(other.study->most == 4);
        CHECK(other.inputs.request.plan.tp <= 4);
        return other;
    };
    CHECK(gpus_of(path).inputs.request.plan.tp == 2);
    // One of the command line, that was to choose among four of the profile's eight.
    Query query{.model = "llama-3.1-8b",
                .hardware = "h100-sxm",
                .request = {},
                .dtype = {},
                .kv_dtype = {},
                .tp_plan_file = {}};
    query.request.gpus.value = 4;
    const auto asked = resolve(query);
    const auto planned = make_plan_document(asked.config, asked.hardware, asked.request);
    REQUIRE(planned.document);
    const auto chosen = folder.file("chosen.json", json_text(*planned.document));
    auto opened = gpus_of(chosen);
    // A degree set by hand is what is saved then, not what would be chosen again.
    apply(opened, {ActionKind::set_tp, {}, 1});
    apply(opened, {ActionKind::save, path});
    REQUIRE(opened.error.empty());
    CHECK(gpus_of(path).inputs.request.plan.tp == 1);
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
