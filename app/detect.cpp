#include "app/detect.h"

#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cost_model/hardware.h"
#include "executor/backend.h"
#include "executor/gpu/nvml.h"
#include "executor/gpu/peer_copies.h"
#include "executor/processor.h"

namespace tplan {
namespace fs = std::filesystem;
namespace {

std::string first_line(const fs::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/// The value of a "key : value" line of a /proc file.
std::string proc_value(const char* path, std::string_view key) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with(key)) continue;
        const auto colon = line.find(':');
        if (colon == std::string::npos) continue;
        const auto start = line.find_first_not_of(" \t", colon + 1);
        return start == std::string::npos ? "" : line.substr(start);
    }
    return {};
}

Bytes kibibytes(const std::string& text) {
    double value = 0;
    std::istringstream(text) >> value;
    return Bytes(value * 1024);
}

/// Size of the unified or data cache of a level, from "1024K" or "32M".
Bytes cache_size(const char* level) {
    std::error_code ignored;
    for (const auto& entry :
         fs::directory_iterator("/sys/devices/system/cpu/cpu0/cache", ignored)) {
        if (first_line(entry.path() / "level") != level ||
            first_line(entry.path() / "type") == "Instruction")
            continue;
        const auto text = first_line(entry.path() / "size");
        const auto scale = text.ends_with('M') ? 1024.0 : 1.0;
        return kibibytes(text) * scale;
    }
    return {};
}

std::vector<std::string> instructions() {
    std::istringstream flags(proc_value("/proc/cpuinfo", "flags"));
    const std::vector<std::string> used = {"avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16"};
    std::vector<std::string> found;
    for (std::string flag; flags >> flag;) {
        if (std::ranges::find(used, flag) != used.end()) found.push_back(flag);
    }
    return found;
}

std::vector<DetectedGpu> pci_gpus() {
    std::vector<DetectedGpu> gpus;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/sys/bus/pci/devices", ignored)) {
        const auto kind = first_line(entry.path() / "class");
        const bool display = kind.starts_with("0x0300") || kind.starts_with("0x0302");
        if (!display || first_line(entry.path() / "vendor") != "0x10de") continue;
        auto& gpu = gpus.emplace_back();
        gpu.address = entry.path().filename().string();
        gpu.device_id = first_line(entry.path() / "device");
        const auto speed = first_line(entry.path() / "max_link_speed");
        if (!speed.empty()) gpu.link = speed + " x" + first_line(entry.path() / "max_link_width");
        std::istringstream(first_line(entry.path() / "numa_node")) >> gpu.numa_node;
    }
    std::ranges::sort(gpus, {}, &DetectedGpu::address);
    return gpus;
}

/// Adds what the driver says: names, lanes, and devices that the kernel did not list.
void add_driver_facts(DetectedMachine& machine) {
    const auto found = gpu::driver_topology();
    machine.driver = found.driver;
    std::vector<int> places;
    for (const auto& gpu : found.gpus) {
        auto known = std::ranges::find(machine.gpus, gpu.address, &DetectedGpu::address);
        if (known == machine.gpus.end()) {
            machine.gpus.push_back({.address = gpu.address});
            known = std::prev(machine.gpus.end());
        }
        known->name = gpu.name;
        known->nvlinks = gpu.nvlinks;
        if (known->link.empty() && gpu.pcie_gen > 0)
            known->link = fmt::format("PCIe {} x{}", gpu.pcie_gen, gpu.pcie_width);
        places.push_back(static_cast<int>(known - machine.gpus.begin()));
    }
    for (const auto& path : found.paths) {
        const auto a = places[static_cast<std::size_t>(path.a)];
        const auto b = places[static_cast<std::size_t>(path.b)];
        machine.paths.push_back({std::min(a, b), std::max(a, b), path.path, path.peer});
    }
}

void add_copies(DetectedMachine& machine, Seconds time) {
    if (machine.gpus.size() < 2 || time <= Seconds(0)) return;
    const auto place_of = [&](const std::string& address) {
        const auto found = std::ranges::find(machine.gpus, address, &DetectedGpu::address);
        return static_cast<int>(found - machine.gpus.begin());
    };
    try {
        for (const auto& copy : gpu::measure_peer_copies(time.value)) {
            const int from = place_of(copy.address_from), to = place_of(copy.address_to);
            const int count = static_cast<int>(machine.gpus.size());
            if (from == count || to == count) continue;  // CUDA's emulation of another's bus
            machine.copies.push_back(
                {from, to, Bandwidth(copy.bytes_per_s), copy.direct, copy.right});
        }
        if (machine.copies.empty()) machine.copies_missing = "CUDA sees fewer than two GPUs";
    } catch (const Error& error) {
        machine.copies_missing = error.what();
    }
}

