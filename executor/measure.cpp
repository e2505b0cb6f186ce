#include "executor/measure.h"

#include <algorithm>
#include <vector>

#include "core/statistics.h"

namespace tplan {

Spread spread_of(std::span<const TimedSample> samples) {
    std::vector<double> clean, all;
    for (const auto& sample : samples) {
        all.push_back(sample.time.value);
        if (sample.clean) clean.push_back(sample.time.value);
    }
    const auto& times = clean.size() >= 2 ? clean : all;
    return {Seconds(quantile(times, 0.5)), Seconds(quantile(times, 0.1)),
            Seconds(quantile(times, 0.9))};
}

double clean_fraction(std::span<const TimedSample> samples) {
    if (samples.empty()) return 0;
    const auto clean = std::ranges::count_if(samples, &TimedSample::clean);
    return static_cast<double>(clean) / static_cast<double>(samples.size());
}

}  // namespace tplan
