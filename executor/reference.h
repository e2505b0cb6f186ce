#pragma once
#include <cstdint>
#include <vector>

#include "executor/execute.h"
#include "executor/weights.h"
#include "models/graph.h"

namespace tplan {

/// The model on one rank in the plainest way: op by op over its graph, loops of doubles, no
/// program, no kernels. Slow (a small model, some hundred tokens); what the kernels and every
/// sharding are held against.
///
/// Weights as WeightSource gives them; `tokens` one per row, empty: synthetic_tokens(seed). A
/// decode step reads the same synthetic cache as the executor.
Outputs run_reference(const Model& model, const Workload& workload, const WeightSource& weights,
                      const std::vector<std::int32_t>& tokens, std::uint64_t seed);

/// The mean cross entropy of every token with the one that follows it in its sequence, in doubles.
/// The model must put every position through the head (training_model()), `workload` have at least
/// two tokens a sequence. Parameters as run_reference().
double reference_loss(const Model& model, const Workload& workload, const WeightSource& weights,
                      const std::vector<std::int32_t>& tokens, std::uint64_t seed);

}  // namespace tplan
