#include "app/nccl_topology.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <map>
#include <pugixml.hpp>
#include <set>

#include "app/hardware_text.h"
#include "core/error.h"
#include "core/files.h"
#include "core/text.h"

namespace tplan {
namespace {

using Element = pugi::xml_node;
constexpr std::size_t kMostGpus = 64;
constexpr const char* kHint =
    "give the file that NCCL wrote: NCCL_TOPO_DUMP_FILE=topology.xml in the environment of a job";

/// Architectures by the first compute capability that is theirs, the newest first.
struct Architecture {
    int from;
    std::string_view name;
};
constexpr std::array kArchitectures = {
    Architecture{100, "blackwell"}, Architecture{90, "hopper"}, Architecture{89, "ada"},
    Architecture{80, "ampere"},     Architecture{75, "turing"}, Architecture{70, "volta"},
};

/// PCI classes that lanes lead to, by how their numbers begin.
constexpr std::string_view kGpuClass = "0x03", kNvSwitchClass = "0x0680";

std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

/// A lane bundle of a GPU, until all GPUs are known.
struct Lanes {
    int gpu = 0;
    std::string target, kind;
    int count = 0;
    Element element;
};

/// Where an element stands.
struct Place {
    int numa_node = -1;
    std::vector<std::string> bridges;  // PCI addresses from the root down, the own last
    std::string link;
};

class Reading {
  public:
    explicit Reading(const std::string& file) { node_.file = file; }

    NodeTopology read(const Element& document) {
        require_shallow(document);
        Element system;
        for (const auto& element : document) {
            if (element.type() != pugi::node_element) continue;
            if (system) fail(element, "more than one element at the top");
            system = element;
        }
        if (std::string_view(system.name()) != "system")
            fail(system, "expected <system>, NCCL's outermost element");
        const auto version = integer(system, "version");
        if (version != 1 && version != 2)
            fail(system, fmt::format("version {}: 1 and 2 are known", version));
        for (const auto& element : children(system, {"cpu"})) read_cpu(element);
        if (node_.gpus.empty()) throw Error(node_.file, "a topology without a GPU", kHint);
        join_lanes();
        add_paths();
        for (const auto& name : passed_over_) node_.notes.push_back("not read: " + name);
        return std::move(node_);
    }

  private:
    [[noreturn]] void fail(const Element& at, const std::string& what) const {
        throw Error(
            fmt::format("{}, byte {}", node_.file, std::max<std::ptrdiff_t>(at.offset_debug(), 0)),
            *at.name() != '\0' ? fmt::format("<{}>: {}", at.name(), what) : what, kHint);
    }

    /// What follows calls itself for every level.
    void require_shallow(const Element& document) const {
        int depth = 0;
        for (Element at = document.first_child(); at;) {
            if (depth >= kTopologyDepth)
                fail(at, fmt::format("more than {} elements inside each other", kTopologyDepth));
            if (at.first_child()) {
                at = at.first_child();
                ++depth;
                continue;
            }
            while (at && !at.next_sibling() && at != document) {
                at = at.parent();
                --depth;
            }
            if (!at || at == document) return;
            at = at.next_sibling();
        }
    }

    std::string text(const Element& element, const char* name) const {
        const auto attribute = element.attribute(name);
        if (!attribute) fail(element, fmt::format("no \"{}\"", name));
        return attribute.value();
    }

    int integer(const Element& element, const char* name) const {
        const auto value = text(element, name);
        int number = 0;
        const auto end = value.data() + value.size();
        const auto [stopped, error] = std::from_chars(value.data(), end, number);
        if (error != std::errc{} || stopped != end)
            fail(element, fmt::format("{}=\"{}\": expected an integer", name, value));
        return number;
    }

    int count(const Element& element, const char* name) const {
        const int number = integer(element, name);
        if (number < 0 || number > 1000)
            fail(element, fmt::format("{}=\"{}\": expected 0 to 1000", name, number));
        return number;
    }

