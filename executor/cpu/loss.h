#pragma once
#include "executor/bound_step.h"

namespace tplan::cpu {

/// A pass over the logits: cross entropy and its gradient, as LossPart says. The label of a token
/// is the token that follows it in its sequence; the last has none, no loss and no gradient. The
/// loss is the mean over the labels. `columns` of the step are those of the vocabulary that the
/// rank holds.
void run_loss(const BoundStep& step);

}  // namespace tplan::cpu
