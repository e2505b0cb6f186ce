#pragma once
#include <string>

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

/// The op of a point; its time is not looked at.
Probe probe_of(const GemmPoint& point);
Probe probe_of(const AttentionPoint& point);
/// Of one row of kPasses in the .cpp; bytes read plus written.
Probe probe_of(const ElementwisePoint& point);
Probe probe_of(const CollectivePoint& point);  // cpu-shm

/// Memory read at full speed by every rank: bytes per second of one rank, from a product of one
/// row.
Bandwidth streaming_rate(const GemmPoint& one_row);

/// Runs the probe once to warm up, then `reps` times; one sample per repetition: the mean over
/// its layers of the slowest rank's step, waiting for other ranks left out. The mean, because a
/// model's step is a sum over layers. Throws Error as Runner does. `world`: see RunOptions.
std::vector<TimedSample> sample(const Probe& probe, const std::string& backend, int reps,
                                const World* world = nullptr);

}  // namespace tplan
