#pragma once
#include "planner/document.h"

/// A plan cut short, for runs of fewer layers than it has.

namespace tplan {

/// The plan cut to its first `layers` layers (embedding and head stay), priced anew; the document
/// itself when it has no more than that.
Estimate estimate_of_layers(const PlanDocument& plan, int layers);

/// The program cut in the same way: steps of later layers are not run.
Program first_layers(const Program& program, int layers);

}  // namespace tplan
