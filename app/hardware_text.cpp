#include "app/hardware_text.h"

#include <algorithm>
#include <set>

#include "app/calibrate.h"

namespace tplan {
namespace {

std::string source_of(const HardwareProfile& hardware, std::string_view key) {
    for (const auto& [name, source] : hardware.sources) {
        if (name == key) {
            return fmt::format("{}: {}{}", name_of(source.kind), source.ref,
                               source.date.empty() ? "" : ", " + source.date);
        }
    }
    return "no source";
}

std::string links_text(const HardwareProfile& hardware) {
    std::vector<std::string> links;
    for (const auto& link : hardware.links) {
        links.push_back(fmt::format("{} {}", name_of(link.kind), format_bandwidth(link.bandwidth)));
    }
    return join(links, ", ");
}

}  // namespace

std::string hardware_list_text() {
    std::vector<std::vector<std::string>> rows{
        {"profile", "architecture", "memory", "bandwidth", "bf16 peak", "links"}};
    for (const auto& name : hardware_names()) {
        const auto hardware = load_hardware(name);
        rows.push_back({name, hardware.architecture, format_bytes(hardware.memory),
                        format_bandwidth(hardware.memory_bandwidth),
                        format_flop_rate(peak_rate(hardware, DType::bf16)), links_text(hardware)});
    }
    return format_table(rows);
}

HardwareList hardware_list() {
    HardwareList list;
    for (const auto& name : hardware_names()) {
        const auto hardware = load_hardware(name);
        list.hardware.push_back({name, hardware.architecture, hardware.devices, hardware.memory,
                                 hardware.memory_bandwidth, hardware.links});
    }
    return list;
}

std::string hardware_text(const HardwareProfile& hardware) {
    auto text =
        fmt::format("{}: {}\n{} devices, {}, backend {}\n\n", hardware.name, hardware.description,
                    hardware.devices, hardware.architecture, hardware.backend);
    std::vector<std::vector<std::string>> rows{{"figure", "value", "source"}};
    std::set<std::string, std::less<>> listed;
    const auto add = [&](const std::string& what, const std::string& value, std::string_view key) {
        rows.push_back({what, value, source_of(hardware, key)});
        listed.emplace(key);
    };
    add("compute units (SMs, cores)", std::to_string(hardware.sm_count), "sm_count");
    add("memory", format_bytes(hardware.memory), "memory_bytes");
    add("memory bandwidth", format_bandwidth(hardware.memory_bandwidth), "memory_bytes_per_s");
    add("L2 cache", format_bytes(hardware.l2_cache), "l2_bytes");
    for (const auto& peak : hardware.peaks) {
        add(fmt::format("peak {}", name_of(peak.dtype)), format_flop_rate(peak.rate),
            fmt::format("peaks/{}", name_of(peak.dtype)));
    }
    add("share of peak, large GEMM", format_percent(hardware.gemm_efficiency), "gemm_efficiency");
    add("share of bandwidth, streaming", format_percent(hardware.memory_efficiency),
        "memory_efficiency");
    add("launch", format_time(hardware.launch), "launch_s");
    for (const auto& gemm : hardware.gemm) {
        add(fmt::format("GEMM {}", name_of(gemm.dtype)),
            fmt::format("{} of peak, {} of bandwidth, {} a launch, +-{} to {} by rows",
                        format_percent(gemm.peak_share), format_percent(gemm.memory_share),
                        format_time(gemm.launch + gemm.cold), format_percent(gemm.width[0]),
                        format_percent(gemm.width[2])),
            fmt::format("gemm/{}", name_of(gemm.dtype)));
    }
    const auto add_link = [&](const LinkProfile& link, const std::string& what,
                              const std::string& path) {
        add(what + " joins", std::to_string(link.devices), path + "/devices");
        add(what, format_bandwidth(link.bandwidth), path + "/bytes_per_s");
        add(what + ", a hop", format_time(link.latency), path + "/latency_s");
        add(what + ", a collective", format_time(link.base_latency), path + "/base_latency_s");
    };
    for (const auto& link : hardware.links) {
        add_link(link, fmt::format("{} ({})", name_of(link.kind), name_of(link.topology)),
                 fmt::format("links/{}", name_of(link.kind)));
    }
    if (hardware.network) add_link(*hardware.network, "network between nodes", "network");
    add("workspace", format_bytes(hardware.workspace), "workspace_bytes");
    add("communication buffers", format_bytes(hardware.communication_buffers),
        "communication_buffer_bytes");
    const auto document = to_json(hardware);
    for (const auto& key : figure_keys(hardware)) {
        const auto found = document.find(key);
        const bool figure = found != document.end() && found->is_number();
        if (listed.contains(key)) continue;
        add(key, figure ? fmt::format("{}", found->get<double>()) : "see --json", key);
    }
    text += format_table(rows);
    if (!hardware.tables.empty()) text += "\n" + tables_text(hardware);
    return text;
}

}  // namespace tplan
