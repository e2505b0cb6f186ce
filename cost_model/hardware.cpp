#include "cost_model/hardware.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/files.h"
#include "core/text.h"
#include "cost_model/kernel.h"
#include "cost_model/mixed_hardware.h"

namespace tplan {

namespace {

constexpr std::string_view kFolder = "data/hardware";

/// The dtypes a product may run in instead, nearest first: each holds every value of the one asked.
constexpr std::array<std::array<DType, 4>, 8> kWider{{
    {DType::fp32, DType::fp32, DType::fp32, DType::fp32},   // fp32
    {DType::fp16, DType::fp32, DType::fp32, DType::fp32},   // fp16
    {DType::bf16, DType::fp32, DType::fp32, DType::fp32},   // bf16
    {DType::fp8, DType::bf16, DType::fp16, DType::fp32},    // fp8
    {DType::mxfp4, DType::bf16, DType::fp16, DType::fp32},  // mxfp4
    {DType::int4, DType::bf16, DType::fp16, DType::fp32},   // int4: multiplied as bf16
    {DType::int8, DType::bf16, DType::fp16, DType::fp32},   // int8
    {DType::int32, DType::fp32, DType::fp32, DType::fp32},  // int32
}};
static_assert(kWider.size() == enum_names(DType{}).size());

void require(bool holds, const std::string& where, const std::string& key, double value,
             const char* expected) {
    if (holds) return;
    throw Error(where + "/" + key, fmt::format("expected {}, got {}", expected, value));
}

void check_link(const LinkProfile& link, const std::string& where) {
    require(link.devices >= 2, where, "devices", link.devices, "at least 2");
    require_positive(link.bandwidth.value, where, "bytes_per_s");
    require(link.latency.value >= 0, where, "latency_s", link.latency.value, "at least 0");
    require(link.base_latency.value >= 0, where, "base_latency_s", link.base_latency.value,
            "at least 0");
    for (std::size_t i = 0; i < link.algorithms.size(); ++i)
        check_fit(link.algorithms[i], fmt::format("{}/algorithms/{}", where, i));
}

void check_points(const Tables& tables, const std::string& where) {
    for (std::size_t i = 0; i < tables.gemm.size(); ++i) {
        const auto& p = tables.gemm[i];
        const auto at = fmt::format("{}/gemm/{}", where, i);
        require(std::min({p.m, p.n, p.k}) >= 1, at, "m, n, k",
                static_cast<double>(std::min({p.m, p.n, p.k})), "at least 1");
        require(p.ranks >= 1, at, "ranks", p.ranks, "at least 1");
        require_positive(p.time.value, at, "time_s");
    }
    for (std::size_t i = 0; i < tables.attention.size(); ++i) {
        const auto& p = tables.attention[i];
        const auto at = fmt::format("{}/attention/{}", where, i);
        const auto least = std::min({p.batch, p.q_len, p.kv_len, p.heads, p.kv_heads, p.head_dim});
        require(least >= 1, at, "batch, q_len, kv_len, heads, kv_heads, head_dim",
                static_cast<double>(least), "at least 1");
        require(p.ranks >= 1, at, "ranks", p.ranks, "at least 1");
        require_positive(p.time.value, at, "time_s");
    }
    for (std::size_t i = 0; i < tables.elementwise.size(); ++i) {
        const auto& p = tables.elementwise[i];
        const auto at = fmt::format("{}/elementwise/{}", where, i);
        require(p.ranks >= 1, at, "ranks", p.ranks, "at least 1");
        require_positive(p.bytes, at, "bytes");
        require_positive(p.time.value, at, "time_s");
    }
    for (std::size_t i = 0; i < tables.collectives.size(); ++i) {
        const auto& p = tables.collectives[i];
        const auto at = fmt::format("{}/collectives/{}", where, i);
        if (!is_collective(p.op)) {
            throw Error(at + "/op", fmt::format("expected a collective, got {}", name_of(p.op)));
        }
        require(p.ranks >= 2, at, "ranks", p.ranks, "at least 2");
        require_positive(p.bytes, at, "bytes");
        require_positive(p.time.value, at, "time_s");
    }
    for (std::size_t i = 0; i < tables.widths.size(); ++i) {
        const auto at = fmt::format("{}/widths/{}", where, i);
        const auto& row = tables.widths[i];
        if (row.op != OpKind::linear && row.op != OpKind::attention &&
            row.op != OpKind::moe_experts) {
            throw Error(at + "/op", fmt::format("expected linear, attention or moe_experts, got {}",
                                                name_of(row.op)));
        }
        for (const double w : row.half_width) {
            require(w >= 0 && w < 1, at, "half_width", w, "at least 0 and below 1");
        }
    }
    for (std::size_t i = 0; i < tables.moe.size(); ++i) {
        const auto& p = tables.moe[i];
        const auto at = fmt::format("{}/moe/{}", where, i);
        const auto least = std::min({p.tokens, p.hidden, p.ffn, p.top_k, p.experts});
        require(least >= 1, at, "tokens, hidden, ffn, top_k, experts", static_cast<double>(least),
                "at least 1");
        require_positive(p.time.value, at, "time_s");
    }
}

void check_gemm(const HardwareProfile& h, const std::string& where) {
    const auto has_peak = [&h](DType dtype) {
        return std::any_of(h.peaks.begin(), h.peaks.end(),
                           [dtype](const PeakRate& peak) { return peak.dtype == dtype; });
    };
    if (!h.gemm.empty() && !has_peak(DType::fp32)) {
        throw Error(where + "/gemm", "its ratios need the peak rate of fp32", "add it to peaks");
    }
    for (std::size_t i = 0; i < h.gemm.size(); ++i) {
        const auto& p = h.gemm[i];
        const auto at = fmt::format("{}/gemm/{}", where, i);
        if (!has_peak(p.dtype)) {
            throw Error(at + "/dtype", fmt::format("no peak rate for {}", name_of(p.dtype)));
        }
        for (std::size_t j = 0; j < i; ++j) {
            if (h.gemm[j].dtype == p.dtype) {
                throw Error(at + "/dtype", fmt::format("a second {}", name_of(p.dtype)));
            }
        }
        require_fraction(p.peak_share, at, "peak_share");
        require_fraction(p.memory_share, at, "memory_share");
        require_positive(p.sm_l2_ratio, at, "sm_l2_ratio");
        require_positive(p.sm_memory_ratio, at, "sm_memory_ratio");
        require_positive(p.l2_ratio, at, "l2_ratio");
        require_positive(p.least_split, at, "least_split");
        require(p.wave_rounding >= 0 && p.wave_rounding <= 1, at, "wave_rounding", p.wave_rounding,
                "between 0 and 1");
        const std::array<std::pair<const char*, double>, 12> at_least_0{
            {{"tile_loss", p.tile_loss},
             {"power_droop", p.power_droop},
             {"wave_s", p.wave.value},
             {"step_s", p.step.value},
             {"rows_loss", p.rows_loss},
             {"reread", p.reread},
             {"launch_s", p.launch.value},
             {"cold_s", p.cold.value},
             {"split_s", p.split.value},
             {"split_traffic", p.split_traffic},
             {"overlap_loss", p.overlap_loss},
             {"cold_overlap_loss", p.cold_overlap_loss}}};
        for (const auto& [key, value] : at_least_0) {
            require(value >= 0, at, key, value, "at least 0");
        }
        for (const double width : p.harness_width)
            require(width >= 0 && width < 1, at, "harness_width", width, "at least 0 and below 1");
        for (const auto& widths : gemm_widths(p)) {
            for (const double width : widths)
                require(width > 0 && width < 1, at, "width", width, "between 0 and 1");
        }
        require(p.rows[0] >= 1 && p.rows[0] <= p.rows[1], at, "fitted_rows", p.rows[0],
                "at least 1, the least first");
        require(p.sides[0] >= 1 && p.sides[0] <= p.sides[1], at, "fitted_sides", p.sides[0],
                "at least 1, the least first");
    }
}

void check_ranges(const HardwareProfile& h, const std::string& where) {
    if (h.name.empty()) throw Error(where + "/name", "expected a name, got an empty string");
    if (h.backend != "cuda" && h.backend != "cpu") {
        throw Error(where + "/backend", "expected \"cuda\" or \"cpu\", got \"" + h.backend + "\"");
    }
    require(h.devices >= 1, where, "devices", h.devices, "at least 1");
    require(h.sm_count >= 1, where, "sm_count", h.sm_count, "at least 1");
    require_positive(h.memory.value, where, "memory_bytes");
    require_positive(h.memory_bandwidth.value, where, "memory_bytes_per_s");
    require_positive(h.l2_cache.value, where, "l2_bytes");
    if (h.peaks.empty()) throw Error(where + "/peaks", "expected at least one peak rate, got none");
    for (std::size_t i = 0; i < h.peaks.size(); ++i) {
        const auto at = fmt::format("{}/peaks/{}", where, i);
        require_positive(h.peaks[i].rate.value, at, "flops_per_s");
        for (std::size_t j = 0; j < i; ++j) {
            if (h.peaks[j].dtype == h.peaks[i].dtype) {
                throw Error(at + "/dtype", fmt::format("a second {}", name_of(h.peaks[i].dtype)));
            }
        }
    }
    require_fraction(h.gemm_efficiency, where, "gemm_efficiency");
    require_fraction(h.attention_efficiency, where, "attention_efficiency");
    require_fraction(h.memory_efficiency, where, "memory_efficiency");
    require(h.launch.value >= 0, where, "launch_s", h.launch.value, "at least 0");
    require(h.attention_launch.value >= 0, where, "attention_launch_s", h.attention_launch.value,
            "at least 0");
    if (h.attention) check_attention_model(*h.attention, where + "/attention");
    if (h.experts) check_expert_model(*h.experts, where + "/experts");
    if (h.passes) check_pass_models(*h.passes, where + "/passes");
    require(h.quantise.value >= 0, where, "quantise_s", h.quantise.value, "at least 0");
    require_fraction(h.quantise_efficiency, where, "quantise_efficiency");
    check_gemm(h, where);
    if (h.links.empty() && h.devices > 1) {
        throw Error(where + "/links", "expected a link that joins the devices, got none");
    }
    for (std::size_t i = 0; i < h.links.size(); ++i) {
        const auto at = fmt::format("{}/links/{}", where, i);
        check_link(h.links[i], at);
        for (std::size_t j = 0; j < i; ++j) {
            if (h.links[j].kind == h.links[i].kind) {
                throw Error(at + "/kind", fmt::format("a second {}", name_of(h.links[i].kind)));
            }
        }
    }
    if (h.network) check_link(*h.network, where + "/network");
    require(h.interval_compute > 0 && h.interval_compute < 1, where, "interval_compute",
            h.interval_compute, "between 0 and 1");
    require(h.interval_attention > 0 && h.interval_attention < 1, where, "interval_attention",
            h.interval_attention, "between 0 and 1");
    require(h.interval_collective > 0 && h.interval_collective < 1, where, "interval_collective",
            h.interval_collective, "between 0 and 1");
    require(h.workspace.value >= 0, where, "workspace_bytes", h.workspace.value, "at least 0");
    require(h.communication_buffers.value >= 0, where, "communication_buffer_bytes",
            h.communication_buffers.value, "at least 0");
    check_points(h.tables, where + "/tables");
}

/// Exactly one source per figure: a missing one would be an unsourced number, one too many a typing
/// error.
void check_sources(const HardwareProfile& h, const std::string& where) {
    const auto keys = figure_keys(h);
    for (const auto& [key, source] : h.sources) {
        if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
            throw Error(where + "/sources/" + key, "no such figure in this profile",
                        did_you_mean(key, keys));
        }
        if (source.ref.empty()) throw Error(where + "/sources/" + key + "/ref", "empty");
    }
    for (const auto& key : keys) {
        const bool sourced = std::any_of(h.sources.begin(), h.sources.end(),
                                         [&](const auto& entry) { return entry.first == key; });
        if (!sourced) {
            throw Error(where + "/sources", "no source for the figure \"" + key + "\"",
                        "add {kind, ref, date}");
        }
    }
}

/// The profile that `calibrate` last wrote for a backend, or, for "this", for any (CUDA first).
std::string find_calibrated(const std::string& hw) {
    const std::vector<std::string> backends = hw == "this" ? std::vector<std::string>{"cuda", "cpu"}
                                                           : std::vector<std::string>{hw.substr(5)};
    for (const auto& backend : backends) {
        auto path = calibrated_profile_path(backend);
        if (std::filesystem::exists(path)) return path;
    }
    throw Error("--hw " + hw, "this machine has not been calibrated",
                "run `tplan calibrate --backend " + backends.back() + "` first");
}

}  // namespace

