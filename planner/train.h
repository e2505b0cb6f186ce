#pragma once
#include <string>

#include "models/program.h"
#include "planner/plan.h"

/// A training step as a program: the forward program of every token, the loss, the same sections
/// backwards, and the optimizer. It is symbolic in the micro-batch as any program is.

namespace tplan {

/// The model with every position going through the head, as the loss wants it.
Model training_model(Model model);

/// Why a program cannot be trained: quantised weights, copies of KV heads, a table cut in two ways.
/// Empty: it can.
std::string training_fault(const Program& forward);

/// Derives the whole step from a forward program of training_model(). `kernels` says who runs it:
/// hf gathers the logits and reduces the gradient of the input after every module, as transformers'
/// hooks do; served is the fused layout, with the vocabulary-parallel loss of Megatron.
///
/// Sections: those of the forward pass, each value in a buffer of its own; "loss"; "<name>
/// backward" for each; where gradients are reduced once a step "gradients"; "update". `order` runs
/// one micro-batch and then the update. Parameters are gathered and their gradients reduced over
/// the mesh where it has shards or replicas.
/// Requires that training_fault() finds nothing.
Program training_program(const Program& forward, const Training& training, Kernels kernels);

/// What the update of a training program reads and writes on the fullest rank: of the layers in its
/// order.
double updated_bytes(const Program& program, Optimizer optimizer);

/// Local elements of a tensor on the fullest rank.
double local_elements(const ShardedTensor& tensor);

}  // namespace tplan
