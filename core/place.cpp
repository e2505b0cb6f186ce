#include "core/place.h"

#include <algorithm>
#include <cassert>

namespace tplan {

Place place_of(std::span<const double> ascending, double x) {
    assert(!ascending.empty());
    const auto above = std::upper_bound(ascending.begin(), ascending.end(), x);
    if (above == ascending.begin()) return {};
    const auto low = static_cast<std::size_t>(above - ascending.begin()) - 1;
    if (above == ascending.end()) return {low, 0};
    return {low, (x - ascending[low]) / (*above - ascending[low])};
}

}  // namespace tplan
