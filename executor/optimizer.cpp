#include "executor/optimizer.h"

#include <cassert>
#include <cmath>

namespace tplan {

std::vector<float> first_update(Optimizer optimizer, const std::vector<float>& value,
                                const std::vector<float>& gradient) {
    assert(value.size() == gradient.size());
    const bool adamw = optimizer == Optimizer::adamw;
    std::vector<float> updated;
    updated.reserve(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) {
        const double w = value[i], g = gradient[i];
        const double moved = adamw ? w * (1 - kLearningRate * kWeightDecay) -
                                         kLearningRate * g / (std::abs(g) + kEpsilon)
                                   : w - kLearningRate * g;
        updated.push_back(static_cast<float>(moved));
    }
    return updated;
}

UpdateDistance update_distance(Optimizer optimizer, const std::vector<float>& before,
                               const std::vector<float>& gradient,
                               const std::vector<float>& after) {
    constexpr double kRounding = 1.0 / (1 << 22);  // some roundings of a float of 24 bits
    const auto expected = first_update(optimizer, before, gradient);
    double apart = 0, moved = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double off = std::abs(double{after[i]} - double{expected[i]});
        const double beyond = off - kRounding * std::abs(double{expected[i]});
        // Written so that what is not a number counts.
        apart += beyond <= 0 ? 0 : beyond * beyond;
        moved += std::pow(double{expected[i]} - double{before[i]}, 2);
    }
    return {std::sqrt(apart), std::sqrt(moved)};
}

}  // namespace tplan
