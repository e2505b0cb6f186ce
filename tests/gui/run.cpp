// A run from the window: the program itself as worker, on the CPU.
#include "core/files.h"
#include "tests/gui/driver.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// A profile of two CPU ranks with figures of no real machine.
HardwareProfile two_ranks() {
    auto hardware = load_hardware("h100-sxm");
    hardware.name = "two-ranks";
    hardware.backend = "cpu";
    hardware.devices = 2;
    hardware.network.reset();
    auto link = hardware.links.front();
    link.kind = LinkKind::shared_memory;
    link.topology = Topology::shared_memory;
    link.devices = 2;
    link.switch_reduction = false;
    hardware.links = {link};
    hardware.sources.clear();
    for (const auto& key : figure_keys(hardware))
        hardware.sources.emplace_back(key, Source{SourceKind::assumed, "a test", "2026-01-01"});
    return hardware;
}

/// A tiny model on it, ready to run.
void open_tiny(Driver& driver, const TempDir& folder) {
    const auto model = folder.file("config.json", json_text(tiny_config("qwen3")));
    const auto hardware = folder.file("two-ranks.json", json_text(two_ranks()));
    for (const auto& action :
         {Action{ActionKind::open, model}, Action{ActionKind::set_hardware, hardware},
          Action{ActionKind::set_phase, "prefill"}, Action{ActionKind::set_dtype, "fp32"},
          Action{ActionKind::set_kv_dtype, "fp32"}, Action{ActionKind::set_length, {}, 8},
          Action{ActionKind::set_tp, {}, 2}}) {
        apply(driver.app.work, action);
        INFO(driver.work().error);
        REQUIRE(driver.work().error.empty());
    }
    driver.frames(2);
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
    CHECK(driver.has("measured:tp:2"));  // a star on the curve
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

TEST_CASE("explorer: a run can be cancelled and another one started") {
    TempDir folder;
    Driver driver;
    open_tiny(driver, folder);
    driver.click("run.button");
    REQUIRE(driver.work().run == RunState::running);
    apply(driver.app.work, {ActionKind::cancel});
    CHECK(driver.work().run == RunState::stopping);
    while (driver.work().worker) driver.frames(1);
    CHECK(driver.work().run == RunState::failed);
    CHECK(driver.work().run_what == "cancelled");
    run_to_its_end(driver);
    CHECK(driver.work().run == RunState::done);
}

TEST_CASE("explorer: a worker that fails says why and the window goes on") {
    TempDir folder;
    Driver driver;
    open_tiny(driver, folder);
    auto& work = driver.app.work;
    work.worker = std::make_unique<Worker>(std::vector<std::string>{
        "sh", "-c", "echo 'tplan: rank 1: step o_proj: died' >&2; exit 2"});
    work.run = RunState::running;
    work.run_output = folder / "never.json";
    while (driver.work().worker) driver.frames(1);
    CHECK(driver.work().run == RunState::failed);
    CHECK(driver.work().run_what == "tplan: rank 1: step o_proj: died");
    driver.frames(2);
    run_to_its_end(driver);
    CHECK(driver.work().run == RunState::done);
}
