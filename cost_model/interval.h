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

/// Times of many ops by their kind, with half widths. Errors of one kind are correlated, so its
/// half widths add; those of different kinds add in squares, each end for itself.
struct KindSums {
    std::array<double, enum_names(CostKind{}).size()> seconds{}, half_width{};  // both in seconds

    /// `fraction` of the time is its half width.
    void add(CostKind kind, double time, double fraction) {
        seconds[static_cast<std::size_t>(kind)] += time;
        half_width[static_cast<std::size_t>(kind)] += time * fraction;
    }
    /// The interval of all that was added, around the caller's own sum of it.
    std::array<Seconds, 2> interval(Seconds sum) const;
};

}  // namespace tplan
