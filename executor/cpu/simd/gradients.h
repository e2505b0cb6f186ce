// Loops of the backward pass over one row, and of the optimizer. Part of a set (set.h).
#pragma once
#include "executor/cpu/simd/linear.h"
#include "executor/cpu/simd/rows.h"
namespace tplan::cpu::TPLAN_SIMD {

using RowBlock = Eigen::Array<float, Eigen::Dynamic, 1, Eigen::ColMajor, 256, 1>;
constexpr std::int64_t kBlockSize = 256;  // temporaries stay in the first-level cache

/// c (+)= a b with a and b as their flags say.
inline void product(const ProductCall& p) {
    auto c = view(p.c, p.m, p.n, p.c_stride);
    const auto a = view(p.a, p.a_transposed ? p.k : p.m, p.a_transposed ? p.m : p.k, p.a_stride);
    const auto b = view(p.b, p.b_transposed ? p.n : p.k, p.b_transposed ? p.k : p.n, p.b_stride);
    if (!p.accumulate) c.setZero();
    if (p.a_transposed && p.b_transposed) {
        c.noalias() += a.transpose() * b.transpose();
    } else if (p.a_transposed) {
        c.noalias() += a.transpose() * b;
    } else if (p.b_transposed) {
        c.noalias() += a * b.transpose();
    } else {
        c.noalias() += a * b;
    }
}

/// The weight as the norm multiplies by it.
template <class Array>
void times_weight(const NormCall& call, Array& g, std::int64_t n) {
    if (call.weight == nullptr) return;
    if (call.unit_offset) {
        g *= 1.0F + ConstRow(call.weight, n);
    } else {
        g *= ConstRow(call.weight, n);
    }
}

/// With x' = (x - mean) r the normed row and g = dy * weight:
/// dx = r (g - mean(g) - x' mean(g x')), without means of x and g for an RMS norm.
inline void norm_gradient(const NormCall& call, bool layer, const NormGradients& to, const float* x,
                          const float* dy, float* dx, std::int64_t n) {
    const ConstRow in(x, n), out(dy, n);
    const float mean = layer ? in.mean() : 0.0F;
    const float r = 1.0F / std::sqrt((in - mean).square().mean() + call.eps);
    if (to.weight != nullptr) Row(to.weight, n) += out * (in - mean) * r;
    if (to.bias != nullptr) Row(to.bias, n) += out;
    Row g(to.scratch, n);
    g = out;
    times_weight(call, g, n);
    const float along = (g * (in - mean)).mean() * r;
    const float level = layer ? g.mean() : 0.0F;
    if (to.add != nullptr) {
        Row(dx, n) = ConstRow(to.add, n) + r * (g - level - (in - mean) * (r * along));
    } else {
        Row(dx, n) = r * (g - level - (in - mean) * (r * along));
    }
}

/// The activation's derivative.
template <class Array>
RowBlock slope(ActivationKind kind, const Array& x) {
    switch (kind) {
        case ActivationKind::silu: {
            const RowBlock s = 1.0F / (1.0F + (-x).exp());
            return s * (1.0F + x * (1.0F - s));
        }
        case ActivationKind::gelu: {
            // Phi(x) + x phi(x); Phi(x) = (1 + sign(x) erf(|x| / sqrt 2)) / 2
            const RowBlock erf = error_function(RowBlock(x.abs() * 0.70710678F));
            const RowBlock signed_erf = (x < 0.0F).select(-erf, erf);
            return 0.5F * (1.0F + signed_erf) + x * 0.39894228F * (-0.5F * x.square()).exp();
        }
        case ActivationKind::gelu_tanh: {
            const RowBlock t = (0.79788456F * (x + 0.044715F * x * x.square())).tanh();
            return 0.5F * (1.0F + t) +
                   0.5F * x * (1.0F - t.square()) * 0.79788456F * (1.0F + 0.134145F * x.square());
        }
        case ActivationKind::relu:
        case ActivationKind::clamped_swiglu:  // refused before it comes here
            break;
    }
    return (x > 0.0F).select(RowBlock::Ones(x.size()), RowBlock::Zero(x.size()));
}

inline void activate_gradient(ActivationKind kind, const float* gate, const float* up,
                              const float* dy, float* dgate, float* dup, std::int64_t n) {
    for (std::int64_t at = 0; at < n; at += kBlockSize) {
        const auto size = std::min(kBlockSize, n - at);
        const RowBlock x = ConstRow(gate + at, size), g = ConstRow(dy + at, size);
        if (up == nullptr) {
            Row(dgate + at, size) = g * slope(kind, x);
            continue;
        }
        Row(dup + at, size) = g * RowBlock(activated(kind, x));
        Row(dgate + at, size) = g * ConstRow(up + at, size) * slope(kind, x);
    }
}

inline void softcap_gradient(const float* x, const float* dy, float factor, float cap, float* dx,
                             std::int64_t n) {
    Row(dx, n) =
        ConstRow(dy, n) * factor * (1.0F - (ConstRow(x, n) * (factor / cap)).tanh().square());
}

inline float largest(const float* x, std::int64_t n) {
    return ConstRow(x, n).maxCoeff();
}

inline double exponentials(const float* x, float top, float* y, std::int64_t n) {
    double sum = 0;
    for (std::int64_t at = 0; at < n; at += kBlockSize) {
        const auto size = std::min(kBlockSize, n - at);
        Row(y + at, size) = (ConstRow(x + at, size) - top).exp();
        sum += double{Row(y + at, size).sum()};
    }
    return sum;
}

inline void adamw(const AdamWCall& c, const float* g, float* w, float* mean, float* variance,
                  std::int64_t n) {
    for (std::int64_t at = 0; at < n; at += kBlockSize) {
        const auto size = std::min(kBlockSize, n - at);
        const ConstRow gradient(g + at, size);
        Row m(mean + at, size), v(variance + at, size), weight(w + at, size);
        m = c.beta1 * m + (1.0F - c.beta1) * gradient;
        v = c.beta2 * v + (1.0F - c.beta2) * gradient.square();
        weight =
            weight * c.decay - c.rate * m / (v.sqrt() * c.inverse_root_correction2 + c.epsilon);
    }
}

}  // namespace tplan::cpu::TPLAN_SIMD
