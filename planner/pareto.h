#pragma once
#include <vector>

#include "planner/decision.h"

namespace tplan {

/// Tokens/s of a user against tokens/s of a GPU over degrees and batches (powers of two as far as
/// memory goes): the points that no other beats in both, fastest for the user first.
std::vector<ParetoPoint> pareto(const LoweredDegrees& degrees, const Circumstances& around);

/// Dollars per million tokens at this rate of a GPU; null where the profile has no price.
Nullable<double> usd_per_million_tokens(const HardwareProfile& hardware,
                                        double tokens_per_s_per_gpu);

}  // namespace tplan
