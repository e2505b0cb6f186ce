#pragma once
#include <string>
#include <vector>

#include "cost_model/estimate.h"

namespace tplan {

/// The assumed figures of the profile that the price of this program rests on: those of the link it
/// runs over, of the dtypes it multiplies in, of the kinds of ops it has. Keys as in figure_keys().
std::vector<std::string> assumptions_of(const Program& program, const HardwareProfile& hardware,
                                        const CostOptions& cost, const Workload& workload,
                                        const std::string& link);

}  // namespace tplan
