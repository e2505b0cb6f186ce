#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "executor/bound_step.h"

namespace tplan::cpu {

/// Why the step has no kernel here; empty when it has one.
std::string kernel_refusal(const Step& step, DType weights);

/// Tables that steps of one rank share.
struct RopeTable;
struct SharedTables {
    std::vector<std::shared_ptr<RopeTable>> rope;
};

/// Makes what the step's kernel needs besides its views (BoundStep::prepared). Returns the floats
/// of scratch space it wants at launch.
std::int64_t prepare_kernel(BoundStep& step, SharedTables& tables);

/// Runs a compute step. Requires kernel_refusal() empty and prepare_kernel() done; `scratch` is the
/// rank's own.
void run_kernel(const BoundStep& step, float* scratch);

}  // namespace tplan::cpu
