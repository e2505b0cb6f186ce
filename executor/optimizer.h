#pragma once
#include <vector>

#include "models/training.h"

/// What an update does to a parameter.

namespace tplan {

/// What torch.optim.AdamW takes when nothing is said, and torch.optim.SGD's learning rate.
constexpr double kLearningRate = 1e-3, kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8,
                 kWeightDecay = 1e-2;

/// The parameter after its first update, in doubles: w - rate * g, or AdamW's (Loshchilov & Hutter,
/// 2019): decayed, then less rate * m / (sqrt(v) + epsilon) with corrected moments, which after one
/// step are g and g^2. What kernels are held against. Requires equal sizes.
std::vector<float> first_update(Optimizer optimizer, const std::vector<float>& value,
                                const std::vector<float>& gradient);

/// How far updated parameters lie from first_update() beyond what rounding to floats explains, and
/// how far that moves them, in the Euclidean norm. Requires equal sizes.
struct UpdateDistance {
    double apart = 0, moved = 0;
};
UpdateDistance update_distance(Optimizer optimizer, const std::vector<float>& before,
                               const std::vector<float>& gradient, const std::vector<float>& after);

}  // namespace tplan
