#pragma once
#include <vector>

#include "executor/local.h"

/// Where the values of a training step lie. The backward pass reads what the forward pass of the
/// same layer made, so such values have memory of their own in every layer; all others share one
/// between layers, as in serving.

namespace tplan {

/// Memories of the buffers of one executed step, in the order of its inputs and outputs.
struct StepPlaces {
    std::vector<int> inputs, outputs;
};

struct ValuePlaces {
    BufferPlaces buffers;           // where a buffer lies in a memory of its allocation
    std::vector<int> allocations;   // per memory: the allocation it is an instance of
    std::vector<StepPlaces> steps;  // per executed step
};

/// Requires a training program without recomputation. Throws Error naming the step where a value
/// that the backward pass reads cannot be told, and what place_buffers() throws.
ValuePlaces place_values(const Program& program, const std::vector<ExecutedStep>& steps, int rank);

}  // namespace tplan
