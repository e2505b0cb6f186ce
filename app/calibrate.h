#pragma once
#include <stop_token>
#include <string>

#include "app/run.h"
#include "cost_model/hardware.h"

namespace tplan {

struct CalibrateRequest {
    std::string backend = "cpu";
    bool quick = false;  // fewer points and rounds
    Progress progress;
    std::stop_token stop;
};

/// Measures this machine into a profile: products, attention, passes over memory, collectives,
/// streaming; on one rank and on all. Throws Error for a backend that is not there and when
/// stopped.
HardwareProfile calibrate(const CalibrateRequest& request);

/// Writes the profile to where `this` finds it, one per backend, and returns that path. Throws
/// Error when it cannot be written.
std::string keep_profile(const HardwareProfile& profile);

}  // namespace tplan
