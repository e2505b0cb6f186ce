#include "cost_model/collectives.h"

// Patarasuk & Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations, 2009.
// Thakur, Rabenseifner & Gropp, Optimization of collective communication operations in MPICH, 2005.

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "core/text.h"

namespace tplan {

namespace {

constexpr double kMiB = 1024 * 1024;
constexpr double kNoLimit = std::numeric_limits<double>::infinity();

double ring_steps(int n) {
    return n - 1;
}
double two_ring_steps(int n) {
    return 2.0 * (n - 1);
}
double ring_wire(int n) {
    return (n - 1.0) / n;
}
double two_ring_wire(int n) {
    return 2.0 * (n - 1) / n;
}
double one_shot_wire(int n) {
    return n - 1.0;
}
double pairwise_wire(int n) {
    return (n - 1.0) / n / n;
}  // a rank holds 1/n and keeps 1/n of it
double whole_wire(int) {
    return 1;
}
double one_step(int) {
    return 1;
}
double two_steps(int) {
    return 2;
}
double three_steps(int) {
    return 3;
}
double seven_steps(int) {
    return 7;
}

bool any_group(int, const LinkProfile&) {
    return true;
}
bool over_nvlink(int, const LinkProfile& link) {
    return link.kind == LinkKind::nvlink;
}
bool over_switch(int n, const LinkProfile& link) {
    return link.switch_reduction && n > 4;
}
bool in_memory(int, const LinkProfile& link) {
    return link.kind == LinkKind::shared_memory;
}
/// vLLM: even groups up to 8 over NVLink, a pair over PCIe with peer-to-peer.
bool vllm_group(int n, const LinkProfile& link) {
    if (n != 2 && n != 4 && n != 6 && n != 8) return false;
    return link.kind == LinkKind::nvlink || (n == 2 && link.topology != Topology::no_p2p);
}
bool vllm_large_group(int n, const LinkProfile& link) {
    return n > 2 && vllm_group(n, link);
}
bool trtllm_group(int n, const LinkProfile& link) {
    return (n == 2 || n == 4 || n == 8) && link.kind == LinkKind::nvlink;
}

double from_zero(int) {
    return 0;
}
double to_any(int) {
    return kNoLimit;
}
double vllm_one_shot_to(int n) {
    return n == 2 ? 8 * kMiB : (n <= 4 ? 0.5 : 0.25) * kMiB;
}
double vllm_two_shot_from(int n) {
    return (n <= 4 ? 0.5 : 0.25) * kMiB;
}
double to_8_mib(int) {
    return 8 * kMiB;
}
double to_64_mib(int) {
    return 64 * kMiB;
}

constexpr std::string_view kRing = "Patarasuk & Yuan 2009";
constexpr std::string_view kProtocols =
    "NCCL 2.28.9 tuning.cc: protocols LL, LL128 and Simple; latency factors fitted to nccl-tests";
constexpr std::string_view kVllm =
    "vLLM custom_all_reduce: barriers fitted to its timings in a graph";
constexpr std::string_view kTrtllm = "TensorRT-LLM customAllReduce, Lamport flags";
constexpr std::string_view kShm = "reduce own slice, barrier, gather, barrier";

using Impl = CollectiveImpl;

/// NCCL moves a small tensor with flags in every word (LL: half the bandwidth), a middling one in
/// 128-byte lines over NVLink (LL128: 92 %), a large one in chunks behind fences (Simple).
constexpr std::array kCollectiveCosts = {
    CollectiveCost{OpKind::all_reduce, Impl::nccl, "ring-ll", two_ring_steps, two_ring_wire, 1, 1,
                   0.5, any_group, from_zero, to_any, true, kProtocols},
    CollectiveCost{OpKind::all_reduce, Impl::nccl, "ring-ll128", two_ring_steps, two_ring_wire, 2,
                   1.5, 0.92, over_nvlink, from_zero, to_any, false, kProtocols},
    CollectiveCost{OpKind::all_reduce, Impl::nccl, "ring", two_ring_steps, two_ring_wire, 6, 2, 1,
                   any_group, from_zero, to_any, true, kRing},
    CollectiveCost{OpKind::all_reduce, Impl::nccl, "nvls", two_steps, whole_wire, 6, 30, 0.77,
                   over_switch, from_zero, to_any, false,
                   "switch adds and multicasts; fitted to nccl-tests at 8 H100"},
    CollectiveCost{OpKind::all_gather, Impl::nccl, "ring-ll", ring_steps, ring_wire, 1, 1, 0.5,
                   any_group, from_zero, to_any, true, kProtocols},
    CollectiveCost{OpKind::all_gather, Impl::nccl, "ring-ll128", ring_steps, ring_wire, 2, 1.5,
                   0.92, over_nvlink, from_zero, to_any, false, kProtocols},
    CollectiveCost{OpKind::all_gather, Impl::nccl, "ring", ring_steps, ring_wire, 6, 2, 1,
                   any_group, from_zero, to_any, true, kRing},
    CollectiveCost{OpKind::reduce_scatter, Impl::nccl, "ring-ll", ring_steps, ring_wire, 1, 1, 0.5,
                   any_group, from_zero, to_any, true, kProtocols},
    CollectiveCost{OpKind::reduce_scatter, Impl::nccl, "ring-ll128", ring_steps, ring_wire, 2, 1.5,
                   0.92, over_nvlink, from_zero, to_any, false, kProtocols},
    CollectiveCost{OpKind::reduce_scatter, Impl::nccl, "ring", ring_steps, ring_wire, 6, 2, 1,
                   any_group, from_zero, to_any, true, kRing},
    CollectiveCost{OpKind::all_to_all, Impl::nccl, "pairwise", three_steps, pairwise_wire, 1, 1,
                   0.9, any_group, from_zero, to_any, true,
                   "all pairs at once; fitted to nccl-tests"},
    CollectiveCost{OpKind::all_reduce, Impl::vllm, "one-shot", two_steps, one_shot_wire, 0, 1, 1,
                   vllm_group, from_zero, vllm_one_shot_to, false, kVllm},
    CollectiveCost{OpKind::all_reduce, Impl::vllm, "two-shot", seven_steps, two_ring_wire, 0, 1, 1,
                   vllm_large_group, vllm_two_shot_from, to_8_mib, false, kVllm},
    CollectiveCost{OpKind::all_reduce, Impl::trtllm, "one-shot", one_step, one_shot_wire, 0, 1, 1,
                   trtllm_group, from_zero, to_64_mib, false, kTrtllm},
    CollectiveCost{OpKind::all_reduce, Impl::trtllm, "two-shot", seven_steps, two_ring_wire, 0, 1,
                   1, trtllm_group, from_zero, to_64_mib, false, kTrtllm},
    CollectiveCost{OpKind::all_reduce, Impl::cpu_shm, "two-shot", two_steps, two_ring_wire, 1, 1, 1,
                   in_memory, from_zero, to_any, false, kShm},
    CollectiveCost{OpKind::all_gather, Impl::cpu_shm, "one-shot", two_steps, ring_wire, 1, 1, 1,
                   in_memory, from_zero, to_any, false, kShm},
    CollectiveCost{OpKind::reduce_scatter, Impl::cpu_shm, "one-shot", two_steps, ring_wire, 1, 1, 1,
                   in_memory, from_zero, to_any, false, kShm},
    CollectiveCost{OpKind::all_to_all, Impl::cpu_shm, "one-shot", two_steps, pairwise_wire, 1, 1, 1,
                   in_memory, from_zero, to_any, false, kShm},
    CollectiveCost{OpKind::all_reduce, Impl::mpi, "ring", two_ring_steps, two_ring_wire, 1, 1, 1,
                   any_group, from_zero, to_any, true, kRing},
    CollectiveCost{OpKind::all_gather, Impl::mpi, "ring", ring_steps, ring_wire, 1, 1, 1, any_group,
                   from_zero, to_any, true, kRing},
    CollectiveCost{OpKind::reduce_scatter, Impl::mpi, "ring", ring_steps, ring_wire, 1, 1, 1,
                   any_group, from_zero, to_any, true, kRing},
    CollectiveCost{OpKind::all_to_all, Impl::mpi, "pairwise", ring_steps, pairwise_wire, 1, 1, 1,
                   any_group, from_zero, to_any, true, "Thakur, Rabenseifner & Gropp 2005"},
};

/// One node of a group of several.
Group inside_node(const Group& group) {
    auto inside = group;
    inside.ranks = group.per_node;
    inside.nodes = 1;
    return inside;
}

CollectiveLine line_of(const CollectiveCost& row, const Group& g) {
    const int l = g.per_node;
    CollectiveLine line{.from = row.from_bytes(g.ranks),
                        .to = row.to_bytes(g.ranks),
                        .implementation = row.implementation,
                        .algorithm = std::string(row.algorithm)};
    if (g.nodes == 1) {
        line.alpha = row.base_factor * g.link.base_latency.value +
                     row.hop_factor * row.steps(l) * g.link.latency.value;
        line.beta = row.wire(l) / (row.bandwidth_factor * g.link.bandwidth.value);
        return line;
    }
    // Inside each node first, then every device with its peers of the other nodes: both stages add.
    const double inner_hops = l > 1 ? row.steps(l) * g.link.latency.value : 0;
    line.alpha = row.base_factor * g.network.base_latency.value +
                 row.hop_factor * (inner_hops + row.steps(g.nodes) * g.network.latency.value);
    double inner = l > 1 ? row.wire(l) : 0, outer = row.wire(g.nodes) / l;
    if (row.op == OpKind::all_to_all) {
        const double n = g.ranks;
        inner = (l - 1) / n / n;
        outer = (n - l) / n / n;
    }
    line.beta =
        (inner / g.link.bandwidth.value + outer / g.network.bandwidth.value) / row.bandwidth_factor;
    return line;
}

bool covers(const CollectiveCost& row, OpKind op, Impl implementation, const Group& group) {
    return row.op == op && row.implementation == implementation &&
           (group.nodes == 1 ? row.applies(group.ranks, group.link) : row.across_nodes);
}

/// The implementation's own rules of which groups it serves; rows of a link add sizes.
bool serves(Impl implementation, const Group& group) {
    if (implementation == Impl::vllm) return vllm_group(group.ranks, group.link);
    if (implementation == Impl::trtllm) return trtllm_group(group.ranks, group.link);
    return true;
}

/// Lines of the link's fitted rows; none when the group spans nodes or no row has its ranks.
void add_fitted_lines(std::vector<CollectiveLine>& lines, OpKind op, Impl implementation,
                      const Group& group, const CollectiveUse& use) {
    if (group.nodes > 1 || !serves(implementation, group)) return;
    const auto& rows = group.link.algorithms;
    const auto of_mode = [&](CollectiveMode mode) {
        return std::any_of(rows.begin(), rows.end(), [&](const CollectiveFit& row) {
            return row.op == op && row.implementation == implementation && row.mode == mode;
        });
    };
    auto mode = use.mode.value_or(usual_mode(implementation));
    if (!of_mode(mode)) mode = usual_mode(implementation);
    double from = 0;
    for (const auto& row : rows) {
        if (row.op != op || row.implementation != implementation || row.mode != mode) continue;
        if (!covers_ranks(row, group.ranks) || (use.one_byte && row.one_byte_factor <= 0)) continue;
        const auto fit = fit_at(row, group.ranks);
        if (fit.to <= from) continue;
        const double factor = use.one_byte ? row.one_byte_factor : 1;
        lines.push_back({.alpha = factor * fit.latency,
                         .beta = factor * bus_factor(op, group.ranks) /
                                 (fit.bandwidth_share * group.link.bandwidth.value),
                         .ramp = factor * fit.ramp,
                         .ramp_from = fit.ramp_from,
                         .sharpness = fit.sharpness,
                         .from = from,
                         .to = fit.to,
                         .half_width = fit.half_width,
                         .fitted = true,
                         .near = fit.fitted && !group.link.transferred,
                         .transferred = group.link.transferred,
                         .implementation = implementation,
                         .algorithm = row.algorithm});
        from = fit.to;
    }
    // Nobody takes over from NCCL: its last algorithm stands for what no row covers.
    if (implementation == Impl::nccl && from > 0 && from < kNoLimit) {
        lines.back().to = kNoLimit;
        lines.back().near = false;
    }
}

/// A named algorithm is kept for every size: a plan was made for one workload, and may be priced
/// for another.
void keep_named(std::vector<CollectiveLine>& lines, std::string_view algorithm) {
    std::erase_if(lines, [&](const CollectiveLine& line) { return line.algorithm != algorithm; });
    for (auto& line : lines) {
        line.from = 0;
        line.to = kNoLimit;
    }
}

/// Lines of the table's rows that serve the group.
void add_table_lines(std::vector<CollectiveLine>& lines, OpKind op, Impl implementation,
                     const Group& group) {
    for (const auto& row : kCollectiveCosts) {
        if (covers(row, op, implementation, group)) lines.push_back(line_of(row, group));
    }
}

/// NCCL over several nodes. Where the link has fitted rows, what happens inside each node is what
/// they say of one node, under their names, and the table's rows add what goes between the nodes.
/// Nobody measured the two together. Without fitted rows, the table's rows alone.
std::vector<CollectiveLine> lines_across(OpKind op, const Group& group, const CollectiveUse& use) {
    constexpr double kUnmeasured = 0.4;  // half width at least
    std::vector<CollectiveLine> inside, outside, lines;
    if (group.per_node > 1) add_fitted_lines(inside, op, Impl::nccl, inside_node(group), use);
    auto between = group;
    if (!inside.empty()) {  // the rows with nothing to do inside
        between.link.bandwidth = Bandwidth(kNoLimit);
        between.link.latency = Seconds(0);
    }
    add_table_lines(outside, op, Impl::nccl, between);
    if (inside.empty()) return outside;
    for (const auto& outer : outside) {
        for (auto line : inside) {
            line.alpha += outer.alpha;
            line.beta += outer.beta;
            for (double& width : line.half_width) width = std::max(width, kUnmeasured);
            line.near = false;
            lines.push_back(std::move(line));
        }
    }
    return lines;
}

/// What the implementation leaves over is NCCL's (on a CPU: messages in a ring). TensorRT-LLM
/// chooses NCCL wherever a line of its own is slower, the others only beyond their limits.
template <class Add>
void add_rest(std::vector<CollectiveLine>& lines, Impl implementation, const Group& group,
              const Add& add) {
    const bool chooses = implementation == Impl::trtllm && (lines.empty() || !lines.front().fitted);
    double covered = 0;
    for (const auto& line : lines) covered = std::max(covered, line.to);
    const auto own = lines.size();
    if (chooses || covered < kNoLimit) {
        add(group.link.kind == LinkKind::shared_memory ? Impl::mpi : Impl::nccl);
    }
    if (chooses) return;
    for (auto i = own; i < lines.size(); ++i) lines[i].from = std::max(lines[i].from, covered);
    std::erase_if(lines, [](const CollectiveLine& line) { return line.to <= line.from; });
}

/// No size costs more than the padded message that a later line begins with.
void cap_lines(std::vector<CollectiveLine>& lines) {
    for (auto& line : lines) {
        for (const auto& later : lines) {
            if (later.from < line.to || later.from <= 0) continue;
            const double start = line_time(later, later.from);
            line.cap = line.cap > 0 ? std::min(line.cap, start) : start;
        }
    }
}

}  // namespace

std::span<const CollectiveCost> collective_costs() {
    return kCollectiveCosts;
}

Group make_group(const HardwareProfile& hardware, int ranks, int nodes, const std::string& link) {
    assert(ranks >= 1);
    if (nodes < 1) throw Error("--nodes", fmt::format("expected at least 1, got {}", nodes));
    const auto names = link_names(hardware);
    auto at = hardware.links.begin();
    if (!link.empty()) {
        at = hardware.links.begin() + (std::find(names.begin(), names.end(), link) - names.begin());
        if (at == hardware.links.end()) {
            throw Error("--link " + link, "no such link in " + hardware.name,
                        names.empty() ? "it joins no devices" : "links: " + join(names, ", "));
        }
    }
    require_devices(hardware, ranks, nodes);
    Group group;
    group.ranks = ranks;
    group.nodes = (ranks + hardware.devices - 1) / hardware.devices;
    group.per_node = (ranks + group.nodes - 1) / group.nodes;
    if (group.nodes > 1) {
        if (!hardware.network) {
            throw Error("--nodes", hardware.name + " has no network between nodes",
                        fmt::format("use at most --tp {}", hardware.devices));
        }
        group.network = *hardware.network;
    }
    if (ranks == 1) return group;
    for (; at != hardware.links.end() && at->devices < group.per_node; ++at) {
        group.notes.push_back(fmt::format("{} joins {} devices of {}; priced over the next link",
                                          name_of(at->kind), at->devices, hardware.name));
    }
    if (at == hardware.links.end()) {
        throw Error(fmt::format("--tp {}", ranks),
                    fmt::format("no link of {} joins {} devices", hardware.name, group.per_node),
                    "use a smaller degree or another --link");
    }
    group.link = *at;
    for (auto faster = hardware.links.begin(); group.link.transferred && faster != at; ++faster)
        raise_to(group.link.algorithms, faster->algorithms);
    return group;
}

std::vector<CollectiveLine> collective_lines(OpKind op, CollectiveImpl implementation,
                                             const Group& group, std::string_view algorithm,
                                             const CollectiveUse& use) {
    if (group.ranks == 1) return {};
    const bool any = algorithm.empty() || algorithm == "auto";
    std::vector<CollectiveLine> lines;
    const auto add = [&](Impl from) {
        const auto before = lines.size();
        add_fitted_lines(lines, op, from, group, use);
        if (from == Impl::nccl && group.nodes > 1) {
            const auto across = lines_across(op, group, use);
            lines.insert(lines.end(), across.begin(), across.end());
        } else if (lines.size() == before) {
            add_table_lines(lines, op, from, group);
        }
        if (!any) keep_named(lines, algorithm);
    };
    add(implementation);
    if (!any) {
        if (lines.empty()) add(Impl::nccl);
        if (lines.empty()) {
            throw Error(fmt::format("{} algorithm \"{}\"", name_of(op), algorithm),
                        fmt::format("{} has none of that name for {} ranks",
                                    name_of(implementation), group.ranks),
                        "use \"auto\"");
        }
        return lines;
    }
    if (implementation != Impl::nccl) add_rest(lines, implementation, group, add);
    cap_lines(lines);
    return lines;
}

CollectiveMode usual_mode(Impl implementation) {
    const bool engine = implementation == Impl::vllm || implementation == Impl::trtllm;
    return engine ? CollectiveMode::graph : CollectiveMode::eager;
}

double line_time(const CollectiveLine& line, double bytes) {
    double fixed = line.alpha;
    if (line.ramp > 0) {
        constexpr double kOctaves = 3;  // of the ramp
        fixed += line.ramp * std::clamp(std::log2(bytes / line.ramp_from) / kOctaves, 0.0, 1.0);
    }
    const double wire = line.beta * bytes, p = line.sharpness;
    const double time =
        p == 1 ? fixed + wire : fixed * std::pow(1 + std::pow(wire / fixed, p), 1 / p);
    return line.cap > 0 ? std::min(time, line.cap) : time;
}

const CollectiveLine* cheapest_line(std::span<const CollectiveLine> lines, double bytes) {
    const CollectiveLine* best = nullptr;
    double least = kNoLimit;
    for (const auto& line : lines) {
        const bool takes = bytes > line.from || line.from <= 0;
        if (!takes || bytes > line.to) continue;
        const double time = line_time(line, bytes);
        if (time < least) {
            least = time;
            best = &line;
        }
    }
    return best;
}

}  // namespace tplan
