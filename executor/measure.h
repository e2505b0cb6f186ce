#pragma once
#include <span>

#include "core/units.h"

/// Statistics of repeated timings on a machine that others use too. A sample is clean when no rank
/// was preempted during it; the clean median, pooled over interleaved rounds, predicts and is
/// predicted best (p10 as a cross-check).

namespace tplan {

/// One repetition.
struct TimedSample {
    Seconds time;
    bool clean = true;
    static void fields(auto& self, auto&& field) {
        field("time_s", self.time);
        field("clean", self.clean);
    }
    bool operator==(const TimedSample&) const = default;
};

/// Order statistics of clean samples.
struct Spread {
    Seconds median, p10, p90;
    static void fields(auto& self, auto&& field) {
        field("median", self.median);
        field("p10", self.p10);
        field("p90", self.p90);
    }
    bool operator==(const Spread&) const = default;
};

/// Median, p10 and p90 of the clean samples, by straight lines between neighbours; of all samples
/// when fewer than two are clean. Zero for none.
Spread spread_of(std::span<const TimedSample> samples);

/// Mean of the clean samples; of all samples when none is clean. Zero for none.
Seconds clean_mean(std::span<const TimedSample> samples);

/// Share of clean samples; 0 for none.
double clean_fraction(std::span<const TimedSample> samples);

}  // namespace tplan