namespace {

HardwareProfile find_hardware(const std::string& hw) {
    if (hw == "this" || hw == "this-cpu" || hw == "this-cuda") {
        const auto path = find_calibrated(hw);
        try {
            return read_hardware(load_json(path), path);
        } catch (const Error& error) {
            throw Error(
                error.where, error.what_happened,
                "another version of tplan wrote it, or it was edited: run `tplan calibrate` again");
        }
    }
    const auto names = hardware_names();
    if (std::find(names.begin(), names.end(), hw) != names.end()) {
        const auto relative = fmt::format("{}/{}.json", kFolder, hw);
        return read_hardware(load_json(resource_path(relative)), relative);
    }
    if (std::filesystem::is_regular_file(hw)) return read_hardware(load_json(hw), hw);
    const auto hint = did_you_mean(hw, names);
    throw Error("--hw " + hw, "no such hardware profile or file",
                hint.empty() ? "profiles: " + join(names, ", ") + ", this" : hint);
}

}  // namespace

HardwareProfile load_hardware(const std::string& hw) {
    if (names_two_kinds(hw)) {
        throw Error("--hw " + shown(hw), "a group of two kinds of GPU does not go here",
                    "plan and estimate take one; name one profile");
    }
    auto hardware = find_hardware(hw);
    hardware.origin = hw;
    return hardware;
}

