#pragma once
#include <vector>

namespace tplan {

/// Value at quantile `q` in [0, 1] of numbers in any order, by straight line between neighbours; 0
/// for none.
double quantile(std::vector<double> values, double q);

}  // namespace tplan
