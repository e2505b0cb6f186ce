#pragma once
#include <string>
#include <vector>

/// GPUs and what lies between them, as NVIDIA's driver library (libnvidia-ml.so.1) tells: without
/// CUDA, and without any header of it.

namespace tplan::gpu {

struct DriverGpu {
    std::string address;  // "0000:41:00.0"
    std::string name;     // "NVIDIA H100 80GB HBM3"
    int nvlinks = 0;      // NVLink lanes that are up
    int pcie_gen = 0;     // that device and slot can do; 0: not told
    int pcie_width = 0;
};

/// Between the devices of these places in DriverTopology::gpus; a < b.
struct DriverPath {
    int a = 0, b = 0;
    std::string path;   // "NVLink", "one PCIe switch", "PCIe switches", "one PCIe root",
                        // "one socket", "across sockets"; empty: not told
    bool peer = false;  // one reads the other's memory directly
};

struct DriverTopology {
    std::string driver;  // version; empty without a driver
    std::vector<DriverGpu> gpus;
    std::vector<DriverPath> paths;  // every pair
    std::string missing;            // why nothing is known; empty when something is
};

/// Never throws: what is missing is said in `missing`.
DriverTopology driver_topology();

}  // namespace tplan::gpu
