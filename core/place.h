#pragma once
#include <cstddef>
#include <span>

namespace tplan {

/// Where a number lies among ascending ones: between `low` and the next, `share` of the way. At one
/// of them, and beyond the first and the last, the share is 0.
struct Place {
    std::size_t low = 0;
    double share = 0;

    /// The straight line between the values that belong to the two.
    double in(std::span<const double> values) const {
        return share == 0 ? values[low] : values[low] + share * (values[low + 1] - values[low]);
    }
};

/// Precondition: `ascending` is not empty.
Place place_of(std::span<const double> ascending, double x);

}  // namespace tplan
