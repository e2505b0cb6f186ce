#pragma once
#include "app/figures/figure.h"

namespace tplan {

/// The GPUs of the node and what joins them, the ranks of the plan coloured. Ids "gpu:<n>" and
/// "link:..".
DisplayList interconnect(const Study& study, const FigureOptions& options,
                         const TextMetrics& metrics);

}  // namespace tplan
