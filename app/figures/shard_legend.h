#pragma once
#include "app/figures/layer_flow.h"

#include "app/figures/display_list.h"

namespace tplan {

/// Chips for the ranks, the patterns that the section has, and which way up the weights are, in
/// lines of at most `width` em from `top` on. Returns the height.
double draw_shard_legend(DisplayList& list, const TextMetrics& metrics, const FlowSection& section,
                         int tp, double width, double top);

}  // namespace tplan
