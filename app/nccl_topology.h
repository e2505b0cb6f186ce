#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json_io.h"
#include "cost_model/hardware.h"

/// What NCCL writes of a node: the XML of NCCL_TOPO_DUMP_FILE (system > cpu > pci > gpu, nic), so
/// that a laptop can plan for a cluster of which it has such a file.

namespace tplan {

struct TopologyGpu {
    std::string address{};  // "0000:18:00.0"
    int device = 0;         // CUDA's number of it
    int sm = 0;             // compute capability: 90
    int numa_node = -1;
    std::string link{};  // "32.0 GT/s PCIe x16", of the device to its slot; empty: not told
    std::vector<std::string> switches{};  // PCIe bridges from the root down to it
    int switch_lanes = 0;                 // NVLink lanes to NVSwitches
    int cpu_lanes = 0;                    // lanes to the CPU (NVLink, chip to chip)
    static void fields(auto& self, auto&& field) {
        field("address", self.address);
        field("device", self.device);
        field("sm", self.sm);
        field("numa_node", self.numa_node);
        field("link", self.link);
        field("switches", self.switches);
        field("switch_lanes", self.switch_lanes);
        field("cpu_lanes", self.cpu_lanes);
    }
};

/// Between two of NodeTopology::gpus, by their places there; a < b.
struct TopologyPath {
    int a = 0, b = 0;
    std::string path{};  // "NVLink", "one PCIe switch", "PCIe switches", "one socket", "across
                         // sockets"
    int lanes = 0;       // NVLink lanes, direct or through switches
    static void fields(auto& self, auto&& field) {
        field("a", self.a);
        field("b", self.b);
        field("path", self.path);
        field("lanes", self.lanes);
    }
};

struct TopologyNic {
    std::string name{};     // "mlx5_0"
    std::string address{};  // empty: of no PCI device
    int numa_node = -1;
    Bandwidth bandwidth{};
    bool reads_gpus = false;  // GPUDirect RDMA
    static void fields(auto& self, auto&& field) {
        field("name", self.name);
        field("address", self.address);
        field("numa_node", self.numa_node);
        field("bytes_per_s", self.bandwidth);
        field("reads_gpus", self.reads_gpus);
    }
};

/// The link that hardware profiles describe (LinkProfile), as far as a topology tells it.
struct TopologyLink {
    LinkKind kind = LinkKind::pcie;
    Topology topology = Topology::one_root;
    int devices = 0;  // that one group of it joins
    static void fields(auto& self, auto&& field) {
        field("kind", self.kind);
        field("topology", self.topology);
        field("devices", self.devices);
    }
};

/// `tplan.topology/1`: one node.
struct NodeTopology {
    std::string schema = "tplan.topology/1";
    std::string file{};
    std::vector<std::string> cpus{};  // "NUMA node 0: x86_64 GenuineIntel"
    std::vector<TopologyGpu> gpus{};
    std::vector<TopologyPath> paths{};  // every pair
    std::vector<TopologyNic> nics{};
    std::optional<TopologyLink> link{};   // none: one GPU, or NVLink in a shape no profile has
    std::vector<std::string> profiles{};  // shipped ones of that architecture with such a link
    std::vector<std::string> notes{};     // what was not read
    static void fields(auto& self, auto&& field) {
        field("schema", self.schema);
        field("file", self.file);
        field("cpus", self.cpus);
        field("gpus", self.gpus);
        field("paths", self.paths);
        field("nics", self.nics);
        field("link", self.link);
        field("profiles", self.profiles);
        field("notes", self.notes);
    }
};

/// Reads such a text of at most kTopologyBytes and kTopologyDepth elements inside each other;
/// `file` names it in messages. Throws Error with the byte where XML ends to be XML, an attribute
/// is missing or no number, or an element stands where NCCL puts none; for a file of several hosts,
/// of another version than 1 and 2, without a GPU, or of more than 64. Elements that NCCL itself
/// would pass over are named in notes.
NodeTopology parse_nccl_topology(const std::string& text, const std::string& file);
constexpr std::size_t kTopologyBytes = std::size_t{64} << 20;
constexpr int kTopologyDepth = 64;

/// The same of a file.
NodeTopology load_nccl_topology(const std::string& path);

/// The node for a terminal.
std::string topology_text(const NodeTopology& node);

}  // namespace tplan