HardwareProfile read_hardware(const Json& document, const std::string& where) {
    require_schema(document, HardwareProfile{}.schema, where);
    auto hardware = from_json<HardwareProfile>(document, where);
    check_ranges(hardware, where);
    check_sources(hardware, where);
    if (hardware.kinds) {
        for (std::size_t i = 0; i < hardware.kinds->size(); ++i) {
            const auto at = fmt::format("{}/kinds/{}", where, i);
            check_ranges((*hardware.kinds)[i], at);
            check_sources((*hardware.kinds)[i], at);
        }
        check_kinds(hardware, where);
    }
    return hardware;
}

std::vector<std::string> hardware_names() {
    return resource_names(kFolder);
}

std::string calibrated_profile_path(const std::string& backend) {
    return cache_directory() + "/profiles/" + backend + ".json";
}

std::vector<std::string> figure_keys(const HardwareProfile& hardware) {
    std::vector<std::string> keys{"devices", "sm_count", "memory_bytes", "memory_bytes_per_s",
                                  "l2_bytes"};
    for (const auto& peak : hardware.peaks) {
        keys.push_back(fmt::format("peaks/{}", name_of(peak.dtype)));
    }
    keys.insert(keys.end(),
                {"gemm_efficiency", "attention_efficiency", "memory_efficiency", "launch_s",
                 "attention_launch_s", "quantise_s", "quantise_efficiency"});
    for (const auto& gemm : hardware.gemm) {
        keys.push_back(fmt::format("gemm/{}", name_of(gemm.dtype)));
    }
    if (hardware.attention) keys.insert(keys.end(), {"attention/prefill", "attention/decode"});
    if (hardware.experts) keys.emplace_back("experts");
    if (hardware.passes) keys.emplace_back("passes");
    const auto add_link = [&](const std::string& path) {
        for (const auto* figure : {"devices", "bytes_per_s", "latency_s", "base_latency_s"}) {
            keys.push_back(path + "/" + figure);
        }
    };
    for (const auto& link : hardware.links) {
        const auto path = fmt::format("links/{}", name_of(link.kind));
        add_link(path);
        if (!link.algorithms.empty()) keys.push_back(path + "/algorithms");
    }
    if (hardware.network) add_link("network");
    keys.insert(keys.end(), {"interval_compute", "interval_attention", "interval_collective",
                             "workspace_bytes", "communication_buffer_bytes"});
    if (hardware.usd_per_hour) keys.emplace_back("usd_per_hour");
    if (!hardware.tables.empty()) keys.emplace_back("tables");
    return keys;
}

