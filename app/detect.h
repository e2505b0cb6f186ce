#pragma once
#include <string>
#include <vector>

#include "core/json_io.h"

namespace tplan {

/// An NVIDIA device on the PCI bus, as the kernel lists it; no driver is asked.
struct DetectedGpu {
    std::string address;  // "0000:41:00.0"
    std::string device_id;
    std::string link;  // "16.0 GT/s PCIe x16"; empty when the kernel does not say
    int numa_node = -1;
    static void fields(auto& self, auto&& field) {
        field("address", self.address);
        field("device_id", self.device_id);
        field("link", self.link);
        field("numa_node", self.numa_node);
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
    std::vector<DetectedGpu> gpus;
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
        field("gpus", self.gpus);
        field("backends", self.backends);
        field("profiles", self.profiles);
    }
};

/// Reads /proc and /sys and asks the backends of this build; what the system does not say stays
/// empty or 0.
DetectedMachine detect_machine();

/// The machine for a terminal.
std::string detected_text(const DetectedMachine& machine);

}  // namespace tplan
