#include "app/detect.h"

#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cost_model/hardware.h"
#include "executor/backend.h"
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

}  // namespace

DetectedMachine detect_machine() {
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
    for (const auto& gpu : machine.gpus) {
        text += fmt::format("NVIDIA device {} at {}, {}, NUMA node {}\n", gpu.device_id,
                            gpu.address, gpu.link, gpu.numa_node);
    }
    if (machine.gpus.empty()) text += "no NVIDIA device on the PCI bus\n";
    for (const auto& backend : machine.backends) text += "backend " + backend + "\n";
    for (const auto& profile : machine.profiles)
        text += "calibrated profile: " + profile + " (--hw this)\n";
    if (machine.profiles.empty())
        text += "no calibrated profile yet: `tplan calibrate` writes one, used by --hw this\n";
    return text;
}

}  // namespace tplan
