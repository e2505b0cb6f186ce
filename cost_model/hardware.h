#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json_io.h"
#include "cost_model/attention.h"
#include "cost_model/collective_fit.h"
#include "cost_model/gemm.h"
#include "cost_model/moe.h"
#include "cost_model/passes.h"
#include "models/graph.h"
#include "models/points.h"

/// Hardware as data: one JSON file per profile, every figure with its source
/// (data/hardware/*.json).

namespace tplan {

/// Where a number comes from, strongest first. A sum carries the weakest of its parts.
enum class Provenance { measured, measured_shard, emulated, calibrated, predicted, datasheet };
constexpr auto enum_names(Provenance) {
    return std::array<std::string_view, 6>{"measured",   "measured-shard", "emulated",
                                           "calibrated", "predicted",      "datasheet"};
}

enum class LinkKind { nvlink, pcie, shared_memory };
constexpr auto enum_names(LinkKind) {
    return std::array<std::string_view, 3>{"nvlink", "pcie", "shared-memory"};
}

enum class Topology {
    all_to_all,
    pairs,
    one_switch,
    one_root,
    cross_socket,
    no_p2p,
    shared_memory,
    network
};
constexpr auto enum_names(Topology) {
    return std::array<std::string_view, 8>{"all-to-all",   "pairs",  "one-switch",    "one-root",
                                           "cross-socket", "no-p2p", "shared-memory", "network"};
}

/// What joins the devices of a node, or nodes.
struct LinkProfile {
    LinkKind kind = LinkKind::pcie;
    Topology topology = Topology::one_root;
    int devices = 8;                // how many one link group joins
    Bandwidth bandwidth;            // one direction, per device, achieved by large messages (busbw)
    Seconds latency;                // per message hop
    Seconds base_latency;           // per collective, launch excluded
    bool switch_reduction = false;  // the switch can add (NVLink SHARP)
    bool transferred = false;       // `algorithms` were fitted on another device's link
    std::vector<CollectiveFit>
        algorithms{};  // fitted; a collective without rows is an alpha-beta line

    static void fields(auto& self, auto&& field) {
        field("kind", self.kind);
        field("topology", self.topology);
        field("devices", self.devices);
        field("bytes_per_s", self.bandwidth);
        field("latency_s", self.latency);
        field("base_latency_s", self.base_latency);
        field("switch_reduction", self.switch_reduction);
        field("transferred", self.transferred);
        field("algorithms", self.algorithms);
    }
    bool operator==(const LinkProfile&) const = default;
};

/// Peak arithmetic rate for one dtype, dense, without sparsity.
struct PeakRate {
    DType dtype = DType::bf16;
    FlopRate rate;
    static void fields(auto& self, auto&& field) {
        field("dtype", self.dtype);
        field("flops_per_s", self.rate);
    }
    bool operator==(const PeakRate&) const = default;
};

/// Half widths of the 90 % intervals of what tables correct, for one kind of op, dtype and place of
/// its data; 0: unknown.
struct TableWidth {
    OpKind op = OpKind::linear;             // linear, attention or moe_experts
    DType dtype = DType::bf16;              // of the weights, or of the cache
    Residency residency = Residency::cold;  // of the weights, or of the cache in a decode
    std::array<double, 3> half_width{};     // linear and moe_experts by rows: up to 64, below
                                            // 1024, above; attention: prefill of fewer than 4,096
                                            // tokens, of more, decode
    static void fields(auto& self, auto&& field) {
        field("op", self.op);
        field("dtype", self.dtype);
        field("residency", self.residency);
        field("half_width", self.half_width);
    }
    bool operator==(const TableWidth&) const = default;
};

/// Measured points on top of the analytic model; empty in shipped profiles.
struct Tables {
    std::vector<GemmPoint> gemm;
    std::vector<AttentionPoint> attention;
    std::vector<ElementwisePoint> elementwise;
    std::vector<CollectivePoint> collectives;
    std::vector<MoePoint> moe;
    std::vector<TableWidth> widths;
    bool empty() const {
        return gemm.empty() && attention.empty() && elementwise.empty() && collectives.empty() &&
               moe.empty();
    }
    static void fields(auto& self, auto&& field) {
        field("gemm", self.gemm);
        field("attention", self.attention);
        field("elementwise", self.elementwise);
        field("collectives", self.collectives);
        field("moe", self.moe);
        field("widths", self.widths);
    }
    bool operator==(const Tables&) const = default;
};

enum class SourceKind { datasheet, measured, assumed };
constexpr auto enum_names(SourceKind) {
    return std::array<std::string_view, 3>{"datasheet", "measured", "assumed"};
}
struct Source {
    SourceKind kind = SourceKind::assumed;
    std::string ref;
    std::string date;
    static void fields(auto& self, auto&& field) {
        field("kind", self.kind);
        field("ref", self.ref);
        field("date", self.date);
    }
    bool operator==(const Source&) const = default;
};

/// A node of `devices` equal devices and the links between them.
struct HardwareProfile {
    std::string schema = "tplan.hardware/1";
    std::string origin;  // what load_hardware() was asked for; not in the document
    std::string name;
    std::string description;
    std::string backend;       // "cuda" or "cpu": which executor backend measures it
    std::string architecture;  // "ampere", "hopper", "ada", "blackwell", "volta", "x86-64"
    int devices = 8;
    int sm_count = 0;  // cores that share one device's arithmetic; 1 for a CPU rank
    Bytes memory;      // capacity per device
    Bandwidth memory_bandwidth;
    Bytes l2_cache;
    std::vector<PeakRate> peaks;
    double gemm_efficiency = 1;       // share of peak that large GEMMs reach
    double attention_efficiency = 1;  // share of peak that long prefill attention reaches
    double memory_efficiency = 1;     // share of the memory bandwidth that streaming reaches
    Seconds launch;  // fixed cost of a kernel inside a CUDA graph; of a step's dispatch on a CPU
    Seconds attention_launch;  // likewise of an attention core: split, combine, cache append
    std::optional<AttentionModel> attention;       // attention cores; none: the roofline
    std::optional<ExpertModel> experts;            // routed experts; none: the roofline
    std::optional<std::vector<PassModel>> passes;  // norms and the like; none: the roofline
    Seconds quantise;  // fixed part of quantising activations to fp8 at run time (abs-max, scale)
    double quantise_efficiency = 1;      // share of the memory bandwidth that quantising reaches
    std::vector<GemmParameters> gemm;    // one per dtype fitted; empty: products by the roofline
    std::vector<LinkProfile> links;      // fastest first
    std::optional<LinkProfile> network;  // between nodes, per device
    double interval_compute =
        0.3;  // half width, as a fraction, of the 90 % interval of a compute step
    double interval_attention = 0.5;     // likewise of an attention core
    double interval_collective = 0.4;    // likewise of a collective
    Bytes workspace;                     // libraries' scratch per device
    Bytes communication_buffers;         // collectives' own buffers per device, when tp > 1
    std::optional<double> usd_per_hour;  // of one device; what cost per token is reckoned from
    Tables tables;
    Named<Source> sources;  // one per figure_keys()
    /// Of a group of two kinds, see join_kinds(): the profiles of both, each with as many devices
    /// as the group has of it. None: all devices are alike.
    std::optional<std::vector<HardwareProfile>> kinds{};

    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("name", self.name);
        field("description", self.description);
        field("backend", self.backend);
        field("architecture", self.architecture);
        field("devices", self.devices);
        field("sm_count", self.sm_count);
        field("memory_bytes", self.memory);
        field("memory_bytes_per_s", self.memory_bandwidth);
        field("l2_bytes", self.l2_cache);
        field("peaks", self.peaks);
        field("gemm_efficiency", self.gemm_efficiency);
        field("attention_efficiency", self.attention_efficiency);
        field("memory_efficiency", self.memory_efficiency);
        field("launch_s", self.launch);
        field("attention_launch_s", self.attention_launch);
        field("attention", self.attention);
        field("experts", self.experts);
        field("passes", self.passes);
        field("quantise_s", self.quantise);
        field("quantise_efficiency", self.quantise_efficiency);
        field("gemm", self.gemm);
        field("links", self.links);
        field("network", self.network);
        field("interval_compute", self.interval_compute);
        field("interval_attention", self.interval_attention);
        field("interval_collective", self.interval_collective);
        field("workspace_bytes", self.workspace);
        field("communication_buffer_bytes", self.communication_buffers);
        field("usd_per_hour", self.usd_per_hour);
        field("tables", self.tables);
        field("sources", self.sources);
        field("kinds", self.kinds);
    }
    bool operator==(const HardwareProfile&) const = default;
};