    std::string address(const Element& element, const char* name) const {
        auto value = lower(text(element, name));
        const bool plausible =
            std::ranges::count(value, ':') == 2 && value.find('.') < value.size();
        if (!plausible)
            fail(element,
                 fmt::format("{}=\"{}\": expected a PCI address, 0000:18:00.0", name, value));
        return value;
    }

    /// Elements with these names; others are noted, as NCCL does, but text is no XML of its.
    std::vector<Element> children(const Element& parent,
                                  std::initializer_list<std::string_view> names) {
        std::vector<Element> found;
        for (const auto& child : parent) {
            if (child.type() == pugi::node_pcdata || child.type() == pugi::node_cdata)
                fail(parent, "text between its elements");
            if (child.type() != pugi::node_element) continue;
            if (std::ranges::find(names, child.name()) != names.end()) {
                found.push_back(child);
            } else {
                passed_over_.insert(fmt::format("<{}> in <{}>", child.name(), parent.name()));
            }
        }
        return found;
    }

    void read_cpu(const Element& cpu) {
        Place place;
        place.numa_node = integer(cpu, "numaid");
        if (const auto host = cpu.attribute("host_hash")) {
            hosts_.insert(host.value());
            if (hosts_.size() > 1) fail(cpu, "a second host: topologies of one node are read");
        }
        node_.cpus.push_back(fmt::format("NUMA node {}: {} {}", place.numa_node,
                                         cpu.attribute("arch").as_string("unknown"),
                                         cpu.attribute("vendor").as_string("")));
        for (const auto& child : children(cpu, {"pci", "nic"})) {
            if (std::string_view(child.name()) == "pci") {
                read_pci(child, place);
            } else {
                read_nic(child, place);
            }
        }
    }

    void read_pci(const Element& pci, Place place) {
        place.bridges.push_back(address(pci, "busid"));
        const std::string_view speed = pci.attribute("link_speed").as_string("");
        const std::string_view width = pci.attribute("link_width").as_string("0");
        // Virtual machines say an empty speed and no lanes.
        place.link = speed.empty() || width == "0" ? "" : fmt::format("{} x{}", speed, width);
        for (const auto& child : children(pci, {"pci", "gpu", "nic"})) {
            const std::string_view name = child.name();
            if (name == "pci") {
                read_pci(child, place);
            } else if (name == "gpu") {
                read_gpu(child, place);
            } else {
                read_nic(child, place);
            }
        }
    }

    void read_gpu(const Element& element, const Place& place) {
        const auto& own = place.bridges.back();
        if (std::ranges::find(node_.gpus, own, &TopologyGpu::address) != node_.gpus.end()) {
            passed_over_.insert("a second rank on GPU " + own);
            return;
        }
        if (node_.gpus.size() == kMostGpus)
            fail(element, fmt::format("more than {} GPUs in one node", kMostGpus));
        auto& gpu = node_.gpus.emplace_back();
        gpu.address = own;
        gpu.device = integer(element, "dev");
        gpu.sm = count(element, "sm");
        gpu.numa_node = place.numa_node;
        gpu.link = place.link;
        gpu.switches.assign(place.bridges.begin(), place.bridges.end() - 1);
        for (const auto& child : children(element, {"nvlink", "c2c"})) {
            if (std::string_view(child.name()) == "c2c") {
                gpu.cpu_lanes += count(child, "count");
                continue;
            }
            lanes_.push_back({static_cast<int>(node_.gpus.size()) - 1, address(child, "target"),
                              child.attribute("tclass").as_string(""), count(child, "count"),
                              child});
        }
    }

    void read_nic(const Element& element, const Place& place) {
        for (const auto& net : children(element, {"net"})) {
            auto& nic = node_.nics.emplace_back();
            nic.name = text(net, "name");
            nic.address = place.bridges.empty() ? "" : place.bridges.back();
            nic.numa_node = place.numa_node;
            const int megabits = integer(net, "speed");
            if (megabits < 0) fail(net, fmt::format("speed=\"{}\": expected Mbit/s", megabits));
            nic.bandwidth = Bandwidth(megabits * 1e6 / 8);
            nic.reads_gpus = net.attribute("gdr") && integer(net, "gdr") != 0;
        }
    }

