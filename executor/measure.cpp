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

Seconds clean_mean(std::span<const TimedSample> samples) {
    const bool any_clean = std::ranges::any_of(samples, &TimedSample::clean);
    Seconds sum;
    int count = 0;
    for (const auto& sample : samples) {
        if (any_clean && !sample.clean) continue;
        sum += sample.time;
        ++count;
    }
    return count > 0 ? sum / count : sum;
}

double clean_fraction(std::span<const TimedSample> samples) {
    if (samples.empty()) return 0;
    const auto clean = std::ranges::count_if(samples, &TimedSample::clean);
    return static_cast<double>(clean) / static_cast<double>(samples.size());
}

}  // namespace tplan
