#include "cost_model/interval.h"

#include <cmath>

namespace tplan {

std::array<Seconds, 2> interval_around(Seconds time, Seconds half) {
    const bool wide = half.value > 0.5 * time.value;
    return {wide ? time * (0.25 * time.value / half.value) : time - half, time + half};
}

double KindSums::half_width(std::size_t kind) const {
    return std::sqrt(common[kind] * common[kind] + own[kind] + harness[kind] * harness[kind]);
}

std::array<Seconds, 2> KindSums::interval(Seconds sum) const {
    double above = 0, below = 0;
    for (std::size_t k = 0; k < seconds.size(); ++k) {
        if (seconds[k] <= 0) continue;
        const double half = half_width(k);
        const Seconds time(seconds[k]);
        const double down = (time - interval_around(time, Seconds(half))[0]).value;
        above += half * half;
        below += down * down;
    }
    return {sum - Seconds(std::sqrt(below)), sum + Seconds(std::sqrt(above))};
}

}  // namespace tplan
