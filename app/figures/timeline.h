#pragma once
#include "app/figures/figure.h"

namespace tplan {

/// One layer's steps in time: a lane for compute and one for communication, all ranks alike; of a
/// validated plan the measured steps below, waiting for other ranks dotted. Ids "t:<step>" and
/// "m:<step>".
DisplayList timeline(const Study& study, const FigureOptions& options, const TextMetrics& metrics);

}  // namespace tplan
