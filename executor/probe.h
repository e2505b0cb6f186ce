#pragma once
#include <string>
#include <string_view>

#include "executor/execute.h"
#include "executor/measure.h"
#include "models/points.h"

/// Measures single ops: a probe is a program of one step, run by the same Runner and kernels as a
/// plan, on every rank at once. Its layers hold different weights (or caches), enough of them that
/// none is still in the processor's caches when its turn comes again.

namespace tplan {

struct Probe {
    std::string name;  // "gemm fp32 [16, 1024, 4096] on 2 ranks"
    Program program;
    Workload workload;
    DType dtype = DType::fp32;  // of the weights
};

/// How a kind of device is measured.
struct ProbeSetup {
    double rotated_bytes = 96e6;  // of different weights or caches per rank: past any cache
    double element_bytes = 4;     // of an activation
    bool fed = true;  // ops other than products have one in front of them, which is not timed
    DType dtype = DType::fp32;  // of the weights of ops other than products
};

/// Of a backend by name, for a device with this much cache. A GPU replays all layers as one whole,
/// which no product in front may be part of; its caches are of the size of what a layer leaves.
ProbeSetup probe_setup(std::string_view backend, Bytes cache);

/// The op of a point; its time is not looked at.
Probe probe_of(const GemmPoint& point, const ProbeSetup& setup = {});
Probe probe_of(const AttentionPoint& point, const ProbeSetup& setup = {});
/// Of one row of kPasses in the .cpp; bytes read plus written.
Probe probe_of(const ElementwisePoint& point, const ProbeSetup& setup = {});
Probe probe_of(const CollectivePoint& point, const ProbeSetup& setup = {});

/// Memory read at full speed by every rank: bytes per second of one rank, from a product of one
/// row.
Bandwidth streaming_rate(const GemmPoint& one_row);

/// Runs the probe once to warm up, then `reps` times; one sample per repetition: the mean over
/// its layers of the slowest rank's step, waiting for other ranks left out; of a replayed program
/// its share of the whole. The mean, because a model's step is a sum over layers. Throws Error as
/// Runner does. `world`: see RunOptions.
std::vector<TimedSample> sample(const Probe& probe, const std::string& backend, int reps,
                                const World* world = nullptr);

}  // namespace tplan