std::vector<std::string> assumed_figures(const HardwareProfile& hardware) {
    std::vector<std::string> keys;
    for (const auto& [key, source] : hardware.sources) {
        if (source.kind == SourceKind::assumed) keys.push_back(key);
    }
    return keys;
}

bool is_assumed(const HardwareProfile& hardware, std::string_view group) {
    return std::any_of(hardware.sources.begin(), hardware.sources.end(), [&](const auto& entry) {
        return entry.second.kind == SourceKind::assumed && entry.first.starts_with(group);
    });
}

std::vector<std::string> link_names(const HardwareProfile& hardware) {
    std::vector<std::string> names;
    for (const auto& link : hardware.links) names.emplace_back(name_of(link.kind));
    return names;
}

void require_devices(const HardwareProfile& hardware, int ranks, int nodes, const char* flag) {
    const auto most = std::int64_t{nodes} * hardware.devices;
    if (ranks <= most) return;
    const auto needed = (std::int64_t{ranks} + hardware.devices - 1) / hardware.devices;
    throw Error(fmt::format("{} {}", flag, ranks),
                fmt::format("{} node{} of {} {} have {} GPUs", nodes, nodes == 1 ? "" : "s",
                            hardware.devices, hardware.name, most),
                fmt::format("nearest valid: {} {}{}", flag, most,
                            hardware.network ? fmt::format(", or --nodes {}", needed) : ""));
}

DType usable_dtype(const HardwareProfile& hardware, DType dtype) {
    for (const auto usable : kWider[static_cast<std::size_t>(dtype)]) {
        for (const auto& peak : hardware.peaks) {
            if (peak.dtype == usable) return usable;
        }
    }
    throw Error(hardware.name + "/peaks",
                fmt::format("no peak rate for {} or wider", name_of(dtype)),
                "add one to the profile");
}

FlopRate peak_rate(const HardwareProfile& hardware, DType dtype) {
    const auto usable = usable_dtype(hardware, dtype);
    return std::find_if(hardware.peaks.begin(), hardware.peaks.end(),
                        [usable](const PeakRate& peak) { return peak.dtype == usable; })
        ->rate;
}

}  // namespace tplan