    /// Each end lists a bundle between two GPUs; a partial file has one of them.
    void join_lanes() {
        for (const auto& lanes : lanes_) {
            const auto peer = std::ranges::find(node_.gpus, lanes.target, &TopologyGpu::address);
            auto& gpu = node_.gpus[static_cast<std::size_t>(lanes.gpu)];
            if (peer != node_.gpus.end()) {
                const int other = static_cast<int>(peer - node_.gpus.begin());
                auto& known = direct_[std::minmax(lanes.gpu, other)];
                known = std::max(known, lanes.count);
            } else if (lanes.kind.starts_with(kNvSwitchClass)) {
                gpu.switch_lanes += lanes.count;
            } else if (lanes.kind.starts_with(kGpuClass)) {
                passed_over_.insert("lanes to GPU " + lanes.target + ", which the job did not use");
            } else if (!lanes.kind.empty()) {
                gpu.cpu_lanes += lanes.count;
            } else {
                fail(lanes.element, "no \"tclass\", and no GPU at its target");
            }
        }
    }

    void add_paths() {
        const int count = static_cast<int>(node_.gpus.size());
        for (int a = 0; a < count; ++a) {
            for (int b = a + 1; b < count; ++b) {
                const auto& one = node_.gpus[static_cast<std::size_t>(a)];
                const auto& other = node_.gpus[static_cast<std::size_t>(b)];
                TopologyPath path{a, b, pci_path(one, other), 0};
                const auto direct = direct_.find({a, b});
                path.lanes = std::min(one.switch_lanes, other.switch_lanes) +
                             (direct != direct_.end() ? direct->second : 0);
                if (path.lanes > 0) path.path = "NVLink";
                node_.paths.push_back(path);
            }
        }
    }

    static std::string pci_path(const TopologyGpu& one, const TopologyGpu& other) {
        if (one.numa_node != other.numa_node) return "across sockets";
        if (one.switches.empty() || other.switches.empty() ||
            one.switches.front() != other.switches.front())
            return "one socket";
        return one.switches == other.switches ? "one PCIe switch" : "PCIe switches";
    }

