#include "app/detect.h"

#include <sched.h>

#include "executor/backend.h"
#include "executor/processor.h"
#include "tests/support/catch.h"

using namespace tplan;
using Catch::Matchers::Contains;

TEST_CASE("this machine has what the system grants this process") {
    const auto machine = detect_machine();
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    REQUIRE(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    CHECK(machine.cores == CPU_COUNT(&allowed));
    CHECK(machine.cpu == processor_model());
    CHECK_FALSE(machine.cpu.empty());
    CHECK(machine.memory_available > Bytes(0));
    CHECK(machine.memory >= machine.memory_available);
    CHECK(machine.backends.size() >= backend_names().size());
    CHECK_THAT(machine.backends.front(), Contains(backend_names().front() + ": "));
}

TEST_CASE("what was detected for a terminal") {
    DetectedMachine machine;
    machine.cpu = "A Processor";
    machine.cores = 3;
    machine.memory = Bytes(8.0 * 1073741824);
    CHECK_THAT(detected_text(machine), Contains("A Processor") && Contains("8.00 GiB") &&
                                           Contains("no NVIDIA device") &&
                                           Contains("no calibrated profile yet"));
    machine.gpus = {{.address = "0000:41:00.0",
                     .device_id = "0x2330",
                     .link = "32.0 GT/s PCIe x16",
                     .numa_node = 1}};
    machine.profiles = {"/cache/cpu.json"};
    CHECK_THAT(detected_text(machine),
               Contains("0x2330 at 0000:41:00.0, 32.0 GT/s PCIe x16, NUMA node 1") &&
                   Contains("calibrated profile: /cache/cpu.json") &&
                   !Contains("no NVIDIA device"));
}
