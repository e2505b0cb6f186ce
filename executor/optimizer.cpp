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

}  // namespace tplan
