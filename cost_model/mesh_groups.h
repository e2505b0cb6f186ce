#pragma once
#include <array>
#include <string>
#include <vector>

#include "cost_model/estimate.h"

namespace tplan {

/// The ranks that a collective along each axis of a program's mesh joins, placed on nodes: ranks of
/// a TP group are neighbours, then the shards, then the replicas, so that TP stays inside a node
/// while it fits. A program without a mesh has its TP group alone.
struct MeshGroups {
    std::array<Group, enum_names(MeshAxis{}).size()> along;  // by MeshAxis
    std::string link;  // that the innermost axis with several ranks runs over; empty: one rank
    std::vector<std::string> notes;
};

/// Groups whose ranks stand apart run side by side. Over a link that is not all-to-all they share
/// it: their collectives are priced as of one group of all those ranks, which moves no fewer bytes
/// past any of them. Throws Error as make_group() does, naming --mesh where the mesh has more ranks
/// than there are devices.
MeshGroups mesh_groups(const Program& program, const HardwareProfile& hardware,
                       const CostOptions& options);

}  // namespace tplan
