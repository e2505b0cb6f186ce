#pragma once
#include "cost_model/estimate.h"
#include "cost_model/train_memory.h"

namespace tplan {

/// Where a training step spends its time; all micro-batches together.
struct TrainingParts {
    Seconds forward, loss, backward, update;  // with the collectives of TP, without parameters'
    Seconds parameters, exposed_parameters;   // gathers and reductions of parameters and gradients
    static void fields(auto& self, auto&& field) {
        field("forward_s", self.forward);
        field("loss_s", self.loss);
        field("backward_s", self.backward);
        field("update_s", self.update);
        field("parameter_collectives_s", self.parameters);
        field("exposed_parameter_collectives_s", self.exposed_parameters);
    }
    bool operator==(const TrainingParts&) const = default;
};

struct TrainingPrice {
    Totals totals;  // of the step: every micro-batch, the update once; tokens/s of all replicas
    TrainingParts parts;
};

/// Prices a compiled training_program(). TP's collectives stand in the way of what follows them;
/// those of parameters run beside the compute of the same layer and are exposed where they take
/// longer, besides the first gather and the last reduction of a micro-batch. The interval's upper
/// end stands for what the sum of kernels leaves out: derivation.md, section 8.
TrainingPrice price_training(const CompiledProgram& program, const TrainingMemory& memory,
                             const Training& training, const Workload& workload);

}  // namespace tplan
