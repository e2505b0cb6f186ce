#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "cost_model/hardware.h"

/// Measured points made ready for pricing: a pass over memory follows the measured time itself,
/// straight in bytes. Products, attention, experts and collectives have files of their own. Every
/// lookup at a measured point returns that point.

namespace tplan {

/// Time by bytes, straight lines between points, monotone: a smaller message can always be padded,
/// so it never takes longer than a larger one.
struct TimeCurve {
    std::vector<double> bytes;    // ascending
    std::vector<double> seconds;  // non-decreasing
    bool exact = true;            // false: taken from another number of ranks or another op kind

    bool empty() const { return bytes.empty(); }
    /// Below the first point its time, beyond the last the slope of the last segment.
    double at(double size) const;
    /// Whether `size` lies within a factor of two of the measured range.
    bool covers(double size) const;
};

/// Of two measured rank counts the one nearer to `ranks`, by ratio; the larger of two as near,
/// because more ranks share the memory. A `best` of 0 is none yet.
int nearer_ranks(int best, int other, int ranks);

/// Sorts, averages repeated sizes and makes monotone.
TimeCurve make_time_curve(std::vector<std::pair<double, double>> bytes_and_seconds);

/// Passes over memory: the points of this op kind, else of one of its document kind, else of any.
TimeCurve elementwise_curve(const HardwareProfile& hardware, OpKind op, int ranks);

/// A value for (x, y) from scattered points: bilinear where they form a grid around it, otherwise
/// by inverse squared distance from the nearest; beyond the outermost points it is that of the
/// edge.
struct ScatteredPoint {
    double x = 0, y = 0, value = 0;
};
double interpolate(std::span<const ScatteredPoint> points, double x, double y);

}  // namespace tplan
