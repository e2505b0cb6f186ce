#include "planner/pareto.h"

#include <algorithm>

namespace tplan {

Nullable<double> usd_per_million_tokens(const HardwareProfile& hardware,
                                        double tokens_per_s_per_gpu) {
    constexpr double kSecondsPerHour = 3600, kMillion = 1e6;
    if (!hardware.usd_per_hour || tokens_per_s_per_gpu <= 0) return {};
    return {*hardware.usd_per_hour / kSecondsPerHour / tokens_per_s_per_gpu * kMillion};
}

std::vector<ParetoPoint> pareto(const LoweredDegrees& degrees, const Circumstances& around) {
    constexpr std::int64_t kMostBatch = 1024;
    std::vector<ParetoPoint> points;
    for (const auto& [tp, degree] : degrees) {
        if (!works(degree)) continue;
        for (std::int64_t batch = 1; batch <= kMostBatch; batch *= 2) {
            auto workload = around.request.workload;
            workload.batch = batch;
            const auto totals = price_degree(degree, around.hardware, around.request.cost, workload,
                                             {.effort = Effort::quick})
                                    .totals;
            if (!totals.memory.fits) break;
            const double per_gpu = tokens_per_s_per_gpu(totals, tp, around.request);
            points.push_back({tp, replicas_of(tp, around.request), batch,
                              totals.tokens_per_s / static_cast<double>(batch), per_gpu,
                              usd_per_million_tokens(around.hardware, per_gpu)});
        }
    }
    std::ranges::stable_sort(points, [](const ParetoPoint& a, const ParetoPoint& b) {
        return a.tokens_per_s_per_user != b.tokens_per_s_per_user
                   ? a.tokens_per_s_per_user > b.tokens_per_s_per_user
                   : a.tokens_per_s_per_gpu > b.tokens_per_s_per_gpu;
    });
    double best = 0;
    std::erase_if(points, [&best](const ParetoPoint& point) {
        if (point.tokens_per_s_per_gpu <= best) return true;
        best = point.tokens_per_s_per_gpu;
        return false;
    });
    return points;
}

}  // namespace tplan
