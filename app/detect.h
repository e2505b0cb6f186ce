#pragma once
#include <string>
#include <vector>

#include "core/json_io.h"

namespace tplan {

/// An NVIDIA device, as the kernel lists it on the PCI bus and, where there is one, the driver.
struct DetectedGpu {
    std::string address{};  // "0000:41:00.0"
    std::string device_id{};
    std::string link{};  // "16.0 GT/s PCIe x16"; empty when nobody says
    int numa_node = -1;
    std::string name{};  // "NVIDIA H100 80GB HBM3"; empty without a driver
    int nvlinks = 0;     // NVLink lanes that are up
    static void fields(auto& self, auto&& field) {
        field("address", self.address);
        field("device_id", self.device_id);
        field("link", self.link);
        field("numa_node", self.numa_node);
        field("name", self.name);
        field("nvlinks", self.nvlinks);
    }
};

/// What lies between two of DetectedMachine::gpus, by their numbers there.
struct DetectedPath {
    int a = 0, b = 0;
    std::string path;   // "NVLink", "one PCIe switch", .. "across sockets"; empty: not told
    bool peer = false;  // one reads the other's memory directly, as the driver says
    static void fields(auto& self, auto&& field) {
        field("a", self.a);
        field("b", self.b);
        field("path", self.path);
        field("peer", self.peer);
    }
};

/// A measured copy of 64 MiB between two of DetectedMachine::gpus, by their numbers there.
struct DetectedCopy {
    int from = 0, to = 0;
    Bandwidth bandwidth{};  // 0: no time was left for it
    bool direct = false;    // without the host
    bool right = true;      // what arrived is what was sent
    static void fields(auto& self, auto&& field) {
        field("from", self.from);
        field("to", self.to);
        field("bytes_per_s", self.bandwidth);
        field("direct", self.direct);
        field("right", self.right);
    }
};

/// `tplan.detected/1`: what this machine offers.
struct DetectedMachine {
    std::string schema = "tplan.detected/1";
    std::string cpu;
    int cores = 0;  // this process may use
    Bytes memory, memory_available;
    Bytes l2_cache, l3_cache;
    std::vector<std::string> instructions;  // of those the CPU kernels use
    std::string driver;                     // version of NVIDIA's; empty without one
    std::vector<DetectedGpu> gpus;
    std::vector<DetectedPath> paths;    // every pair of GPUs that the driver knows
    std::vector<DetectedCopy> copies;   // each two of several GPUs, both ways, through the plugin
    std::string copies_missing;         // why there are none, where there are several GPUs
    std::vector<std::string> backends;  // one sentence each: what it can run on here
    std::vector<std::string> profiles;  // calibrated profiles found: `--hw this`
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("cpu", self.cpu);
        field("cores", self.cores);
        field("memory_bytes", self.memory);
        field("memory_available_bytes", self.memory_available);
        field("l2_bytes", self.l2_cache);
        field("l3_bytes", self.l3_cache);
        field("instructions", self.instructions);
        field("driver", self.driver);
        field("gpus", self.gpus);
        field("paths", self.paths);
        field("copies", self.copies);
        field("copies_missing", self.copies_missing);
        field("backends", self.backends);
        field("profiles", self.profiles);
    }
};

/// Time for copies between GPUs that a user waits for.
constexpr Seconds kCopyTime{2};

/// Reads /proc and /sys, asks NVIDIA's driver and the backends of this build, and copies between
/// GPUs for about `copies` where there are several and that is above 0; what the system does not
/// say stays empty or 0.
DetectedMachine detect_machine(Seconds copies = Seconds(0));

/// The machine for a terminal.
std::string detected_text(const DetectedMachine& machine);

}  // namespace tplan
