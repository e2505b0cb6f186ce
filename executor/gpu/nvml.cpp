#include "executor/gpu/nvml.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "core/text.h"

namespace tplan::gpu {
namespace {

// NVML's interface, as far as it is used. Results and enums are ints; 0 is success.
using Handle = void*;
struct PciInfo {  // nvmlPciInfo_t of the _v3 call
    char legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char address[32];
};
constexpr int kPeerRead = 0, kPeerNvlink = 2;  // nvmlGpuP2PCapsIndex_t
constexpr unsigned kMostLanes = 36;            // of any device so far; absent ones fail
constexpr unsigned kMostGpus = 64;

/// nvmlGpuTopologyLevel_t: the nearest thing that two devices share.
struct Level {
    int value;
    const char* path;
};
constexpr std::array kLevels = {Level{0, "one board"},      Level{10, "one PCIe switch"},
                                Level{20, "PCIe switches"}, Level{30, "one PCIe root"},
                                Level{40, "one socket"},    Level{50, "across sockets"}};

/// The library, open while this lives.
struct Nvml {
    void* library = nullptr;
    bool started = false;

    int (*init)() = nullptr;
    int (*shutdown)() = nullptr;
    const char* (*words)(int) = nullptr;
    int (*driver)(char*, unsigned) = nullptr;
    int (*count)(unsigned*) = nullptr;
    int (*handle)(unsigned, Handle*) = nullptr;
    int (*name)(Handle, char*, unsigned) = nullptr;
    int (*pci)(Handle, PciInfo*) = nullptr;
    int (*lane)(Handle, unsigned, int*) = nullptr;
    int (*generation)(Handle, unsigned*) = nullptr;
    int (*width)(Handle, unsigned*) = nullptr;
    int (*ancestor)(Handle, Handle, int*) = nullptr;
    int (*peer)(Handle, Handle, int, int*) = nullptr;

    Nvml() = default;
    Nvml(const Nvml&) = delete;
    Nvml& operator=(const Nvml&) = delete;
    ~Nvml() {
        if (started) shutdown();
        if (library != nullptr) ::dlclose(library);
    }

    template <class F>
    bool find(F& function, const char* symbol) {
        function = reinterpret_cast<F>(::dlsym(library, symbol));
        return function != nullptr;
    }

    /// What keeps it from working; empty when it works.
    std::string open() {
        library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) return "no NVIDIA driver (libnvidia-ml.so.1 was not found)";
        const bool whole =
            find(init, "nvmlInit_v2") && find(shutdown, "nvmlShutdown") &&
            find(words, "nvmlErrorString") && find(driver, "nvmlSystemGetDriverVersion") &&
            find(count, "nvmlDeviceGetCount_v2") && find(handle, "nvmlDeviceGetHandleByIndex_v2") &&
            find(name, "nvmlDeviceGetName") && find(pci, "nvmlDeviceGetPciInfo_v3") &&
            find(lane, "nvmlDeviceGetNvLinkState") &&
            find(generation, "nvmlDeviceGetMaxPcieLinkGeneration") &&
            find(width, "nvmlDeviceGetMaxPcieLinkWidth") &&
            find(ancestor, "nvmlDeviceGetTopologyCommonAncestor") &&
            find(peer, "nvmlDeviceGetP2PStatus");
        if (!whole) return "libnvidia-ml.so.1 lacks functions of driver 418";
        const int result = init();
        started = result == 0;
        return started ? "" : std::string("the NVIDIA driver does not answer: ") + words(result);
    }
};

/// "00000000:41:00.0" as the kernel writes it: "0000:41:00.0".
std::string kernel_address(const char* address) {
    constexpr std::size_t kLength = 12;
    std::string text(address);
    if (text.size() > kLength) text = text.substr(text.size() - kLength);
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

DriverGpu facts_of(const Nvml& nvml, Handle device) {
    DriverGpu gpu;
    std::array<char, 96> text{};
    if (nvml.name(device, text.data(), text.size()) == 0) gpu.name = text.data();
    PciInfo place{};
    if (nvml.pci(device, &place) == 0) gpu.address = kernel_address(place.address);
    for (unsigned lane = 0; lane < kMostLanes; ++lane) {
        int up = 0;
        if (nvml.lane(device, lane, &up) == 0 && up != 0) ++gpu.nvlinks;
    }
    unsigned value = 0;
    if (nvml.generation(device, &value) == 0) gpu.pcie_gen = static_cast<int>(value);
    if (nvml.width(device, &value) == 0) gpu.pcie_width = static_cast<int>(value);
    return gpu;
}

DriverPath path_between(const Nvml& nvml, Handle one, Handle other) {
    DriverPath path;
    int status = -1;
    path.peer = nvml.peer(one, other, kPeerRead, &status) == 0 && status == 0;
    if (nvml.peer(one, other, kPeerNvlink, &status) == 0 && status == 0) {
        path.path = "NVLink";
        return path;
    }
    int level = -1;
    if (nvml.ancestor(one, other, &level) != 0) return path;
    const auto* known = std::ranges::find(kLevels, level, &Level::value);
    if (known != kLevels.end()) path.path = known->path;
    return path;
}

}  // namespace

DriverTopology driver_topology() {
    DriverTopology found;
    Nvml nvml;
    found.missing = nvml.open();
    if (!found.missing.empty()) return found;
    std::array<char, 96> version{};
    if (nvml.driver(version.data(), version.size()) == 0) found.driver = version.data();
    unsigned count = 0;
    if (nvml.count(&count) != 0) count = 0;
    std::vector<Handle> devices;
    for (unsigned i = 0; i < std::min(count, kMostGpus); ++i) {
        Handle device = nullptr;
        if (nvml.handle(i, &device) != 0) continue;
        devices.push_back(device);
        found.gpus.push_back(facts_of(nvml, device));
    }
    for (std::size_t a = 0; a < devices.size(); ++a) {
        for (std::size_t b = a + 1; b < devices.size(); ++b) {
            auto path = path_between(nvml, devices[a], devices[b]);
            path.a = static_cast<int>(a);
            path.b = static_cast<int>(b);
            found.paths.push_back(path);
        }
    }
    if (devices.empty()) found.missing = "the NVIDIA driver lists no device";
    return found;
}

}  // namespace tplan::gpu
