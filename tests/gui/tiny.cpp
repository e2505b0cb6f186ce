#include "tests/gui/tiny.h"

#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"

namespace tplan::test {
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

}  // namespace

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

void start_script(Driver& driver, const TempDir& folder, const std::string& script) {
    auto& work = driver.app.work;
    work.run_output = folder / "never.json";
    work.worker = std::make_unique<Worker>(std::vector<std::string>{"sh", "-c", script});
    work.run = RunState::running;
    work.run_what = "run";
}

}  // namespace tplan::test
