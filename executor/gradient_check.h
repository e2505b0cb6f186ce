#pragma once
#include <cstdint>

#include "executor/execute.h"
#include "executor/weights.h"
#include "models/graph.h"

namespace tplan {

/// The slope of the reference's loss along a direction against the gradient's.
struct SlopeCheck {
    std::string name;   // of the worst parameter
    double apart = 0;   // |slope - gradient . direction|
    double length = 0;  // of the gradient
};

/// Holds the gradients of a runner's first repetition against central differences of the scalar
/// reference in doubles: of every parameter, the slope along a random direction of signs. `weights`
/// are what the runner began with. The result is that of the parameter with the largest
/// apart / length; a random direction meets an error e of the gradient with about |e|.
SlopeCheck check_slopes(const Runner& runner, const Model& model, const Workload& workload,
                        const WeightSource& weights, std::uint64_t seed);

}  // namespace tplan
