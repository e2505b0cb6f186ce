#include "app/drift.h"

#include <algorithm>

namespace tplan {
namespace {

constexpr int kProbePoints = 6;

template <class Point>
void pick(const std::vector<Point>& points, int ranks, int count, std::vector<DriftPoint>& picked) {
    std::vector<const Point*> usable;
    for (const auto& point : points) {
        // Short points are mostly timer, long ones hold up the run.
        const bool sized = point.time > Seconds(20e-6) && point.time < Seconds(50e-3);
        if (point.ranks == ranks && sized) usable.push_back(&point);
    }
    const auto step = std::max<std::size_t>(1, usable.size() / static_cast<std::size_t>(count));
    for (std::size_t i = step / 2; i < usable.size() && count-- > 0; i += step) {
        picked.push_back({probe_of(*usable[i]), usable[i]->time});
    }
}

}  // namespace

std::vector<DriftPoint> drift_points(const HardwareProfile& hardware, int ranks) {
    std::vector<DriftPoint> points;
    if (hardware.backend != "cpu") return points;
    pick(hardware.tables.gemm, ranks, kProbePoints - 2, points);
    pick(hardware.tables.elementwise, ranks, 1, points);
    pick(hardware.tables.attention, ranks, 1, points);
    return points;
}

}  // namespace tplan