    NodeTopology node_;
    std::set<std::string> hosts_, passed_over_;
    std::vector<Lanes> lanes_;
    std::map<std::pair<int, int>, int> direct_;  // lanes between GPUs, by their places
};

/// How many GPUs each is joined to by NVLink.
std::vector<int> joined_by_nvlink(const NodeTopology& node) {
    std::vector<int> joined(node.gpus.size());
    for (const auto& path : node.paths) {
        if (path.lanes == 0) continue;
        ++joined[static_cast<std::size_t>(path.a)];
        ++joined[static_cast<std::size_t>(path.b)];
    }
    return joined;
}

std::optional<TopologyLink> link_of(NodeTopology& node) {
    const int count = static_cast<int>(node.gpus.size());
    if (count < 2) return {};
    const auto joined = joined_by_nvlink(node);
    const auto all = [&](int n) { return std::ranges::count(joined, n) == count; };
    if (all(count - 1)) return TopologyLink{LinkKind::nvlink, Topology::all_to_all, count};
    if (all(1)) return TopologyLink{LinkKind::nvlink, Topology::pairs, 2};
    if (!all(0)) {
        node.notes.push_back(
            "NVLink joins some GPUs to some: no profile describes that, and tplan does not price "
            "it");
        return {};
    }
    const auto is = [&](std::string_view path) {
        return std::ranges::count(node.paths, path, &TopologyPath::path);
    };
    const auto pairs = static_cast<std::ptrdiff_t>(node.paths.size());
    auto topology = is("one PCIe switch") == pairs ? Topology::one_switch : Topology::one_root;
    if (is("across sockets") > 0) topology = Topology::cross_socket;
    node.notes.push_back(
        "whether GPUs read each other's memory over PCIe the file does not say: without it, the "
        "topology is \"no-p2p\"");
    return TopologyLink{LinkKind::pcie, topology, count};
}

std::vector<std::string> profiles_like(const NodeTopology& node) {
    if (!node.link) return {};
    const auto* architecture = std::ranges::find_if(
        kArchitectures, [&](const Architecture& a) { return node.gpus.front().sm >= a.from; });
    if (architecture == kArchitectures.end()) return {};
    std::vector<std::string> names;
    for (const auto& row : hardware_list().hardware) {
        const bool linked = std::ranges::any_of(row.links, [&](const LinkProfile& link) {
            return link.kind == node.link->kind && link.topology == node.link->topology;
        });
        if (row.architecture == architecture->name && linked) names.push_back(row.name);
    }
    return names;
}

std::string paths_text(const NodeTopology& node) {
    const auto count = node.gpus.size();
    std::vector<std::vector<std::string>> rows(count + 1, std::vector<std::string>(count + 1));
    for (std::size_t i = 0; i < count; ++i)
        rows[0][i + 1] = rows[i + 1][0] = fmt::format("GPU {}", i);
    for (const auto& path : node.paths) {
        const auto a = static_cast<std::size_t>(path.a), b = static_cast<std::size_t>(path.b);
        rows[a + 1][b + 1] = rows[b + 1][a + 1] =
            path.lanes > 0 ? fmt::format("{} x{}", path.path, path.lanes) : path.path;
    }
    return format_table(rows);
}

std::string gpu_text(std::size_t number, const TopologyGpu& gpu) {
    auto text = fmt::format("GPU {}: sm_{} at {}, {}", number, gpu.sm, gpu.address,
                            gpu.link.empty() ? "PCIe link not told" : gpu.link);
    if (!gpu.switches.empty()) text += ", behind " + join(gpu.switches, " ");
    if (gpu.switch_lanes > 0)
        text += fmt::format(", {} NVLink lanes to switches", gpu.switch_lanes);
    if (gpu.cpu_lanes > 0) text += fmt::format(", {} lanes to the CPU", gpu.cpu_lanes);
    return text + fmt::format(", NUMA node {}\n", gpu.numa_node);
}

}  // namespace

NodeTopology parse_nccl_topology(const std::string& text, const std::string& file) {
    if (text.size() > kTopologyBytes)
        throw Error(file, fmt::format("more than {} bytes", kTopologyBytes), kHint);
    if (const auto zero = text.find('\0'); zero != std::string::npos)
        throw Error(fmt::format("{}, byte {}", file, zero), "a zero byte: this is no XML", kHint);
    pugi::xml_document document;
    const auto result =
        document.load_buffer(text.data(), text.size(),
                             pugi::parse_default | pugi::parse_declaration, pugi::encoding_utf8);
    if (!result) {
        throw Error(fmt::format("{}, byte {}", file, result.offset),
                    fmt::format("this is no XML: {}", result.description()), kHint);
    }
    auto node = Reading(file).read(document);
    node.link = link_of(node);
    node.profiles = profiles_like(node);
    return node;
}

NodeTopology load_nccl_topology(const std::string& path) {
    return parse_nccl_topology(read_file(path, kTopologyBytes), path);
}

std::string topology_text(const NodeTopology& node) {
    std::string text = "topology " + node.file + ", as NCCL found it\n";
    for (const auto& cpu : node.cpus) text += cpu + "\n";
    for (std::size_t i = 0; i < node.gpus.size(); ++i) text += gpu_text(i, node.gpus[i]);
    if (!node.paths.empty()) text += paths_text(node);
    for (const auto& nic : node.nics) {
        text +=
            fmt::format("NIC {}: {}{}, NUMA node {}{}\n", nic.name, format_bandwidth(nic.bandwidth),
                        nic.address.empty() ? "" : " at " + nic.address, nic.numa_node,
                        nic.reads_gpus ? ", reads the memory of GPUs" : "");
    }
    if (node.link) {
        text += fmt::format("link: {}, {}, of {} devices", name_of(node.link->kind),
                            name_of(node.link->topology), node.link->devices);
        text += node.profiles.empty()
                    ? "; no profile of this architecture has such a link\n"
                    : fmt::format("; so has {} (--hw)\n", join(node.profiles, ", "));
    }
    for (const auto& note : node.notes) text += "note: " + note + "\n";
    return text;
}

}  // namespace tplan
