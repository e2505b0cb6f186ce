// Loops over one row. Part of a set (set.h).
#pragma once
namespace tplan::cpu::TPLAN_SIMD {

using Row = Eigen::Map<Eigen::ArrayXf>;
using ConstRow = Eigen::Map<const Eigen::ArrayXf>;

// One register, as wide as this set has.
#ifdef __AVX__
constexpr std::int64_t kLanes = 8;
#else
constexpr std::int64_t kLanes = 4;
#endif
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));

/// One move instruction each; no alignment needed.
inline void load(Lanes& to, const float* from) {
    std::memcpy(&to, from, sizeof to);
}
inline void store(float* to, const Lanes& from) {
    std::memcpy(to, &from, sizeof from);
}

inline void sum(const float* const* from, int sources, float* const* to, int targets,
                std::int64_t n) {
    constexpr std::int64_t kAhead = 512;  // floats; the lines come from another processor's cache
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        Lanes low, high, next;
        load(low, from[0] + i);
        load(high, from[0] + i + kLanes);
        __builtin_prefetch(from[0] + i + kAhead);
        for (int s = 1; s < sources; ++s) {
            __builtin_prefetch(from[s] + i + kAhead);
            load(next, from[s] + i);
            low += next;
            load(next, from[s] + i + kLanes);
            high += next;
        }
        for (int t = 0; t < targets; ++t) {
            store(to[t] + i, low);
            store(to[t] + i + kLanes, high);
        }
    }
    for (; i < n; ++i) {
        float total = from[0][i];
        for (int s = 1; s < sources; ++s) total += from[s][i];
        for (int t = 0; t < targets; ++t) to[t][i] = total;
    }
}

inline void scale_and_shift(const NormCall& call, Row y) {
    const auto n = y.size();
    if (call.weight != nullptr) {
        if (call.unit_offset) {
            y *= 1.0F + ConstRow(call.weight, n);
        } else {
            y *= ConstRow(call.weight, n);
        }
    }
    if (call.bias != nullptr) y += ConstRow(call.bias, n);
}

inline void rms_norm(const NormCall& call, const float* x, float* y, std::int64_t n) {
    const ConstRow in(x, n);
    const float factor = 1.0F / std::sqrt(in.square().mean() + call.eps);
    Row(y, n) = in * factor;
    scale_and_shift(call, Row(y, n));
}

inline void layer_norm(const NormCall& call, const float* x, float* y, std::int64_t n) {
    const ConstRow in(x, n);
    const float mean = in.mean();
    const float variance = (in - mean).square().mean();
    Row(y, n) = (in - mean) * (1.0F / std::sqrt(variance + call.eps));
    scale_and_shift(call, Row(y, n));
}

inline void add(const float* a, const float* b, float factor, float* y, std::int64_t n) {
    if (factor == 1.0F) {
        Row(y, n) = ConstRow(a, n) + ConstRow(b, n);
    } else {
        Row(y, n) = ConstRow(a, n) + factor * ConstRow(b, n);
    }
}

inline void multiply(const float* x, float factor, float* y, std::int64_t n) {
    Row(y, n) = ConstRow(x, n) * factor;
}

inline void softcap(const float* x, float factor, float cap, float* y, std::int64_t n) {
    Row(y, n) = cap * (ConstRow(x, n) * (factor / cap)).tanh();
}

/// erf(z) for z >= 0 by formula 7.1.26 of Abramowitz and Stegun, |error| < 1.5e-7.
template <class Array>
Array error_function(const Array& z) {
    const Array t = (1.0F + 0.3275911F * z).inverse();
    const Array polynomial =
        ((((1.061405429F * t - 1.453152027F) * t + 1.421413741F) * t - 0.284496736F) * t +
         0.254829592F) *
        t;
    return 1.0F - polynomial * (-z.square()).exp();
}

template <class Array>
auto activated(ActivationKind kind, const Array& x) {
    using Result = Eigen::Array<float, Eigen::Dynamic, 1, Eigen::ColMajor, 256, 1>;
    switch (kind) {
        case ActivationKind::silu:
            return Result(x / (1.0F + (-x).exp()));
        case ActivationKind::gelu:
            // x erf(x / sqrt 2) = |x| erf(|x| / sqrt 2): no sign to take
            return Result(0.5F * (x + x.abs() * error_function(Result(x.abs() * 0.70710678F))));
        case ActivationKind::gelu_tanh:
            return Result(0.5F * x *
                          (1.0F + (0.79788456F * (x + 0.044715F * x * x.square())).tanh()));
        case ActivationKind::relu:
        case ActivationKind::clamped_swiglu:  // refused before it comes here
            break;
    }
    return Result(x.max(0.0F));
}

inline void activate(ActivationKind kind, const float* gate, const float* up, float* y,
                     std::int64_t n) {
    constexpr std::int64_t kBlock = 256;  // temporaries stay in the first-level cache
    for (std::int64_t at = 0; at < n; at += kBlock) {
        const auto size = std::min(kBlock, n - at);
        const auto result = activated(kind, ConstRow(gate + at, size));
        if (up == nullptr) {
            Row(y + at, size) = result;
        } else {
            Row(y + at, size) = result * ConstRow(up + at, size);
        }
    }
}

inline void rope(const float* x, const float* cosine, const float* sine, float* y,
                 std::int64_t pairs, bool interleaved) {
    const std::int64_t step = interleaved ? 2 : 1;
    const std::int64_t other = interleaved ? 1 : pairs;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < pairs; ++i) {
        const float a = x[i * step];
        const float b = x[i * step + other];
        y[i * step] = a * cosine[i] - b * sine[i];
        y[i * step + other] = b * cosine[i] + a * sine[i];
    }
}

}  // namespace tplan::cpu::TPLAN_SIMD
