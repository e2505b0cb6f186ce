#include "app/measure_points.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/statistics.h"

namespace tplan {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kFirstFew = 8;

/// One point of any table, with the samples of all rounds.
struct Visit {
    Probe probe;
    Seconds* time;
    std::vector<TimedSample> samples;
};

std::vector<Visit> visits_of(Tables& tables, const ProbeSetup& setup) {
    std::vector<Visit> visits;
    for (auto& point : tables.gemm) visits.push_back({probe_of(point, setup), &point.time, {}});
    for (auto& point : tables.attention)
        visits.push_back({probe_of(point, setup), &point.time, {}});
    for (auto& point : tables.elementwise)
        visits.push_back({probe_of(point, setup), &point.time, {}});
    for (auto& point : tables.collectives)
        visits.push_back({probe_of(point, setup), &point.time, {}});
    return visits;
}

/// The same visits in an order whose every beginning is spread over all of them: multiples of the
/// golden ratio, without the whole.
void spread(std::vector<Visit>& visits) {
    constexpr double kGolden = 0.6180339887498949;
    std::vector<std::pair<double, std::size_t>> keys;
    for (std::size_t i = 0; i < visits.size(); ++i) {
        const double multiple = kGolden * static_cast<double>(i + 1);
        keys.emplace_back(multiple - std::floor(multiple), i);
    }
    std::ranges::sort(keys);
    std::vector<Visit> ordered;
    for (const auto& [key, i] : keys) ordered.push_back(std::move(visits[i]));
    visits = std::move(ordered);
}

void drop_unmeasured(Tables& tables) {
    const auto unmeasured = [](const auto& point) { return point.time.value <= 0; };
    std::erase_if(tables.gemm, unmeasured);
    std::erase_if(tables.attention, unmeasured);
    std::erase_if(tables.elementwise, unmeasured);
    std::erase_if(tables.collectives, unmeasured);
}

constexpr Seconds kShortest{20e-6};  // shorter points are mostly timer

/// How far the median of one round lies from that of all rounds, as nine in ten do: what a later
/// run on this machine, no longer interleaved with the calibration, may differ by.
double repeatability_of(const std::vector<Visit>& visits, int reps) {
    std::vector<double> differences;
    for (const auto& visit : visits) {
        if (*visit.time < kShortest) continue;
        const std::span all(visit.samples);
        for (std::size_t at = 0; at < all.size(); at += static_cast<std::size_t>(reps)) {
            const auto round = spread_of(all.subspan(at, static_cast<std::size_t>(reps))).median;
            differences.push_back(std::abs(round / *visit.time - 1));
        }
    }
    std::ranges::sort(differences);
    return quantile(differences, 0.9);
}

}  // namespace

double measure_points(Tables& tables, const std::string& backend, const ProbeSetup& setup,
                      const Rounds& rounds, const Progress& progress, std::stop_token stop) {
    auto visits = visits_of(tables, setup);
    const bool limited = rounds.budget > Seconds{};
    if (limited) spread(visits);
    const auto start = Clock::now();
    const auto total = static_cast<double>(visits.size()) * rounds.count;
    std::size_t done = 0;
    for (int round = 0; round < rounds.count; ++round) {
        for (auto& visit : visits) {
            if (stop.stop_requested()) throw Error("calibrate", "stopped", "nothing was written");
            const double passed = std::chrono::duration<double>(Clock::now() - start).count();
            if (limited && done >= kFirstFew && passed > rounds.budget.value) break;
            const double share = static_cast<double>(done++) / total;
            if (progress)
                progress(
                    limited ? std::max(share, std::min(1.0, passed / rounds.budget.value)) : share,
                    visit.probe.name);
            const auto samples = sample(visit.probe, backend, rounds.reps);
            visit.samples.insert(visit.samples.end(), samples.begin(), samples.end());
        }
    }
    for (auto& visit : visits) *visit.time = spread_of(visit.samples).median;
    const auto repeatability = repeatability_of(visits, rounds.reps);
    drop_unmeasured(tables);
    if (progress) progress(1, "done");
    return repeatability;
}

}  // namespace tplan
