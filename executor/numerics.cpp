#include "executor/numerics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/text.h"

namespace tplan {

Deviation deviation(const Outputs& got, const Outputs& reference) {
    if (got.rows != reference.rows || got.width != reference.width) {
        throw Error("numerics", fmt::format("[{}, {}] compared with [{}, {}]", got.rows, got.width,
                                            reference.rows, reference.width));
    }
    Deviation result;
    double largest = 0;
    for (std::size_t i = 0; i < got.values.size(); ++i) {
        const double a = got.values[i], b = reference.values[i];
        result.finite = result.finite && std::isfinite(a) && std::isfinite(b);
        result.max_abs = std::max(result.max_abs, std::abs(a - b));
        largest = std::max(largest, std::abs(b));
    }
    // Another token is as wrong as a logit can be, unless its logit is the same but for rounding.
    const bool exact = !got.rounded && !reference.rounded;
    if (reference.chosen && exact && got.greedy != reference.greedy)
        result.max_abs = std::max(result.max_abs, largest);
    if (!result.finite) {
        result.max_abs = result.max_rel = std::numeric_limits<double>::infinity();
    } else if (result.max_abs > 0) {
        result.max_rel =
            largest > 0 ? result.max_abs / largest : std::numeric_limits<double>::infinity();
    }
    return result;
}

}  // namespace tplan
