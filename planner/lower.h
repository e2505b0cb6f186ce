#pragma once
#include "models/program.h"
#include "planner/plan.h"

namespace tplan {

/// Lowers a planned model to one SPMD program. Layouts flow through each block; wherever an op
/// needs another layout than its input has, reshard() names the collective. `plan.options.kernels`
/// == served fuses q/k/v and gate/up into one linear where they share input and style, and a
/// residual addition with the norm that follows it (also across the layer boundary); hf keeps one
/// step per module. Activations and unquantised weights take `dtype`.
Program lower(const Model& model, const Plan& plan, DType dtype);

}  // namespace tplan
