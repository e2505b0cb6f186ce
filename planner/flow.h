#pragma once
#include <span>
#include <vector>

#include "models/graph.h"
#include "models/layout.h"
#include "planner/plan.h"

/// Which layouts an op takes and leaves: the rules by which layouts flow through a block.

namespace tplan {

/// The layouts of `op` when its inputs stand as `current`. `cuts` are those of the block's tensors.
/// An op with cut weights dictates its inputs; any other follows the split of its inputs where the
/// ranks can work on their own columns, and asks for replicated inputs where they cannot.
OpFlow flow(const Block& block, const Op& op, std::span<const Layout> current,
            std::span<const TensorPlan> cuts);

}  // namespace tplan
