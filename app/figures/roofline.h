#pragma once
#include "app/figures/figure.h"

namespace tplan {

/// Achieved arithmetic over intensity of every kind of compute step, under the roofs of the device.
/// Ids "roof:<step>".
DisplayList roofline_chart(const Study& study, const FigureOptions& options,
                           const TextMetrics& metrics);

}  // namespace tplan