/// Bandwidths from everyone to everyone, and in words what is wrong with them.
std::string copies_text(const DetectedMachine& machine) {
    if (!machine.copies_missing.empty())
        return "copies between GPUs not measured: " + machine.copies_missing + "\n";
    if (machine.copies.empty()) return {};
    const auto count = machine.gpus.size();
    std::vector<std::vector<std::string>> rows(count + 1, std::vector<std::string>(count + 1));
    rows[0][0] = "copy";
    for (std::size_t i = 0; i < count; ++i) {
        rows[0][i + 1] = fmt::format("to GPU {}", i);
        rows[i + 1][0] = fmt::format("from GPU {}", i);
    }
    std::string wrong;
    bool by_host = false;
    int left = 0;
    for (const auto& copy : machine.copies) {
        auto& cell =
            rows[static_cast<std::size_t>(copy.from) + 1][static_cast<std::size_t>(copy.to) + 1];
        if (copy.bandwidth == Bandwidth(0)) {
            ++left;
            continue;
        }
        cell = copy.right ? format_bandwidth(copy.bandwidth) + (copy.direct ? "" : " *")
                          : "WRONG DATA";
        by_host = by_host || !copy.direct;
        if (!copy.right) {
            wrong += fmt::format(
                "GPU {} to GPU {}: what arrives is not what was sent; run nothing over this pair "
                "(try the IOMMU off, or NCCL_P2P_DISABLE=1)\n",
                copy.from, copy.to);
        }
    }
    auto text = "measured copies of 64 MiB, one at a time:\n" + format_table(rows);
    if (by_host) text += "* by the host: no P2P\n";
    if (left > 0)
        text +=
            fmt::format("{} of {} not measured: the time was up\n", left, machine.copies.size());
    return text + wrong;
}

/// Paths between GPUs, everyone to everyone.
std::string paths_text(const DetectedMachine& machine) {
    const auto count = machine.gpus.size();
    std::vector<std::vector<std::string>> rows(count + 1, std::vector<std::string>(count + 1));
    for (std::size_t i = 0; i < count; ++i) {
        rows[0][i + 1] = rows[i + 1][0] = fmt::format("GPU {}", i);
    }
    for (const auto& path : machine.paths) {
        const auto a = static_cast<std::size_t>(path.a), b = static_cast<std::size_t>(path.b);
        const auto text = path.path + (path.peer ? "" : ", no P2P");
        rows[a + 1][b + 1] = rows[b + 1][a + 1] = text;
    }
    return format_table(rows);
}

}  // namespace

DetectedMachine detect_machine(Seconds copies) {
    DetectedMachine machine;
    machine.cpu = processor_model();
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) machine.cores = CPU_COUNT(&allowed);
    machine.memory = kibibytes(proc_value("/proc/meminfo", "MemTotal"));
    machine.memory_available = kibibytes(proc_value("/proc/meminfo", "MemAvailable"));
    machine.l2_cache = cache_size("2");
    machine.l3_cache = cache_size("3");
    machine.instructions = instructions();
    machine.gpus = pci_gpus();
    add_driver_facts(machine);
    add_copies(machine, copies);
    const auto backends = backend_names();
    for (const auto& name : backends) {
        std::string is;
        try {
            is = make_backend(name, 1)->device(0);
        } catch (const Error& error) {
            is = "not here: " + error.what_happened;
        }
        machine.backends.push_back(fmt::format("{}: {}", name, is));
    }
    for (const auto* backend : {"cpu", "cuda"}) {
        const auto path = calibrated_profile_path(backend);
        if (fs::exists(path)) machine.profiles.push_back(path);
    }
    return machine;
}

std::string detected_text(const DetectedMachine& machine) {
    auto text = format_table(
        {{"this machine", ""},
         {"CPU", machine.cpu},
         {"cores to use", std::to_string(machine.cores)},
         {"memory",
          format_bytes(machine.memory) + ", available " + format_bytes(machine.memory_available)},
         {"L2 / L3 cache", format_bytes(machine.l2_cache) + " / " + format_bytes(machine.l3_cache)},
         {"instructions", join(machine.instructions, " ")}});
    for (std::size_t i = 0; i < machine.gpus.size(); ++i) {
        const auto& gpu = machine.gpus[i];
        text += fmt::format("GPU {}: {} at {}, {}", i,
                            gpu.name.empty() ? "NVIDIA device " + gpu.device_id : gpu.name,
                            gpu.address, gpu.link.empty() ? "link unknown" : gpu.link);
        if (gpu.nvlinks > 0) text += fmt::format(", {} NVLink lanes", gpu.nvlinks);
        if (gpu.numa_node >= 0) text += fmt::format(", NUMA node {}", gpu.numa_node);
        text += "\n";
    }
    if (!machine.paths.empty()) text += paths_text(machine);
    text += copies_text(machine);
    if (machine.gpus.empty()) text += "no NVIDIA device\n";
    for (const auto& backend : machine.backends) text += "backend " + backend + "\n";
    for (const auto& profile : machine.profiles)
        text += "calibrated profile: " + profile + " (--hw this)\n";
    if (machine.profiles.empty())
        text += "no calibrated profile yet: `tplan calibrate` writes one, used by --hw this\n";
    return text;
}

}  // namespace tplan
