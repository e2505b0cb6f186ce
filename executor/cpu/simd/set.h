// One set of loops; included once by each file of this folder that defines TPLAN_SIMD.
#ifndef TPLAN_SIMD
#error "define TPLAN_SIMD as the namespace of the set"
#endif

#define EIGEN_DONT_PARALLELIZE  // a rank is one thread

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "executor/cpu/simd.h"

#define TPLAN_SIMD_TEXT_(x) #x
#define TPLAN_SIMD_TEXT(x) TPLAN_SIMD_TEXT_(x)

#include "executor/cpu/simd/attention.h"
#include "executor/cpu/simd/attention_gradient.h"
#include "executor/cpu/simd/gradients.h"
#include "executor/cpu/simd/linear.h"
#include "executor/cpu/simd/rows.h"

namespace tplan::cpu::TPLAN_SIMD {

const Simd& simd_set();
const Simd& simd_set() {
    static constexpr Simd kSet = {
        .name = TPLAN_SIMD_TEXT(TPLAN_SIMD),
        .gemm = gemm,
        .gemv = gemv,
        .sum = sum,
        .rms_norm = rms_norm,
        .layer_norm = layer_norm,
        .add = add,
        .multiply = multiply,
        .softcap = softcap,
        .activate = activate,
        .rope = rope,
        .attention = attention,
        .product = product,
        .norm_gradient = norm_gradient,
        .activate_gradient = activate_gradient,
        .softcap_gradient = softcap_gradient,
        .largest = largest,
        .exponentials = exponentials,
        .attention_gradient = attention_gradient,
        .adamw = adamw,
    };
    return kSet;
}

}  // namespace tplan::cpu::TPLAN_SIMD
