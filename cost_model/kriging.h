#pragma once
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "models/points.h"

/// Values between measured ones by kriging: the weights for which the expected squared error is
/// least when nearness correlates values.
/// Source: Matheron 1963; Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, 2.7.

namespace tplan {

/// How alike `count` measured points are, from 0 to 1 by one positive definite kernel.
struct Likeness {
    std::size_t count = 0;
    std::function<double(std::size_t, std::size_t)> between;  // two points
    std::function<double(std::size_t)> to;                    // a point and the place asked for
    double noise = 0.1;  // variance of a measurement over that of the values; more than 0
    /// Nothing: the mean of the values is unknown and the weights add up to 1. Else they correct
    /// this mean and add up to less where all points are far.
    std::optional<double> mean{};
};

/// The weight of each point. Cost: count^3 / 3.
std::vector<double> kriging_weights(const Likeness& likeness);

/// Mixes the values of the same points at many places of a curve or grid. At each place some points
/// may have none, and each is of data that lay in one residency. The weights are kept while both
/// stay the same.
class ResidualMixer {
  public:
    explicit ResidualMixer(Likeness likeness) : likeness_(std::move(likeness)) {}

    /// One value per point, or none; where each lay; where the one asked for lies. Nothing when no
    /// point has a value.
    std::optional<double> mix(std::span<const std::optional<double>> values,
                              std::span<const Residency> lie, Residency asked);

  private:
    Likeness likeness_;
    std::vector<std::size_t> members_;
    std::vector<Residency> places_;
    std::vector<double> weights_;
    Residency asked_ = Residency::cold;
};

}  // namespace tplan
