#pragma once
#include "cost_model/hardware.h"

/// A machine with round numbers: 24 flop/s, 76 bytes/s, a second to launch, four devices on a link
/// of 10 bytes/s with half a second a hop and two seconds a collective.

namespace tplan::test {

inline HardwareProfile toy_hardware() {
    HardwareProfile h;
    h.name = "toy";
    h.description = "round numbers";
    h.backend = "cuda";
    h.architecture = "none";
    h.devices = 4;
    h.sm_count = 1;
    h.memory = Bytes(10000);
    h.memory_bandwidth = Bandwidth(76);
    h.l2_cache = Bytes(1);
    h.peaks = {{DType::fp32, FlopRate(24)}};
    h.launch = Seconds(1);
    h.attention_launch = Seconds(1);
    h.links = {{.kind = LinkKind::nvlink,
                .topology = Topology::all_to_all,
                .devices = 4,
                .bandwidth = Bandwidth(10),
                .latency = Seconds(0.5),
                .base_latency = Seconds(2)},
               {.kind = LinkKind::pcie,
                .topology = Topology::one_root,
                .devices = 4,
                .bandwidth = Bandwidth(1),
                .latency = Seconds(0.5),
                .base_latency = Seconds(2)}};
    h.interval_compute = 0.2;
    h.interval_collective = 0.4;
    for (const auto& key : figure_keys(h)) {
        h.sources.emplace_back(key, Source{SourceKind::assumed, "a test", "2026-01-01"});
    }
    return h;
}

}  // namespace tplan::test
