#include "executor/cpu/optimizer.h"

#include <cmath>

#include "executor/cpu/simd.h"
#include "executor/optimizer.h"

namespace tplan::cpu {
namespace {

struct Updates {
    int count = 0;
};

AdamWCall adamw_call(int count) {
    AdamWCall call;
    call.beta1 = static_cast<float>(kBeta1);
    call.beta2 = static_cast<float>(kBeta2);
    call.epsilon = static_cast<float>(kEpsilon);
    call.decay = static_cast<float>(1 - kLearningRate * kWeightDecay);
    call.rate = static_cast<float>(kLearningRate / (1 - std::pow(kBeta1, count)));
    call.inverse_root_correction2 = static_cast<float>(1 / std::sqrt(1 - std::pow(kBeta2, count)));
    return call;
}

}  // namespace

std::shared_ptr<void> prepare_update() {
    return std::make_shared<Updates>();
}

void run_update(const BoundStep& step) {
    const int count = ++static_cast<Updates*>(step.prepared.get())->count;
    const auto call = adamw_call(count);
    const bool adamw = step.step->optimizer == Optimizer::adamw;
    for (const auto& weight : step.trained) {
        const auto n = weight.value.elements();  // dense, as the parameters were allocated
        if (adamw) {
            simd().adamw(call, weight.gradient.f32(), weight.value.f32(), weight.mean.f32(),
                         weight.variance.f32(), n);
        } else {
            simd().add(weight.value.f32(), weight.gradient.f32(),
                       -static_cast<float>(kLearningRate), weight.value.f32(), n);
        }
    }
}

}  // namespace tplan::cpu
