#pragma once
#include <memory>
#include <string>

#include "executor/backend.h"

namespace tplan::cpu {

/// Matrix products of a rank. Which engine runs a shape, and in which form it wants the weights, is
/// decided here: one row of fp32 goes to Eigen's matrix-vector
/// product, which streams plain weights at memory speed; everything else to oneDNN with weights
/// packed once, or to Eigen where oneDNN is not built in.
struct LinearWeights;

/// Why no engine runs linears with weights of this type; empty when one does.
std::string linear_refusal(DType weights);

/// Name and version of the engine that runs `shape`, for reports.
std::string linear_engine(const LinearShape& shape);

/// See Backend::packed_bytes.
double linear_packed_bytes(const LinearShape& shape);

/// See Backend::pack.
PackedWeights pack_linear(const LinearShape& shape, const Matrix& plain,
                          std::shared_ptr<void> owner);

/// Makes what a linear step needs; the result goes to BoundStep::prepared. The step's views must
/// stay where they are.
std::shared_ptr<void> prepare_linear(const BoundStep& step);

/// outputs[0].. = inputs[0] W^T + bias, all outputs lying side by side in one allocation.
void run_linear(const BoundStep& step);

/// Called once on each rank's thread: a rank is one thread, whatever a library would start.
void use_one_thread();

}  // namespace tplan::cpu
