#pragma once
#include "cost_model/estimate.h"
#include "models/training.h"

/// Memory of the fullest rank in training. All that grows with the micro-batch grows with its
/// tokens. Derivation: cost_model/derivation.md, section 8.

namespace tplan {

struct TrainingMemory {
    double weights = 0, gradients = 0, optimizer = 0;        // bytes
    double communication = 0, workspace = 0, capacity = 0;   // bytes
    double activations_per_token = 0, logits_per_token = 0;  // bytes
    std::int64_t max_positions = 0;                          // of the model; 0: not said

    double fixed() const { return weights + gradients + optimizer + communication + workspace; }
    double per_token() const { return activations_per_token + logits_per_token; }
};

/// The terms of a training program (training_program()). Parameters, gradients and optimizer state
/// are cut by TP and over the shards of the mesh; with shards, weights are what is gathered at a
/// time. Whatever the program's backward sections read that they do not make themselves has been
/// kept from the forward pass.
TrainingMemory training_memory(const Program& program, const Training& training,
                               const HardwareProfile& hardware, const CostOptions& options);

/// The terms at one micro-batch, with the largest micro-batch and sequence that fit.
MemoryUse memory_use(const TrainingMemory& terms, const Workload& workload);

}  // namespace tplan