/// Resolves HW: a name under data/hardware, a path to a profile file, or `this` / `this-cpu` /
/// `this-cuda` = the profile that `tplan calibrate` last wrote. Throws Error for an unknown name
/// (with the nearest), a malformed or out-of-range profile (JSON path), and for `this` without
/// calibration (naming `tplan calibrate`). Groups of two kinds are load_group()'s.
HardwareProfile load_hardware(const std::string& hw);

/// Reads and checks a profile: positive sizes and rates, at least one peak, a source for every
/// figure.
HardwareProfile read_hardware(const Json& document, const std::string& where);

/// Names under data/hardware, sorted.
std::vector<std::string> hardware_names();

/// Where `calibrate` puts the profile `this` of a backend.
std::string calibrated_profile_path(const std::string& backend);

/// The keys of `sources`: the path of every figure below the profile. Peaks go by dtype and links
/// by kind: "memory_bytes", "peaks/bf16", "gemm/bf16", "links/nvlink/latency_s",
/// "network/bytes_per_s", "tables" (when there are points).
std::vector<std::string> figure_keys(const HardwareProfile& hardware);

/// The figures whose source is `assumed`: every report made from the profile says so.
std::vector<std::string> assumed_figures(const HardwareProfile& hardware);

/// Whether a figure whose key begins with `group` is assumed: taken over from another device.
bool is_assumed(const HardwareProfile& hardware, std::string_view group);

/// Names of the node's links, fastest first.
std::vector<std::string> link_names(const HardwareProfile& hardware);

/// Throws Error naming the highest degree unless `ranks` devices are there: nodes x devices.
void require_devices(const HardwareProfile& hardware, int ranks, int nodes,
                     const char* flag = "--tp");

/// The dtype that arithmetic on `dtype` runs in: itself, or the nearest wider one the device has a
/// peak for. Throws Error when there is none.
DType usable_dtype(const HardwareProfile& hardware, DType dtype);

/// Peak rate for a dtype; the nearest wider dtype's when the device lacks it (fp8 runs as bf16 or
/// fp16, bf16 as fp32 on a V100). Throws Error when there is none.
FlopRate peak_rate(const HardwareProfile& hardware, DType dtype);

}  // namespace tplan
