#pragma once
#include <vector>

#include "app/run.h"

/// What a run of a training plan does otherwise than one of serving: its programs, and what is held
/// against what.

namespace tplan {

/// Throws Error for a plan whose step is more than its program runs once.
void require_one_batch(const PlanDocument& plan);

/// The plan's step of a model laid out for it.
Program training_program_of(const PlanDocument& plan, const Program& forward, int tp);

/// The gradients of a small copy's first step against the slopes of the scalar reference's loss.
NumericsCheck against_slopes(const Program& small, const Model& model, const Workload& workload,
                             const RunOptions& options);

/// After the first repetition of both: loss and gradients of the plan against those of one rank,
/// where there is one, and the update against the optimizer in doubles. Of several parameters the
/// worst is told.
std::vector<NumericsCheck> training_checks(const PlanDocument& plan, const Runner& runner,
                                           const Runner* one);

}  // namespace tplan
