#pragma once
#include <array>

#include "core/units.h"
#include "cost_model/op_cost.h"

/// The 90 % interval of a time and of a sum of times.

namespace tplan {

/// The 90 % interval of a time: `half` to each side, but never at or below zero. Where half is more
/// than half the time, the lower end is time^2 / (4 half), which goes on from there without a kink:
/// an error by a factor is as likely down as up. Precondition: half >= 0.
std::array<Seconds, 2> interval_around(Seconds time, Seconds half);

/// How the error of an op goes together with those of the other ops of its kind in a step.
struct SharedError {
    double common = 1;   // correlation with what all of them err by; the rest is this shape's own
    double harness = 0;  // half width, as a fraction of the time, of a common error besides
    bool operator==(const SharedError&) const = default;
};

/// Times of many ops by their kind, with half widths. Of errors of one kind, what is common adds
/// and what is each shape's own adds in squares; those of different kinds add in squares, each end
/// for itself. Derivation: cost_model/derivation.md, section 6.
struct KindSums {
    static constexpr std::size_t kKinds = enum_names(CostKind{}).size();
    std::array<double, kKinds> seconds{};
    std::array<double, kKinds> common{}, harness{};  // sums of half widths in seconds
    std::array<double, kKinds> own{};                // sum of squared half widths

    /// One op, or several of one shape. `fraction` of the time is its half width.
    void add(CostKind kind, double time, double fraction, const SharedError& shared = {}) {
        const auto k = static_cast<std::size_t>(kind);
        const double half = time * fraction;
        seconds[k] += time;
        common[k] += shared.common * half;
        own[k] += (1 - shared.common * shared.common) * half * half;
        harness[k] += time * shared.harness;
    }
    /// Half width of all times of a kind, in seconds.
    double half_width(std::size_t kind) const;
    /// Half width of a kind as a fraction of its time; 0 where it takes none.
    double fraction(std::size_t kind) const {
        return seconds[kind] > 0 ? half_width(kind) / seconds[kind] : 0;
    }
    /// The interval of all that was added, around the caller's own sum of it.
    std::array<Seconds, 2> interval(Seconds sum) const;
};

}  // namespace tplan
