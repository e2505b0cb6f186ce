#pragma once
#include <string>
#include <vector>

#include "executor/cuda_plugin.h"

namespace tplan::gpu {

/// A copy of kPeerCopyBytes from one GPU's memory to another's, by CUDA's numbers of them.
struct PeerCopy {
    int from = 0, to = 0;
    double bytes_per_s = 0;  // 0: not measured
    bool direct = false;     // one reads the other's memory, else the driver goes by the host
    bool right = true;       // what arrived is what was sent
    std::string address_from{}, address_to{};  // on the PCI bus, "0000:41:00.0"
};

constexpr std::size_t kPeerCopyBytes = std::size_t{64} << 20;

/// Copies between each two GPUs, both ways, and looks at what arrives: a driver's word that one GPU
/// reads another's memory has been wrong before. Neighbours come first; what is not begun after
/// `budget_s` is not measured. Empty with fewer than two GPUs. Throws Error naming the GPU when one
/// cannot be opened or has not the memory.
std::vector<PeerCopy> measure_peer_copies(const tplan_cuda_v1& table, double budget_s);

/// With the plugin that is found. Throws Error when there is none.
std::vector<PeerCopy> measure_peer_copies(double budget_s);

}  // namespace tplan::gpu
