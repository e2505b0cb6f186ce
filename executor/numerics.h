#pragma once
#include "executor/execute.h"

namespace tplan {

/// How far one result lies from another.
struct Deviation {
    double max_abs = 0;
    double max_rel = 0;  // max_abs relative to the largest |reference|
    bool finite = true;  // neither holds NaN or infinity; where not, both differences are infinite
    bool within(double tolerance) const { return finite && max_rel <= tolerance; }
};

/// Compares element by element. Throws Error when the shapes differ.
Deviation deviation(const Outputs& got, const Outputs& reference);

/// Tolerances for max_rel. Sums in another order differ by some units of 2^-24 per layer; bf16
/// weights are equal for all degrees, but their products' inputs are rounded to 8 bits.
constexpr double kToleranceFp32 = 1e-5;
constexpr double kToleranceBf16 = 2e-2;

/// For what a training step leaves, relative to its length in the Euclidean norm: gradients of
/// fp32 sums in another order, and of differences of the reference's loss.
constexpr double kToleranceGradient = 1e-4;

}  // namespace tplan
