#pragma once
#include <cstdint>

#include "executor/bound_step.h"

namespace tplan::cpu {

/// Mixture of experts on one rank, in plain fp32 weights. The products run expert by expert over
/// the rows that chose it, so that a row costs top_k experts and not all of them.

/// Floats of scratch space a moe_router or moe_experts step needs.
std::int64_t experts_scratch(const BoundStep& step);

/// outputs[0] [rows, experts] = the weight of each expert in a row's sum (RoutingSpec), 0 for those
/// not chosen.
void run_router(const BoundStep& step, float* scratch);

/// outputs[0] [rows, hidden] = sum over the rank's experts of weight * down(act(gate) * up), added
/// in the order of the experts. weights: gate_up [experts * 2 ffn, hidden], down [experts * hidden,
/// ffn], their biases [experts, 2 ffn] and [experts, hidden] where there are some.
void run_experts(const BoundStep& step, float* scratch);

}  // namespace tplan::cpu
