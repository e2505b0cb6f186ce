#pragma once
#include "app/figures/figure.h"

namespace tplan {

/// Every layer as a column: bytes that a rank holds of it, split and replicated, and below its
/// time, compute and communication. Ids "layer:<n>/..".
DisplayList overview(const Study& study, const FigureOptions& options, const TextMetrics& metrics);

}  // namespace tplan
