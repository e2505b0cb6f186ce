#pragma once
#include <cstddef>
#include <functional>
#include <vector>

namespace tplan {

/// Ordinary kriging: how much each of `count` measured points counts for a point asked for, so that
/// the expected squared error is least when nearness correlates values. The weights add up to 1.
/// `between(i, j)` is the correlation of points i and j, `to(i)` that of point i with the one asked
/// for; both from 0 to 1 and of one positive definite kernel. `noise` is the variance of a
/// measurement over that of the values, more than 0. Cost: count^3 / 3.
/// Source: Matheron 1963; Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, 2.7.
std::vector<double> kriging_weights(std::size_t count,
                                    const std::function<double(std::size_t, std::size_t)>& between,
                                    const std::function<double(std::size_t)>& to, double noise);

}  // namespace tplan
