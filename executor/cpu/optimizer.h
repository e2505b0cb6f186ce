#pragma once
#include <memory>

#include "executor/bound_step.h"

namespace tplan::cpu {

/// Updates so far: the corrections of AdamW's moments depend on it.
std::shared_ptr<void> prepare_update();

/// Moves every parameter of the step, as executor/optimizer.h says; `step.prepared` is
/// prepare_update()'s.
void run_update(const BoundStep& step);

}  // namespace tplan::cpu
