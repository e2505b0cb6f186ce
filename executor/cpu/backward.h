#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "executor/bound_step.h"

/// Kernels of the backward pass, of the loss and of the optimizer; plain fp32.

namespace tplan::cpu {

/// Whether a step has a kernel here and not among those of the forward pass: steps that go
/// backwards, and linears whose weights are trained.
bool is_training_step(const BoundStep& step);

/// Why a step of a training program has no kernel; empty when it has one.
std::string backward_refusal(const Step& step);

/// Makes what the step's kernel needs (BoundStep::prepared). Returns the floats of scratch space it
/// wants at launch. Requires is_training_step().
std::int64_t prepare_backward(BoundStep& step);

/// Requires prepare_backward() done.
void run_backward(const BoundStep& step, float* scratch);

}  // namespace tplan::cpu
