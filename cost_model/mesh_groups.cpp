#include "cost_model/mesh_groups.h"

#include <algorithm>

#include "core/error.h"
#include "core/text.h"

namespace tplan {
namespace {

/// `ranks` ranks, `stride` apart.
Group strided_group(const HardwareProfile& hardware, const CostOptions& options, int ranks,
                    int stride, std::vector<std::string>& notes) {
    const int per_node = std::max(1, hardware.devices / stride);  // of one group
    if (ranks == 1 || stride == 1) return make_group(hardware, ranks, options.nodes, options.link);
    if (ranks <= per_node) {
        auto group = make_group(hardware, ranks, 1, options.link);
        if (group.link.topology == Topology::all_to_all) return group;
        const int all = std::min(ranks * stride, hardware.devices);
        notes.push_back(
            fmt::format("{} groups of {} ranks share the {} of a node: priced as one "
                        "group of {}",
                        stride, ranks, name_of(group.link.kind), all));
        return make_group(hardware, all, 1, options.link);
    }
    // Over nodes: every device has its own share of the network.
    auto group = make_group(hardware, std::max(2, std::min(per_node, ranks)), 1, options.link);
    if (!hardware.network) {
        throw Error("--nodes", hardware.name + " has no network between nodes",
                    fmt::format("use a mesh of at most {} ranks", hardware.devices));
    }
    group.ranks = ranks;
    group.per_node = per_node;
    group.nodes = (ranks + per_node - 1) / per_node;
    group.network = *hardware.network;
    return group;
}

}  // namespace

MeshGroups mesh_groups(const Program& program, const HardwareProfile& hardware,
                       const CostOptions& options) {
    MeshGroups groups;
    const auto mesh = program.mesh.value_or(Mesh{.tp = program.tp});
    const auto devices = std::int64_t{hardware.devices} * options.nodes;
    if (program.mesh && mesh.ranks() > devices) {
        throw Error("--mesh",
                    fmt::format("{} are {} ranks, but {} x {} has {} GPUs", mesh_text(mesh),
                                mesh.ranks(), options.nodes, hardware.name, devices),
                    "use a smaller mesh or more --nodes");
    }
    const auto place = [&](MeshAxis axis, int ranks, int stride) {
        auto& group = groups.along[static_cast<std::size_t>(axis)];
        group = strided_group(hardware, options, ranks, stride, groups.notes);
        if (ranks > 1 && groups.link.empty()) groups.link = name_of(group.link.kind);
        for (const auto& note : group.notes) {
            if (std::find(groups.notes.begin(), groups.notes.end(), note) == groups.notes.end())
                groups.notes.push_back(note);
        }
    };
    place(MeshAxis::tp, program.tp, 1);
    if (!program.mesh) return groups;
    place(MeshAxis::dp_shard, mesh.dp_shard, mesh.tp);
    place(MeshAxis::dp_replicate, mesh.dp_replicate, mesh.tp * mesh.dp_shard);
    return groups;
}

}  // namespace tplan
