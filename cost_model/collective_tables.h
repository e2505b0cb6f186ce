#pragma once
#include <span>
#include <vector>

#include "cost_model/collectives.h"
#include "cost_model/tables.h"

namespace tplan {

/// Measured times of one collective in one group. Over NVLink the lines know where algorithms
/// change, and the table corrects them: log(measured / line), straight over log bytes, constant
/// beyond. Elsewhere the host decides more than the algorithm, and the table is the time itself,
/// straight in bytes, which is exact for alpha + beta * bytes: two points make a link.
struct CollectiveTable {
    TimeCurve times;                // used when there are no residuals
    std::vector<double> log_bytes;  // ascending
    std::vector<double> residual;   // log(measured / line)
    double half_width = 0.3;        // of the 90 % interval
    bool exact = true;              // of the group's own number of ranks

    bool empty() const { return times.empty(); }
    /// The time at `bytes`, given what the line says.
    double correct(double bytes, double line_seconds) const;
    /// Whether `bytes` lies within a factor of two of the measured sizes, at the measured ranks.
    bool covers(double bytes) const { return exact && times.covers(bytes); }
};

/// The table of one collective from the profile's points: of the nearest number of ranks, scaled by
/// the ratio of the lines where that is not the group's own. Points of NCCL stand in where the
/// implementation does not serve the group. Empty without points and for several nodes.
/// The half width comes from predicting each inner point without itself.
CollectiveTable collective_table(const HardwareProfile& hardware, OpKind op,
                                 CollectiveImpl implementation, const CollectiveUse& use,
                                 const Group& group, std::span<const CollectiveLine> lines);

}  // namespace tplan
