#pragma once
#include <string>
#include <vector>

#include "core/json_io.h"
#include "cost_model/kernel.h"
#include "models/graph.h"

/// Passes over memory on a GPU: norms, positions, activations, sums, lookups. Profiles without
/// rows of them price a pass by its bytes alone. Derivation: cost_model/derivation.md.

namespace tplan {

struct HardwareProfile;

/// A kernel with one block per row (token): a launch, rows in rounds over the SMs, and bytes.
struct PassModel {
    OpKind op = OpKind::norm;  // norm, rope, activation, add, embedding stand for their kinds
    Seconds launch;
    Seconds element;            // of an element read or written by the block of its row
    double rows_per_sm = 4;     // at a time
    double memory_share = 0.5;  // of the memory bandwidth
    double overlap = 1;         // share of the shorter of the two that is hidden
    double half_width = 0.25;   // of the 90 % interval

    static void fields(auto& self, auto&& field) {
        field("op", self.op);
        field("launch_s", self.launch);
        field("element_s", self.element);
        field("rows_per_sm", self.rows_per_sm);
        field("memory_share", self.memory_share);
        field("overlap", self.overlap);
        field("half_width", self.half_width);
    }
    bool operator==(const PassModel&) const = default;
};

/// Throws Error, with the JSON path, for a parameter out of its range, two rows of one op, or none
/// for `add`, which stands for every pass without a row of its own.
void check_pass_models(const std::vector<PassModel>& models, const std::string& where);

/// One pass folded with a device: `columns` elements read and written per row, `bytes` per row.
struct PassPricer {
    double launch = 0;
    double row = 0;  // seconds of one row's block
    double rows_at_once = 1;
    double row_bytes_time = 0;    // seconds of one row's bytes, all SMs reading
    double fixed_bytes_time = 0;  // likewise of the weights
    double overlap = 1;
    double half_width = 0.25;
    bool inside = true;
    bool transferred = false;  // the parameters are another device's
};

/// `hardware.passes` must be there.
PassPricer make_pass_pricer(const HardwareProfile& hardware, OpKind op, double columns,
                            double row_bytes, double fixed_bytes);
KernelCost pass_cost(const PassPricer& pricer, double rows);

}  // namespace tplan
