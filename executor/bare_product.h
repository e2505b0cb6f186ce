#pragma once
#include <string>
#include <vector>

#include "executor/measure.h"
#include "models/points.h"

/// What a backend's matrix library alone reaches: the yardstick for the executor's linears.

namespace tplan {

/// Times C[m, n] = A[m, k] B[k, n] of one rank called in a bare loop: weights packed once, one
/// input, one output, no program, no other steps, nothing recorded in between. It takes as many
/// copies of the weights in turn as the probe of the same point has, so that both read them from
/// memory. `reps` samples, each the mean over the copies. point.ranks must be 1. Throws Error when
/// the backend cannot multiply such weights.
std::vector<TimedSample> sample_bare_product(const GemmPoint& point, const std::string& backend,
                                             int reps);

}  // namespace tplan
