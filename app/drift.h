#pragma once
#include <vector>

#include "cost_model/hardware.h"
#include "executor/probe.h"

/// Has the machine changed since its profile was measured? A run revisits a few of its points.

namespace tplan {

/// A point of the profile and what it cost when it was calibrated.
struct DriftPoint {
    Probe probe;
    Seconds then;
};

/// A few of the profile's points at `ranks` ranks, spread over its tables: always the same ones.
/// None for a profile that was not calibrated on a CPU.
std::vector<DriftPoint> drift_points(const HardwareProfile& hardware, int ranks);

}  // namespace tplan
