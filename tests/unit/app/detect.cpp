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

TEST_CASE("measured copies for a terminal: who is slow, and whose data is wrong") {
    DetectedMachine machine;
    machine.gpus.resize(3);
    machine.copies = {{0, 1, Bandwidth(41.2e9), true, true},
                      {1, 0, Bandwidth(40e9), true, false},
                      {1, 2, Bandwidth(12e9), false, true},
                      {2, 0, {}, false, true}};
    const auto text = detected_text(machine);
    CHECK_THAT(text, Contains("41.2 GB/s") && Contains("12.0 GB/s *") &&
                         Contains("* by the host") && Contains("WRONG DATA") &&
                         Contains("GPU 1 to GPU 0: what arrives is not what was sent") &&
                         Contains("1 of 4 not measured"));
    machine.copies.clear();
    machine.copies_missing = "GPU 1: opening it: out of memory";
    CHECK_THAT(detected_text(machine), Contains("not measured: GPU 1: opening it"));
}
